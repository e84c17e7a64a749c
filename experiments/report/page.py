"""The page of the report."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.report import books, carbon, latency, load, overview, settings, theme, use
from experiments.report.cautions import cautions
from experiments.report.formats import plain, plural, seconds
from experiments.report.panel import Panel
from experiments.report.run_data import ServingRun, read_result, systems
from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from sim.core.result import Result

#: Panels under their headings.
SECTIONS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Latency", (latency.CDF, latency.TTFT, latency.TPOT)),
    ("Load", (load.REQUESTS, load.RATES, load.THROUGHPUT, use.KV, load.SHARES)),
    ("Hardware", (use.PHASE_TIME, use.POWER)),
    ("Carbon", (carbon.COMPONENTS, carbon.GRID)),
    ("Workload", (load.LENGTHS,)),
)
#: Headings of figures that no system has for itself.
OF_THE_CLUSTER = ("Carbon",)
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
        shown = [_system(run, len(runs) > 1, i == 0) for i, run in enumerate(runs)]
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
        notices=cautions(chosen, result.summary),
        systems=shown,
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
    if runs:
        parts.append(f"{seconds(runs[0].simulated_s)} simulated")
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


def _system(run: ServingRun, named: bool, first: bool) -> dict[str, Any]:
    """What the template shows of one serving system, and with the first one of the cluster."""
    sections = [
        (heading, [_figure(panel, run) for panel in panels if not _pointless(panel, run)])
        for heading, panels in SECTIONS
        if first or heading not in OF_THE_CLUSTER
    ]
    return {
        "name": run.name if named else "",
        "tiles": overview.tiles(run),
        "notices": overview.notices(run),
        "latencies": overview.latency_table(run),
        "counts": overview.count_table(run),
        "sections": sections,
    }


def _pointless(panel: Panel, run: ServingRun) -> bool:
    return panel is load.SHARES and run.replicas == 1


def _figure(panel: Panel, run: ServingRun) -> dict[str, Any]:
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
