"""A picture of a run for a README: the report's key figures on one sheet."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from experiments.report import latency, load, theme, use
from experiments.report.run_data import ServingRun, read_result, systems
from sim.core.errors import ConfigError

#: The figures, best first; the first four that the run has data for are shown.
_PANELS = (latency.TTFT, load.REQUESTS, load.THROUGHPUT, use.POWER, latency.TPOT, load.RATES)

#: Pixels.
_WIDTH, _HEIGHT = 1000, 600


def picture(folder: Path) -> bytes:
    """A PNG of 1000 x 600 pixels with four figures of the run in a folder.

    Raises ConfigError where the folder holds no serving run or one without requests.
    """
    from matplotlib.figure import Figure

    result = read_result(Path(folder))
    names = systems(result)
    run = ServingRun(result, names[0]) if names else None
    panels = [panel for panel in _PANELS if run is not None and not panel.lacks(run)][:4]
    if run is None or not panels:
        raise ConfigError(f"{folder}: has no served requests to draw")
    buffer = BytesIO()
    with theme.drawing():
        figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), dpi=100)
        places: NDArray[Any] = figure.subfigures(2, 2, squeeze=False)
        for place, panel in zip(places.ravel(), panels, strict=False):
            panel.draw(place, run)
            panel.arrange(place, _WIDTH / 2, _HEIGHT / 2, above=34.0)
            place.suptitle(panel.title, x=0.03, y=0.95, ha="left", fontsize=10, fontweight="bold")
        figure.savefig(buffer, format="png", facecolor=theme.CARD, metadata={"Software": None})
    return buffer.getvalue()
