"""What a figure of the report is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.report.run_data import Numbers, ServingRun, SystemRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


R_contra = TypeVar("R_contra", bound=SystemRun, contravariant=True)


def lacks_nothing(run: SystemRun) -> str:
    """Panels that can always be drawn."""
    return ""


@dataclass(frozen=True)
class Panel(Generic[R_contra]):
    """A figure: `draw(figure, run)` draws it and returns its caption. `lacks(run)` says why it
    cannot be drawn, or nothing. `wide` ones take the page's whole width. Height and margins are in
    pixels of the page, `gap` is that between plots beside each other, in widths of a plot."""

    key: str
    title: str
    draw: Callable[[FigureBase, R_contra], str]
    lacks: Callable[[R_contra], str] = lacks_nothing
    wide: bool = False
    height: int = 250
    left: int = 58
    right: int = 10
    top: int = 26
    bottom: int = 40
    gap: float = 0.2

    def arrange(self, figure: FigureBase, width: float, height: float, above: float = 0.0) -> None:
        """Place the plots in a figure of that size, `above` pixels left free on top."""
        figure.subplots_adjust(
            left=self.left / width,
            right=1.0 - self.right / width,
            top=1.0 - (self.top + above) / height,
            bottom=self.bottom / height,
            wspace=self.gap,
        )


def lacks_finished(run: ServingRun) -> str:
    """Panels of finished requests."""
    return "" if run.finished.any() else "No request finished."


def lacks_requests(run: ServingRun) -> str:
    """Panels of all requests."""
    return "" if len(run.finished) else "No request arrived."


def lacks_series(run: ServingRun) -> str:
    """Panels of the series."""
    if run.series is not None:
        return ""
    return "Fewer than two samples: set series_interval_s to less than the length of the run."


def clock(run: SystemRun) -> tuple[float, str]:
    """The unit of time axes: its seconds and its name."""
    for unit_s, name in ((3600.0, "h"), (60.0, "min")):
        if run.simulated_s > 10 * unit_s:
            return unit_s, name
    return 1.0, "s"


def time_axis(axes: Axes, run: SystemRun) -> None:
    """A horizontal axis of simulated time."""
    unit_s, name = clock(run)
    axes.set_xlim(0.0, max(run.simulated_s, 1e-9) / unit_s)
    axes.set_xlabel(f"simulated time ({name})")


def from_zero(axes: Axes, *, counts: bool = False) -> None:
    """A vertical axis that begins at 0 and has no more than five ticks; `counts` are whole."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    top = axes.get_ylim()[1]
    low = 1.05 if counts else 0.0
    axes.set_ylim(0.0, max(top, low) if top > 0.0 else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=counts))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def latency_unit(top_s: float) -> tuple[float, str]:
    """The unit of a latency axis that reaches up to `top_s`: its seconds and its name."""
    for unit_s, name in ((1.0, "s"), (1e-3, "ms")):
        if top_s >= unit_s:
            return unit_s, name
    return 1e-6, "µs"


def steps(edges: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    """Corners of a line that is constant between edges."""
    return np.repeat(edges, 2)[1:-1], np.repeat(values, 2)


def grouped(values: Numbers, groups: NDArray[np.intp], count: int) -> list[Numbers]:
    """The values of each group 0, 1, ... count - 1."""
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(1, count))
    return np.split(values[order], ends)
