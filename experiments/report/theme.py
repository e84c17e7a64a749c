"""Colours and type of the report, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Name: (light, dark). Figures are drawn in the light ones, which the page turns into variables;
#: so no two of those may be alike.
COLOURS = {
    "page": ("#f5f6f8", "#11161c"),
    "card": ("#ffffff", "#192028"),
    "ink": ("#1c2733", "#e4e9ef"),
    "muted": ("#586573", "#9ba8b6"),
    "edge": ("#b8c1cb", "#4b5866"),
    "grid": ("#e6eaee", "#27313c"),
    "blue": ("#2f6fad", "#6ea9e0"),
    "orange": ("#cf7a2b", "#e9a15c"),
    "green": ("#3b8c6d", "#64bd9b"),
    "violet": ("#7a5fac", "#aa92da"),
    "red": ("#b3434b", "#e37d83"),
    "idle": ("#d3d9df", "#36414d"),
}
INK, MUTED, EDGE, GRID = (COLOURS[name][0] for name in ("ink", "muted", "edge", "grid"))
BLUE, ORANGE, GREEN = (COLOURS[name][0] for name in ("blue", "orange", "green"))
VIOLET, RED, IDLE = (COLOURS[name][0] for name in ("violet", "red", "idle"))
CARD = COLOURS["card"][0]

_SETTINGS = {
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": EDGE,
    "axes.linewidth": 0.7,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.0,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": EDGE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8.0,
    "xtick.major.size": 3.0,
    "xtick.major.width": 0.7,
    "xtick.minor.size": 0.0,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8.0,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
    "text.color": INK,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.labelcolor": MUTED,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "path.simplify_threshold": 0.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "orrery",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Figures drawn within look like the report's."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):  # type: ignore[arg-type]
        yield


def use() -> None:
    """Figures drawn from now on look like the report's: for notebooks."""
    import matplotlib

    matplotlib.rcParams.update(_SETTINGS | {"figure.facecolor": CARD})  # type: ignore[arg-type]


def variables(dark: bool) -> str:
    """The colours as CSS variables."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLOURS.items())


def legend(axes: Axes) -> None:
    """A legend in one row above the axes."""
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=max(1, len(handles)))
