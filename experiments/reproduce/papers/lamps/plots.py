"""Pictures: latency along the rates, and what becomes of KV by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.reproduce.papers.lamps.measures import HANDLINGS
from experiments.reproduce.papers.lamps.studies import KIND_RATES, RATES, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "vLLM": theme.RED,
    "InferCept": theme.ORANGE,
    "LAMPS without scheduling": theme.VIOLET,
    "LAMPS": theme.GREEN,
    "LAMPS as released": theme.BLUE,
}


def draw_latency(figure: Figure, runs: Runs) -> None:
    """Mean latency and TTFT of the requests that finish in the window."""
    _draw_means(figure, runs, "_window")


def draw_all(figure: Figure, runs: Runs) -> None:
    """Mean latency and TTFT of all requests."""
    _draw_means(figure, runs, "")


def draw_normalised(figure: Figure, runs: Runs) -> None:
    """Normalised latency of vLLM and InferCept along the rates."""
    axes = figure.subplots()
    for system in ("vLLM", "InferCept"):
        rates = sorted(rate for name, rate in runs if name == system)
        _line(axes, runs, system, tuple(rates), "normalised_s")
    axes.set_yscale("log")
    axes.set_xlabel("requests/s")
    axes.set_ylabel("normalised latency (s/token)")
    theme.legend(axes)


def draw_kinds(figure: Figure, runs: Runs) -> None:
    """Preserved and discarded calls by kind along the rates."""
    kinds = ("math", "ve", "qa", "chatbot", "image", "tts")
    systems = ("InferCept", "LAMPS without scheduling")
    for axes, system in zip(figure.subplots(1, 2, sharey=True), systems, strict=True):
        width = 0.8 / len(KIND_RATES)
        for i, rate in enumerate(KIND_RATES):
            places = np.arange(len(kinds)) + (i - 0.5 * (len(KIND_RATES) - 1)) * width
            shares = [_share(runs, system, rate, kind) for kind in kinds]
            shade = 0.3 + 0.7 * i / (len(KIND_RATES) - 1)
            axes.bar(
                places, shares, 0.9 * width, color=theme.BLUE, alpha=shade, label=f"{rate:g}/s"
            )
        axes.set_xticks(range(len(kinds)), kinds)
        axes.set_title(system, loc="left", fontsize=8)
    figure.axes[0].set_ylabel("calls preserved (%)")
    _legend(figure)


def _draw_means(figure: Figure, runs: Runs, suffix: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figures = (("e2e_s", "mean latency (s)"), ("ttft_s", "mean TTFT (s)"))
    for axes, (key, label) in zip(figure.subplots(1, 2), figures, strict=True):
        for system in COLOURS:
            _line(axes, runs, system, RATES, key + suffix)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(RATES)
        axes.set_xlabel("requests/s")
        axes.set_ylabel(label)
    _legend(figure)


def _legend(figure: Figure) -> None:
    """One legend for all axes, below them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _line(axes: Axes, runs: Runs, system: str, rates: tuple[float, ...], key: str) -> None:
    means = [np.mean([one[key] for one in runs[system, rate]]) for rate in rates]
    axes.plot(rates, means, "o-", markersize=3, color=COLOURS[system], label=system)


def _share(runs: Runs, system: str, rate: float, kind: str) -> float:
    counts = [
        sum(one.get(f"calls_by_kind.{kind}.{handling}", 0.0) for one in runs[system, rate])
        for handling in HANDLINGS
    ]
    return 100.0 * counts[0] / sum(counts)
