"""Carbon Connect, and the published models of carbon that its accounting rests on."""

from __future__ import annotations

from experiments.reproduce.claim import Paper, Plot
from experiments.reproduce.papers.carbon import (
    decade,
    jobs,
    refresh,
    serving,
    shape,
    tokens,
    unit_values,
    waiting,
)
from experiments.reproduce.papers.carbon.plots import (
    draw_coverage,
    draw_days,
    draw_decade,
    draw_deferral,
    draw_jobs,
    draw_nights,
    draw_regions,
    draw_shares,
    draw_skus,
)

PAPER = Paper(
    name="carbon",
    title="Carbon Connect: An Ecosystem for Sustainable Computing",
    citation="B. C. Lee, D. Brooks, A. van Benthem, U. Gupta, G. Hills, V. Liu and others, 2024 "
    "(arXiv 2405.13858).",
    about="A vision paper: it asks for an accounting of carbon and gives no measurements. What is "
    "checked are the published models that such an accounting consists of: ACT's bills of "
    "materials, GreenSKU's rack, Let's Wait Awhile's shifting on the trace of Great Britain, "
    "Carbon Explorer's matching, and the shapes and the decade's goal that follow. All is exact "
    "arithmetic on published data, but for the draw of jobs, errors of forecasts, and means over "
    "cities, which have intervals. Let's Wait Awhile is also carried out on simulated GPUs, as is "
    "CarbonScaler, and a day of language models is served in two regions, and beside work that "
    "waits, on made-up grids whose weather every replication draws anew. Solar output is measured; "
    "no measured output of wind farms is at hand, so the wind is made up.",
    claims=[
        *unit_values.CLAIMS,
        *waiting.CLAIMS,
        *jobs.CLAIMS,
        *serving.CLAIMS,
        *shape.CLAIMS,
        *refresh.CLAIMS,
        *decade.CLAIMS,
        *tokens.CLAIMS,
    ],
    plots=[
        Plot(
            name="greensku",
            title="GreenSKU: savings for a core against the baseline",
            caption="As released, making parts is multiplied by PUE and power factor.",
            study=unit_values.GREENSKU,
            draw=draw_skus,
            height=300,
        ),
        Plot(
            name="nights",
            title="Let's Wait Awhile, scenario I: a half-hour job each night",
            caption="Great Britain 2020, perfect forecast.",
            study=waiting.NIGHTLY,
            draw=draw_nights,
            height=280,
        ),
        Plot(
            name="days",
            title="Let's Wait Awhile, scenario II: jobs of 4 to 90 h",
            caption="Great Britain 2020, perfect forecast, means of the draws of 3,387 jobs.",
            study=waiting.BY_DAY,
            draw=draw_days,
            height=300,
        ),
        Plot(
            name="regions",
            title="A day of chats in two regions: routing by carbon against the nearest site",
            caption="Left: saved by load, mean and 95 % interval. Right: requests within 2 s to "
            "the first token and 0.1 s a token.",
            study=serving.REGIONAL,
            draw=draw_regions,
            height=320,
        ),
        Plot(
            name="deferral",
            title="Batch work that waits for clean hours",
            caption="Saved of what the work adds to the day's carbon when it runs at once; mean "
            "and 95 % interval.",
            study=serving.DEFERRED,
            draw=draw_deferral,
            height=300,
        ),
        Plot(
            name="jobs",
            title="Elastic jobs on simulated GPUs: carbon avoided against running at once",
            caption="Of the site, as a share of the jobs' carbon at once. Made-up grid and jobs, "
            "what pauses cost included; means of the seeds, 95 % intervals.",
            study=jobs.ELASTIC,
            draw=draw_jobs,
            height=260,
        ),
        Plot(
            name="embodied",
            title="Embodied share of an eight-GPU server",
            caption="Bills by the middle figures, GPUs written off over four years, the rest over "
            "six; language models served.",
            study=shape.SHARES,
            draw=draw_shares,
            height=300,
        ),
        Plot(
            name="coverage",
            title="Hourly coverage by farms of as much energy as the load",
            caption="Mean of ten cities in June, by battery (hours of the load) and share of the "
            "load that may move within its day.",
            study=shape.COVERAGE,
            draw=draw_coverage,
            height=320,
        ),
        Plot(
            name="decade",
            title="Levers of a decade",
            caption="Left: one lever from end to end, the others in the middle. Right: change in "
            "ten years; the line is the goal of -45 %.",
            study=decade.DECADES,
            draw=draw_decade,
            width=860,
            height=340,
        ),
    ],
)

__all__ = ["PAPER"]
