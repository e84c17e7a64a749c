"""Pictures: GreenSKU's savings, waiting, elastic jobs, embodied shares, coverage, the decade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.report import theme
from experiments.reproduce.papers.carbon.decade import (
    GAINS,
    GOAL,
    GRIDS,
    GROWTHS,
    LIVES,
    Decades,
    change,
    pulls,
)
from experiments.reproduce.papers.carbon.jobs import savings as jobs_savings
from experiments.reproduce.papers.carbon.serving import mean, routing_savings, waiting_savings
from experiments.reproduce.papers.carbon.serving_runs import LOADS, Runs, arm
from experiments.reproduce.papers.carbon.shape import (
    BATTERIES,
    FLEXIBLE,
    MIXES,
    Coverages,
    Server,
    coverage,
    pue,
)
from experiments.reproduce.papers.carbon.shape import GRIDS as INTENSITIES
from experiments.reproduce.papers.carbon.unit_values import Skus, savings
from experiments.reproduce.papers.carbon.waiting import REACHES, night_savings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Published: scenario I by hours, scenario II in the study's order.
NIGHT = {2: 6.5, 4: 8.4, 8: 10.2}
DAY = (6.7, 14.9, 9.2, 20.1)
SHADES = (theme.RED, theme.ORANGE, theme.GREEN, theme.BLUE, theme.VIOLET)


def draw_skus(figure: Figure, skus: Skus) -> None:
    """Savings for a core, as released and corrected."""
    axes = figure.subplots()
    names = list(savings(skus, True))
    for offset, released, colour, label in (
        (-0.2, True, theme.ORANGE, "as released"),
        (0.2, False, theme.BLUE, "corrected"),
    ):
        values = savings(skus, released)
        axes.bar(
            [i + offset for i in range(len(names))],
            [values[name] for name in names],
            0.38,
            color=colour,
            label=label,
        )
    axes.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names])
    axes.set_ylabel("saved against the baseline (%)")
    theme.legend(axes)


def draw_nights(figure: Figure, means: dict[tuple[int, float], list[float]]) -> None:
    """Savings by reach, published and found."""
    axes = figure.subplots()
    found = night_savings(means)
    hours = [reach for reach in REACHES if reach]
    axes.plot(
        hours, [found[f"{h} h"].value for h in hours], "o-", color=theme.BLUE, label="simulated"
    )
    axes.plot(hours, [NIGHT[h] for h in hours], "x", color=theme.RED, label="published")
    axes.set_xlabel("may move so many hours to either side")
    axes.set_ylabel("saved (%)")
    axes.set_ylim(0.0, 12.0)
    theme.legend(axes)


def draw_jobs(figure: Figure, found: dict[str, list[dict[str, float]]]) -> None:
    """Savings by policy."""
    axes = figure.subplots()
    saved = jobs_savings(found)
    for i, estimate in enumerate(saved.values()):
        axes.barh(i, estimate.value, 0.6, color=SHADES[i])
        axes.plot([estimate.low, estimate.high], [i, i], color=theme.INK, linewidth=1.5)
    axes.set_yticks(range(len(saved)), list(saved))
    axes.invert_yaxis()
    axes.set_xlabel("operational carbon avoided (% of the jobs')")


def draw_days(figure: Figure, found: dict[tuple[str, str], list[float]]) -> None:
    """Savings of long jobs, published and found."""
    axes = figure.subplots()
    labels = [f"{form}\n{end}" for form, end in found]
    axes.bar(
        range(len(labels)),
        [sum(saved) / len(saved) for saved in found.values()],
        0.5,
        color=theme.BLUE,
        label="simulated",
    )
    axes.plot(range(len(labels)), DAY, "x", color=theme.RED, label="published")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("saved (%)")
    theme.legend(axes)


def draw_regions(figure: Figure, runs: Runs) -> None:
    """Savings by load, and requests within the objective."""
    left, right = figure.subplots(1, 2)
    for of, colour, label in (
        ("operational_g", theme.GREEN, "carbon"),
        ("energy_j", theme.ORANGE, "energy"),
    ):
        found = list(routing_savings(runs, of).values())
        around = [
            [each.value - each.low for each in found],
            [each.high - each.value for each in found],
        ]
        values = [each.value for each in found]
        left.errorbar(
            LOADS, values, around, fmt="o-", markersize=3, capsize=3, color=colour, label=label
        )
    left.set_xlabel("requests/s of both regions")
    left.set_ylabel("saved (%)")
    theme.legend(left)
    for name, colour in (("nearest", theme.BLUE), ("carbon", theme.GREEN), ("cleanest", theme.RED)):
        loads = [load for load in LOADS if arm(name, load) in runs]
        values = [mean(runs, "good_share", arm(name, load)).value for load in loads]
        right.plot(loads, values, "o-", markersize=4, color=colour, label=name)
    right.set_xlabel("requests/s of both regions")
    right.set_ylabel("within the objective (%)")
    theme.legend(right)


def draw_deferral(figure: Figure, runs: Runs) -> None:
    """Savings of batch work by policy and error."""
    axes = figure.subplots()
    names = [name for name in runs if name not in ("no batch", "at once", "ignoring capacity")]
    found = list(waiting_savings(runs, names).values())
    axes.bar(
        range(len(names)),
        [each.value for each in found],
        0.5,
        yerr=[[e.value - e.low for e in found], [e.high - e.value for e in found]],
        capsize=3,
        color=theme.BLUE,
    )
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("saved of what it adds (%)")


def draw_shares(figure: Figure, servers: dict[str, Server]) -> None:
    """Embodied share by intensity."""
    axes = figure.subplots()
    for (name, server), colour in zip(servers.items(), (theme.GREEN, theme.BLUE), strict=True):
        shares = [100.0 * server.embodied_share(grid, pue()) for grid in INTENSITIES]
        axes.plot(INTENSITIES, shares, "o-", markersize=3, color=colour, label=name)
    axes.set_xscale("log")
    axes.set_xticks(INTENSITIES, [f"{grid:g}" for grid in INTENSITIES])
    axes.set_ylim(0.0, 100.0)
    axes.set_xlabel("carbon intensity (g/kWh)")
    axes.set_ylabel("embodied share (%)")
    theme.legend(axes)


def draw_coverage(figure: Figure, found: Coverages) -> None:
    """Coverage by battery, for several flexible shares: sun alone, and with wind."""
    for axes, farms in zip(figure.subplots(1, 2, sharey=True), MIXES, strict=True):
        for flexible, colour in zip(FLEXIBLE, SHADES, strict=True):
            values = [coverage(found, (farms, flexible, hours)).value for hours in BATTERIES]
            label = f"{100 * flexible:g} %"
            axes.plot(BATTERIES, values, "o-", markersize=3, color=colour, label=label)
        axes.set_ylim(0.0, 100.0)
        axes.set_xlabel(f"battery (hours), {farms}")
    theme.legend(figure.axes[0])
    figure.axes[0].set_ylabel("hourly coverage (%)")


def draw_decade(figure: Figure, decades: Decades) -> None:
    """What each lever brings, and where the goal is reached."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    brings = pulls(decades)
    left.barh(range(len(brings)), list(brings.values()), color=theme.BLUE)
    left.set_yticks(range(len(brings)), [name.replace(", ", "\n") for name in brings])
    left.invert_yaxis()
    left.grid(False, axis="y")
    left.grid(True, axis="x")
    left.set_xlabel("points in ten years")
    for gain, colour in zip(GAINS, SHADES, strict=False):
        for grid, style in zip(GRIDS, (":", "--", "-"), strict=True):
            best = [
                min(change(decades[growth, gain, grid, life]) for life in LIVES)
                for growth in GROWTHS
            ]
            label = f"gain {100 * gain:g} %" if grid == GRIDS[-1] else None
            right.plot(
                [100.0 * growth for growth in GROWTHS], best, style, color=colour, label=label
            )
    right.axhline(GOAL, color=theme.INK, linewidth=0.8)
    right.set_ylim(-100.0, 200.0)
    right.set_xlabel(
        "demand growth (%/y), best life\ngrid decline 0 dotted, 3.5 dashed, 7 %/y solid"
    )
    right.set_ylabel("change in ten years (%)")
    theme.legend(right)
