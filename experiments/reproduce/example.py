"""A small paper, to read before writing one: textbook formulas of queues as claims, a few lines of
numpy as the simulation. `orrery reproduce experiments.reproduce.example:PAPER -o DIR` runs it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.reproduce.accepted import Band, Finding, Order, Table, Trend
from experiments.reproduce.claim import Claim, Paper, Plot, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from models.queueing import mg1_response_s, mm1_response_s

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOADS = (0.3, 0.5, 0.7, 0.8)
SERVICES = ("exponential", "constant")

#: Mean response in mean service times, for each replication, by service and load.
Responses = dict[tuple[str, float], list[float]]


def respond(service: str, load: float, jobs: int, seed: int) -> float:
    """Mean response of a single server, FCFS, in mean service times (Lindley's recursion), without
    the first tenth of the jobs. The same seed gives the same arrivals for each service."""
    arrivals, sizes = (np.random.default_rng([seed, i]) for i in range(2))
    gaps = arrivals.exponential(1.0 / load, jobs)
    services = sizes.exponential(1.0, jobs) if service == "exponential" else np.ones(jobs)
    steps = np.cumsum(services[:-1] - gaps[1:])
    waits = steps - np.minimum.accumulate(np.minimum(steps, 0.0))
    return float(np.mean((waits + services[1:])[jobs // 10 :]))


def simulate(workers: Workers) -> Responses:
    """All loads and services."""
    points = [(service, load) for service in SERVICES for load in LOADS]
    jobs, seeds = (400_000, 20) if workers.full else (40_000, 10)
    tasks = [(*point, jobs, seed) for point in points for seed in range(seeds)]
    found = workers.map(_respond, tasks)
    return {point: found[i * seeds : (i + 1) * seeds] for i, point in enumerate(points)}


def _respond(task: tuple[str, float, int, int]) -> float:
    return respond(*task)


def by_load(found: Responses, service: str) -> dict[str, Estimate]:
    """Mean responses by load."""
    return {f"load {load}": mean_interval(found[service, load]) for load in LOADS}


def by_service(found: Responses, load: float) -> dict[str, Estimate]:
    """Mean responses at one load by service."""
    return {service: mean_interval(found[service, load]) for service in SERVICES}


def wait_ratio(found: Responses, load: float) -> Estimate:
    """Wait with exponential over that with constant service."""
    pairs = zip(found["exponential", load], found["constant", load], strict=True)
    return mean_interval([(a - 1.0) / (b - 1.0) for a, b in pairs])


def draw(figure: Figure, found: Responses) -> None:
    """Simulated means on the curves of the formulas."""
    axes = figure.subplots()
    curve = np.linspace(0.05, 0.85, 60)
    for service, second, colour in (
        ("exponential", 2.0, theme.ORANGE),
        ("constant", 1.0, theme.BLUE),
    ):
        axes.plot(curve, [mg1_response_s(x, 1.0, second) for x in curve], color=colour, alpha=0.5)
        means = [float(np.mean(found[service, load])) for load in LOADS]
        axes.plot(LOADS, means, "o", color=colour, label=service)
    axes.set_xlabel("load")
    axes.set_ylabel("mean response (service times)")
    theme.legend(axes)


QUEUES = Study("queues", simulate)

PAPER = Paper(
    name="example",
    title="Queueing Systems, volume 1",
    citation="L. Kleinrock, Wiley, 1975.",
    about="One server, first come first served, Poisson arrivals, 40,000 jobs and ten seeds.",
    claims=[
        Claim(
            id="mm1",
            where="section 3.2",
            what="mean response of M/M/1 at four loads",
            published="1 / (1 - load)",
            accepted=Table({f"load {x}": mm1_response_s(x, 1.0) for x in LOADS}, relative=0.05),
            study=QUEUES,
            measure=partial(by_load, service="exponential"),
            unit="service times",
        ),
        Claim(
            id="constant-is-better",
            where="section 5.6",
            what="mean response by distribution of service, at load 0.7",
            published="exponential service is the slower",
            accepted=Order("exponential", "constant"),
            study=QUEUES,
            measure=partial(by_service, load=0.7),
            unit="service times",
        ),
        Claim(
            id="half-the-wait",
            where="section 5.6",
            what="wait with exponential over wait with constant service, at load 0.5",
            published="2",
            accepted=Band(1.9, 2.1),
            study=QUEUES,
            measure=partial(wait_ratio, load=0.5),
        ),
        Claim(
            id="load",
            where="figure 3.2",
            what="mean response of M/M/1 along the loads",
            published="grows without bound",
            accepted=Trend("load", every_step=True),
            study=QUEUES,
            measure=partial(by_load, service="exponential"),
            unit="service times",
        ),
        Claim(
            id="at-high-load",
            where="section 5.6",
            what="wait with exponential over wait with constant service, at load 0.8",
            published="2 in the limit",
            accepted=Finding(),
            study=QUEUES,
            measure=partial(wait_ratio, load=0.8),
            note="Long busy periods make this ratio noisy",
        ),
    ],
    plots=[
        Plot(
            name="response",
            title="Mean response of one server",
            caption="Dots: simulated. Lines: Pollaczek and Khinchine's formula.",
            study=QUEUES,
            draw=draw,
        )
    ],
)
