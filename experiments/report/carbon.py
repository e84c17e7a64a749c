"""The report's figures of energy and carbon, from the ledger's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import theme
from experiments.report.formats import amount, known, percent
from experiments.report.panel import Panel, clock, from_zero, steps, time_axis
from experiments.report.run_data import Numbers, SystemRun, read_columns

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_COLUMNS = ("start_s", "end_s", "component", "energy_j", "operational_g", "embodied_g")


def draw_components(figure: FigureBase, run: SystemRun) -> str:
    """Grams by part: operation and making, stacked."""
    axes = figure.subplots()
    table = _read(run)
    names = np.array(table.column("component").to_pylist())
    operation, making = (table.column(k).to_numpy() for k in ("operational_g", "embodied_g"))
    parts = {
        name: (float(operation[names == name].sum()), float(making[names == name].sum()))
        for name in sorted(set(names.tolist()))
    }
    whole = sum(map(sum, parts.values()))
    shown = sorted(parts, key=lambda name: -sum(parts[name]))
    at = range(len(shown))
    used, made = (np.array([parts[name][i] for name in shown]) for i in (0, 1))
    axes.barh(at, used, height=0.62, color=theme.RED, label="operation")
    axes.barh(at, made, left=used, height=0.62, color=theme.VIOLET, label="making")
    axes.set_yticks(at, shown)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("carbon (g)")
    theme.legend(axes)
    return (
        f"The whole cluster, idle parts too: {amount(whole, 'g')}, of which "
        f"{percent(made.sum() / whole if whole else None)} for making."
    )


def draw_grid(figure: FigureBase, run: SystemRun) -> str:
    """What a joule's carbon was over the run, and the computers' power."""
    axes = figure.subplots()
    edges, watts, grams_per_kwh = _by_step(run)
    unit_s, _ = clock(run)
    axes.plot(*steps(edges / unit_s, grams_per_kwh), color=theme.RED)
    time_axis(axes, run)
    from_zero(axes)
    axes.set_ylabel("g/kWh of the computers")
    return (
        f"Carbon of operation for a kWh of the computers, PUE in it, by step of the sites' "
        f"signals; {amount(float(np.average(watts, weights=np.diff(edges))), 'W')} on average."
    )


def _by_step(run: SystemRun) -> tuple[Numbers, Numbers, Numbers]:
    table = _read(run)
    start, end = (table.column(key).to_numpy() for key in ("start_s", "end_s"))
    edges, at = np.unique(start, return_inverse=True)
    energy, grams = (
        np.bincount(at, table.column(key).to_numpy()) for key in ("energy_j", "operational_g")
    )
    edges = np.append(edges, end.max())
    per_kwh = np.divide(grams * 3.6e6, energy, out=np.zeros_like(grams), where=energy > 0.0)
    return edges, energy / np.diff(edges), per_kwh


def _read(run: SystemRun) -> Any:
    return read_columns(run.result, "carbon", _COLUMNS)


def _lacks(run: SystemRun) -> str:
    if "carbon" not in run.result.tables:
        return "Carbon was not accounted for (carbon=none)."
    return "" if known(run.result.summary.get("carbon_g")) else "No carbon was booked."


COMPONENTS = Panel(
    "carbon", "Carbon of the cluster by part", draw_components, _lacks, left=72, height=280
)
GRID = Panel("grid", "Carbon intensity", draw_grid, _lacks, height=280)
