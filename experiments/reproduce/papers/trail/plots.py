"""Pictures: latency and TTFT along the rates, the lock, theory against simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.reproduce.papers.trail.settings import SYSTEMS
from experiments.reproduce.papers.trail.studies import LOADED, LOCKS, RATES, WIDE_RATES, Runs
from experiments.reproduce.papers.trail.theory import PREDICTORS, TABLE, Cells, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

COLOURS = dict(zip(SYSTEMS, (theme.RED, theme.ORANGE, theme.BLUE, theme.GREEN), strict=True))


def draw_rates(figure: Figure, runs: Runs) -> None:
    """Mean latency and TTFT along the rates, 48 slots."""
    _draw_means(figure, runs, RATES)


def draw_wide(figure: Figure, runs: Runs) -> None:
    """The same with 256 slots."""
    _draw_means(figure, runs, WIDE_RATES)


def draw_lock(figure: Figure, runs: Runs) -> None:
    """KV of waiting requests, recomputed tokens, latency and TTFT by C, short KV."""
    panels = (
        ("held", "KV tokens waiting"),
        ("recomputed", "recomputed tokens"),
        ("latency", "mean latency (s)"),
        ("ttft", "mean TTFT (s)"),
    )
    for axes, (of, label) in zip(figure.subplots(1, 4), panels, strict=True):
        means = [_mean(runs, (f"short, C = {share:g}", LOADED), of) for share in LOCKS]
        axes.plot(LOCKS, means, "o-", markersize=3, color=theme.GREEN)
        axes.set_ylim(0.0, 1.15 * max(means))
        axes.set_xlabel("C")
        axes.set_ylabel(label)


def draw_theory(figure: Figure, cells: Cells) -> None:
    """Simulated mean response and sum of ages on the closed form, by C."""
    loads = sorted({load for load, _ in TABLE})
    shades = (theme.BLUE, theme.GREEN, theme.ORANGE, theme.RED)
    grid = figure.subplots(1, 4)
    for i, predictor in enumerate(PREDICTORS):
        for j, of in enumerate(("response", "ages")):
            axes = grid[2 * i + j]
            for load, colour in zip(loads, shades, strict=True):
                locks = sorted(lock for at, lock in TABLE if at == load)
                closed = [TABLE[load, lock][i][j] for lock in locks]
                axes.plot(locks, closed, color=colour, alpha=0.6)
                for cell, runs in cells.items():
                    if (cell.load, cell.predictor) == (load, predictor):
                        found = estimate(cell, runs, of)
                        bars = [[found.value - found.low], [found.high - found.value]]
                        label = f"load {load:g}" if not (cell.lock or i or j) else None
                        axes.errorbar(
                            [cell.lock],
                            [found.value],
                            bars,
                            fmt="o",
                            markersize=3,
                            color=colour,
                            label=label,
                        )
            axes.set_xlabel("C")
            axes.set_title(predictor, loc="left", fontsize=8)
            axes.set_ylabel("mean response" if of == "response" else "mean sum of ages")
    _legend(figure)


def _draw_means(figure: Figure, runs: Runs, rates: Sequence[float]) -> None:
    panels = (("latency", "mean latency (s)"), ("ttft", "mean TTFT (s)"))
    for axes, (of, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for name in SYSTEMS:
            means = [_mean(runs, (name, rate), of) for rate in rates]
            axes.plot(rates, means, "o-", markersize=3, color=COLOURS[name], label=name)
        if of == "ttft":
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0.0)
        axes.set_xlabel("requests/s")
        axes.set_ylabel(label)
    _legend(figure)


def _legend(figure: Figure) -> None:
    """One legend for all axes, below them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _mean(runs: Runs, at: tuple[str, float], of: str) -> float:
    return float(np.mean([one[of] for one in runs[at]]))
