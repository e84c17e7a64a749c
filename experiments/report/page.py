"""The page of the report."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from experiments.report import (
    books,
    carbon,
    fleet,
    jobs,
    latency,
    load,
    overview,
    packets,
    settings,
    theme,
    use,
)
from experiments.report.formats import plain, plural, seconds
from experiments.report.overview import Tile
from experiments.report.panel import Panel
from experiments.report.run_data import ServingRun, SystemRun, read_result, systems
from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from sim.core.result import Result

R = TypeVar("R", bound=SystemRun)

Sections: TypeAlias = tuple[tuple[str, tuple[Panel[SystemRun], ...]], ...]

#: Panels of a serving system under their headings.
SECTIONS: tuple[tuple[str, tuple[Panel[ServingRun], ...]], ...] = (
    ("Latency", (latency.CDF, latency.TTFT, latency.TPOT)),
    ("Load", (load.REQUESTS, load.RATES, load.THROUGHPUT, use.KV, load.SHARES)),
    ("Hardware", (use.PHASE_TIME, use.POWER)),
    ("Workload", (load.LENGTHS,)),
)
#: Other systems: what they count that no others do, their headline figures and their panels.
OTHERS: tuple[tuple[str, Callable[[SystemRun], list[Tile]], Sections], ...] = (
    ("packets_arrived", packets.tiles, packets.SECTIONS),
    ("jobs_arrived", jobs.tiles, jobs.SECTIONS),
    ("early_g", fleet.tiles, fleet.SECTIONS),
)
#: Figures that no system has for itself.
OF_THE_CLUSTER = (("Carbon", (carbon.COMPONENTS, carbon.GRID)),)
#: Width of a figure in pixels: half of the page, the whole of it.
_HALF, _WHOLE = 520, 1060


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder, from what lies there alone. Returns its path.

    The page needs nothing else: figures are inline. The same folder gives the same page. Raises
    ConfigError naming a file that is missing, broken or cannot be written.
    """
    folder = Path(folder)
    result = read_result(folder)
    page = _render(result, folder)
    target = folder / "report.html"
    draft = folder / f".report.html.{os.getpid()}.partial"
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def _render(result: Result, folder: Path) -> str:
    from jinja2 import Environment, StrictUndefined

    chosen = settings.resolved(result)
    command = settings.command(folder)
    names = systems(result)
    runs = [ServingRun(result, name) for name in names]
    with theme.drawing():
        shown = [_serving(run) for run in runs] + _others(result)
        cluster = _cluster(result) if shown else []
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    template = environment.from_string(
        files("experiments.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    return template.render(
        title=settings.title(chosen) or folder.resolve().name,
        subtitle=_subtitle(runs, chosen, result),
        light=theme.variables(dark=False),
        dark=theme.variables(dark=True),
        systems=shown,
        cluster=cluster,
        latencies=bool(runs),
        listings=books.listings(result, names),
        choices=settings.in_short(chosen),
        command=command,
        yaml=settings.in_full(folder),
        metrics=[(key, plain(value)) for key, value in sorted(result.summary.items())],
        provenance=_provenance(result.provenance),
    )


def _subtitle(runs: list[ServingRun], chosen: dict[str, Any], result: Result) -> str:
    parts = []
    for run in runs:
        name = f"{run.name}: " if len(runs) > 1 else ""
        parts.append(f"{name}{plural(run.count('requests_arrived'), 'request')}")
    if "cluster" in result.config:
        parts.append(f"{seconds(result.summary.get('simulated_s'))} simulated")
    parts += _plans(result)
    if chosen.get("seed") is not None:
        parts.append(f"seed {chosen['seed']}")
    return " · ".join(parts)


def _plans(result: Result) -> list[str]:
    """The plan of each data path, and what binds it."""
    return [
        f"plan {result.summary.get(f'{system}.plan')}, bound by {bound_by}"
        for system, bound_by in (
            (key.removesuffix(".bound_by"), value)
            for key, value in result.summary.items()
            if key.endswith(".bound_by")
        )
    ]


def _serving(run: ServingRun) -> dict[str, Any]:
    """What the template shows of a serving system."""
    sections = [
        (heading, [_figure(panel, run) for panel in panels if not _pointless(panel, run)])
        for heading, panels in SECTIONS
    ]
    return {
        "name": run.name,
        "tiles": overview.tiles(run),
        "notices": overview.notices(run),
        "latencies": overview.latency_table(run),
        "counts": overview.count_table(run),
        "sections": sections,
    }


def _others(result: Result) -> list[dict[str, Any]]:
    """What it shows of systems of other kinds."""
    return [
        {
            "name": name,
            "tiles": tiles(run),
            "notices": [],
            "latencies": [],
            "sections": [(title, [_figure(each, run) for each in own]) for title, own in panels],
        }
        for counted, tiles, panels in OTHERS
        for name in systems(result, counted)
        if name in result.config.get("systems", ())
        for run in (SystemRun(result, name),)
    ]


def _cluster(result: Result) -> list[tuple[str, list[dict[str, Any]]]]:
    """Figures of the whole cluster, where a run has one."""
    if "cluster" not in result.config:
        return []
    run = SystemRun(result, "cluster")
    return [(title, [_figure(each, run) for each in panels]) for title, panels in OF_THE_CLUSTER]


def _pointless(panel: Panel[ServingRun], run: ServingRun) -> bool:
    return panel is load.SHARES and run.replicas == 1


def _figure(panel: Panel[R], run: R) -> dict[str, Any]:
    from matplotlib.figure import Figure

    from experiments.report.svg import inline

    shown = {"title": panel.title, "wide": panel.wide, "caption": panel.lacks(run), "svg": ""}
    if shown["caption"]:
        return shown
    width = _WHOLE if panel.wide else _HALF
    figure = Figure(figsize=(width / 100, panel.height / 100))
    shown["caption"] = caption = panel.draw(figure, run)
    panel.arrange(figure, width, panel.height)
    key = f"{run.name}-{panel.key}"
    shown["svg"] = inline(figure, key, panel.title, caption)
    return shown


def _provenance(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in provenance.items():
        if isinstance(value, dict):
            rows += [(f"{key}: {name}", str(inner)) for name, inner in value.items()]
        else:
            rows.append((key, plain(value)))
    return rows
