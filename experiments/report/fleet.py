"""What the report shows of a fleet over years."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.report.formats import amount, number, percent
from experiments.report.overview import Tile
from experiments.report.panel import Panel, from_zero
from experiments.report.run_data import SystemRun, read_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_GRAMS = {
    "operational_g": ("operation", theme.RED),
    "embodied_g": ("making, written off", theme.VIOLET),
    "early_g": ("making, went early", theme.ORANGE),
}
_COLUMNS = ("pool", "year", "bought", "moved_in", "facility_energy_j", *_GRAMS)
_COLOURS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.VIOLET, theme.RED)
_TONNE = 1e6


def tiles(run: SystemRun) -> list[Tile]:
    """The headline figures."""
    get = run.figure
    whole = get("carbon_g")

    def of_all(key: str) -> str:
        part = get(key)
        return percent(part / whole) if whole and part is not None else percent(None)

    making = (get("embodied_g") or 0.0) + (get("early_g") or 0.0)
    return [
        Tile("Carbon", _tonnes(whole), f"{of_all('operational_g')} of operation, with PUE"),
        Tile("Making", _tonnes(making), f"{of_all('early_g')} of all for what went early"),
        Tile(
            "Energy",
            amount(get("energy_j"), "J"),
            f"before PUE; {amount(get('facility_energy_j'), 'J')} with it",
        ),
        Tile("Devices", number(get("bought")), f"bought; {number(get('moved_in'))} moved on"),
    ]


def draw_carbon(figure: FigureBase, run: SystemRun) -> str:
    """Tonnes by year, stacked."""
    axes = figure.subplots()
    years = _years(run).groupby("year")[list(_GRAMS)].sum() / _TONNE
    floor = np.zeros(len(years))
    for key, (name, colour) in _GRAMS.items():
        grams = years[key].to_numpy()
        axes.bar(years.index, grams, bottom=floor, width=0.72, color=colour, label=name)
        floor += grams
    theme.legend(axes)
    _year_axis(axes)
    axes.set_ylabel("carbon (t)")
    return "All pools; operation has PUE in it."


def draw_bought(figure: FigureBase, run: SystemRun) -> str:
    """Devices bought and moved in by each pool."""
    axes = figure.subplots()
    pools = _by_pool(run)
    width = 0.8 / len(pools)
    for i, (name, colour, own) in enumerate(pools):
        at = own.year + (i - (len(pools) - 1) / 2) * width
        axes.bar(at, own.bought, width=0.9 * width, color=colour, label=name)
        axes.bar(at, own.moved_in, bottom=own.bought, width=0.9 * width, color=colour, alpha=0.4)
    theme.legend(axes)
    _year_axis(axes)
    axes.set_ylabel("devices")
    return "Bought in each year; pale: taken over from another pool."


def draw_grid(figure: FigureBase, run: SystemRun) -> str:
    """What a kWh of each pool's operation emitted, by year."""
    _lines(figure, run, "g/kWh", lambda own: own.operational_g / (own.facility_energy_j / 3.6e6))
    return "Grams of operation for a kWh at the meter, PUE in it."


def draw_energy(figure: FigureBase, run: SystemRun) -> str:
    """Energy of each pool by year."""
    _lines(figure, run, "energy (GWh)", lambda own: own.facility_energy_j / 3.6e12)
    return "At the meter, PUE in it."


def _lines(
    figure: FigureBase, run: SystemRun, label: str, of: Callable[[pd.DataFrame], pd.Series[float]]
) -> None:
    """A line by year for each pool."""
    axes = figure.subplots()
    for name, colour, own in _by_pool(run):
        axes.plot(own.year, of(own), color=colour, label=name, marker="o", markersize=3)
    theme.legend(axes)
    _year_axis(axes)
    axes.set_ylabel(label)


def _years(run: SystemRun) -> pd.DataFrame:
    frame: pd.DataFrame = read_columns(run.result, run.name, _COLUMNS).to_pandas()
    return frame


def _by_pool(run: SystemRun) -> list[tuple[str, str, pd.DataFrame]]:
    """Name, colour and rows of each pool, in the order of the table."""
    pools = _years(run).groupby("pool", sort=False)
    return [
        (str(name), colour, own)
        for (name, own), colour in zip(pools, cycle(_COLOURS), strict=False)
    ]


def _year_axis(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    from_zero(axes)


def _tonnes(grams: float | None) -> str:
    return f"{number(None if grams is None else grams / _TONNE)} t"


CARBON = Panel("carbon", "Carbon by year", draw_carbon)
BOUGHT = Panel("bought", "Devices bought", draw_bought)
ENERGY = Panel("energy", "Energy by year", draw_energy)
GRID = Panel("grid", "Carbon intensity", draw_grid)

SECTIONS = (("Fleet", (CARBON, BOUGHT, ENERGY, GRID)),)
