"""Figures of load: requests in the system, rates, and how replicas share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.report.formats import digits, percent, seconds
from experiments.report.panel import (
    Panel,
    clock,
    from_zero,
    lacks_finished,
    lacks_requests,
    lacks_series,
    steps,
    time_axis,
)
from experiments.report.run_data import Numbers, ServingRun, thinned

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase


def draw_requests(figure: FigureBase, run: ServingRun) -> str:
    """Running and waiting requests over time."""
    axes = figure.subplots()
    unit_s, _ = clock(run)
    series = run.series
    if series is None:
        at_s = np.linspace(0.0, max(run.simulated_s, 1e-9), 400)
        running, waiting = run.in_system(at_s)
        source = "From the table of requests: a preempted request counts as running."
    else:
        shown = thinned(series.time_s, 800)
        at_s = series.time_s[shown]
        running, waiting = series.total("running")[shown], series.total("waiting")[shown]
        mean = float(series["running"].mean())
        source = f"Sampled. A replica's batch holds {digits(mean)} requests at the mean"
        source += f", all {run.replicas} replicas together shown." if run.replicas > 1 else "."
    for values, name, colour in (
        (running, "running", theme.BLUE),
        (waiting, "waiting", theme.ORANGE),
    ):
        axes.fill_between(at_s / unit_s, values, color=colour, alpha=0.12)
        axes.plot(at_s / unit_s, values, color=colour, label=name)
    theme.legend(axes)
    time_axis(axes, run)
    from_zero(axes, counts=True)
    axes.set_ylabel("requests")
    return source


def draw_rates(figure: FigureBase, run: ServingRun) -> str:
    """Requests that arrive and that finish in each second."""
    axes = figure.subplots()
    unit_s, _ = clock(run)
    arrivals = run.columns["arrival_s"]
    count = int(np.clip(len(arrivals) // 40, 1, 60))
    edges = np.linspace(0.0, max(run.simulated_s, 1e-9), count + 1)
    for column, name, colour in (
        ("arrival_s", "arrived", theme.ORANGE),
        ("finish_s", "finished", theme.GREEN),
    ):
        times = run.columns[column]
        hits, _ = np.histogram(times[~np.isnan(times)], edges)
        x, y = steps(edges / unit_s, hits / np.diff(edges))
        axes.plot(x, y, color=colour, label=name, linewidth=1.3)
    theme.legend(axes)
    time_axis(axes, run)
    from_zero(axes)
    axes.set_ylabel("requests/s")
    return f"In bins of {seconds(float(edges[1]))}."


def draw_throughput(figure: FigureBase, run: ServingRun) -> str:
    """Output tokens made in each second."""
    axes = figure.subplots()
    assert run.series is not None
    unit_s, _ = clock(run)
    edges, rate = run.series.rate("output_tokens")
    x, y = steps(edges / unit_s, rate)
    axes.fill_between(x, y, color=theme.GREEN, alpha=0.12)
    axes.plot(x, y, color=theme.GREEN)
    time_axis(axes, run)
    from_zero(axes)
    axes.set_ylabel("output tokens/s")
    whole = "over all replicas, " if run.replicas > 1 else ""
    return f"Made between samples, {whole}{digits(float(rate.max()))} tokens/s at most."


def draw_shares(figure: FigureBase, run: ServingRun) -> str:
    """Requests, tokens and energy of each replica."""
    counts = _by_replica(run, np.ones(len(run.finished)))
    tokens = _by_replica(run, run.columns["prompt_tokens"] + run.columns["output_tokens"])
    quantities = [("requests finished", counts, 1.0), ("tokens served (thousands)", tokens, 1e3)]
    caption = "Dashed: an equal share."
    if run.series is not None:
        energy_j = run.series["energy_j"][-1]
        quantities.append(("energy of GPUs (kJ)", energy_j, 1e3))
        caption += f" Energy until the last sample, at {seconds(float(run.series.time_s[-1]))}."
    row = figure.subplots(1, len(quantities), squeeze=False)[0]
    colours = (theme.BLUE, theme.GREEN, theme.VIOLET)
    for axes, (name, values, per), colour in zip(row, quantities, colours, strict=False):
        mean = float(values.mean())
        axes.bar(np.arange(len(values)), values / per, width=0.72, color=colour, alpha=0.85)
        axes.axhline(mean / per, color=theme.MUTED, linestyle=(0, (4, 3)), linewidth=1.0)
        above = f"up to {percent(float(values.max()) / mean - 1.0)} above" if mean else ""
        axes.set_title(name, loc="left", fontsize=8)
        axes.set_title(above, loc="right", fontsize=8, color=theme.MUTED)
        axes.set_xlabel("replica")
        if len(values) <= 16:
            axes.set_xticks(np.arange(len(values)))
        axes.set_xlim(-0.7, len(values) - 0.3)
        from_zero(axes)
    return caption


def draw_lengths(figure: FigureBase, run: ServingRun) -> str:
    """Histograms of prompt and output lengths."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    row = figure.subplots(1, 2)
    captions = []
    for axes, column, name, colour in (
        (row[0], "prompt_tokens", "prompt", theme.ORANGE),
        (row[1], "output_tokens", "output", theme.BLUE),
    ):
        lengths = run.columns[column]
        top = float(np.percentile(lengths, 99.5))
        # Whole numbers of tokens in every bin, so that none is fuller for its width alone.
        width = max(1, round(top / 50))
        edges = np.arange(-0.5, top + width + 0.5, width)
        axes.hist(lengths, edges, color=colour, alpha=0.85, edgecolor=theme.CARD, linewidth=0.4)
        axes.set_xlabel(f"{name} tokens")
        axes.set_ylabel("requests")
        axes.set_xlim(-0.5, edges[-1])
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        from_zero(axes, counts=True)
        median, longest = np.median(lengths), lengths.max()
        captions.append(
            f"{name}s: mean {digits(float(lengths.mean()))}, median {median:,.0f}, "
            f"longest {longest:,.0f} tokens"
        )
    text = "; ".join(captions)
    return f"All that arrived, cut at the 99.5th percentile. {text[0].upper()}{text[1:]}."


def _by_replica(run: ServingRun, weights: Numbers) -> Numbers:
    replicas = run.columns["replica"][run.finished].astype(np.intp)
    sums = np.bincount(replicas, weights[run.finished], minlength=run.replicas)
    return sums.astype(np.float64)


def _lacks_replicas(run: ServingRun) -> str:
    return lacks_finished(run) or ("" if run.replicas > 1 else "There is one replica.")


REQUESTS = Panel("requests", "Requests in the system", draw_requests, lacks_requests)
RATES = Panel("rates", "Arrivals and completions", draw_rates, lacks_requests)
THROUGHPUT = Panel("throughput", "Output throughput", draw_throughput, lacks_series)
SHARES = Panel(
    "shares", "Load by replica", draw_shares, _lacks_replicas, wide=True, height=230, gap=0.22
)
LENGTHS = Panel(
    "lengths",
    "Lengths of prompts and outputs",
    draw_lengths,
    lacks_requests,
    wide=True,
    height=230,
    top=12,
    gap=0.14,
)
