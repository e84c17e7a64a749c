"""Pictures of papers' studies."""

from __future__ import annotations

from io import BytesIO
from typing import TypeVar

from experiments.report import theme
from experiments.reproduce.claim import Plot
from sim.core.errors import ConfigError

D = TypeVar("D")

#: Pictures are kept with the source, so they stay small.
LARGEST_BYTES = 60_000


def picture(plot: Plot[D], data: D) -> bytes:
    """The plot as a PNG, the same bytes for the same data. Raises ConfigError where it is larger
    than LARGEST_BYTES."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    buffer = BytesIO()
    with theme.drawing():
        size = (plot.width / 100, plot.height / 100)
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = Figure(figsize=size, dpi=100, layout=layout)
        plot.draw(figure, data)
        figure.suptitle(plot.title, x=0.02, ha="left", fontsize=10, fontweight="bold")
        figure.savefig(buffer, format="png", facecolor=theme.CARD, metadata={"Software": None})
    found = buffer.getvalue()
    if len(found) > LARGEST_BYTES:
        raise ConfigError(
            f"the picture has {len(found):,} bytes; draw less, for at most {LARGEST_BYTES:,}"
        )
    return found
