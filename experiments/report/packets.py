"""What the report shows of a data path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report import theme
from experiments.report.formats import digits, number, percent, plural
from experiments.report.overview import Tile
from experiments.report.panel import Panel, clock, from_zero, time_axis
from experiments.report.run_data import SystemRun, read_columns, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_EPOCH = (
    "time_s", "offered_pps", "delivered_pps", "dropped_pps", "busy_cores", "cores", "offloaded",
)  # fmt: skip
#: What fills up when a plan meets its limit, as the metrics name it.
_LOADS = "utilisation"


def tiles(run: SystemRun) -> list[Tile]:
    """The headline figures."""
    get, summary = run.figure, run.result.summary
    dropped = get("drop_share")
    each, whole = run.figure("carbon_g"), get("packets_left")
    per_billion = None if each is None or not whole else each / whole * 1e9
    found = [
        Tile(
            "Throughput",
            f"{number(get('throughput_mpps'))} Mpps",
            f"{number(get('throughput_gbps'))} Gbit/s",
        ),
        Tile("Offered", f"{number(get('offered_mpps'))} Mpps", _packets(get("packets_arrived"))),
        Tile(
            "Dropped",
            percent(dropped),
            _packets(get("packets_dropped")),
            "bad" if dropped and dropped > 1e-3 else "warn" if dropped else "",
        ),
        Tile(
            "Host cores",
            f"{number(get('cores'))} cores",
            f"{number(get('busy_cores'))} at work; "
            f"{number(get('host_cycles_per_packet'))} cycles a packet",
        ),
        Tile("Plan", str(summary.get(f"{run.name}.plan")), f"bound by {_bound_by(run)}"),
    ]
    if get("latency_us.p50") is not None:
        found.append(
            Tile(
                "Latency",
                f"{number(get('latency_us.p50'))} µs",
                f"p99 {number(get('latency_us.p99'))} µs",
            )
        )
    if per_billion is not None:
        found.append(
            Tile("Carbon", f"{digits(per_billion)} g", "a billion packets, with PUE and idle cores")
        )
    return found


def draw_rates(figure: FigureBase, run: SystemRun) -> str:
    """Packets offered, delivered and dropped in each epoch."""
    axes = figure.subplots()
    epochs = _epochs(run)
    unit_s, _ = clock(run)
    for column, name, colour in (
        ("offered_pps", "offered", theme.ORANGE),
        ("delivered_pps", "delivered", theme.GREEN),
        ("dropped_pps", "dropped", theme.RED),
    ):
        axes.plot(epochs["time_s"] / unit_s, epochs[column] / 1e6, color=colour, label=name)
    _mark_plans(axes, run)
    theme.legend(axes)
    time_axis(axes, run)
    from_zero(axes)
    axes.set_ylabel("million packets/s")
    return f"By epoch. {_plans_text(run)}"


def draw_cores(figure: FigureBase, run: SystemRun) -> str:
    """Host cores at work and provided."""
    axes = figure.subplots()
    epochs = _epochs(run)
    unit_s, _ = clock(run)
    at = epochs["time_s"] / unit_s
    axes.fill_between(at, epochs["busy_cores"], color=theme.BLUE, alpha=0.12)
    axes.plot(at, epochs["busy_cores"], color=theme.BLUE, label="at work")
    axes.plot(at, epochs["cores"], color=theme.VIOLET, label="provided", drawstyle="steps-pre")
    _mark_plans(axes, run)
    theme.legend(axes)
    time_axis(axes, run)
    from_zero(axes, counts=True)
    axes.set_ylabel("host cores")
    most = int(epochs["offloaded"].max())
    return f"By epoch. {_plans_text(run)} At most {plural(most, 'flow')} at the NIC."


def draw_loads(figure: FigureBase, run: SystemRun) -> str:
    """How full everything was that packets need."""
    axes = figure.subplots()
    loads = {name: run.figure(f"{_LOADS}.{name}") for name in run.parts(_LOADS)}
    shown = sorted(
        ((100.0 * load, name) for name, load in loads.items() if load is not None), reverse=True
    )
    shares, names = [load for load, _ in shown], [name.replace("_", " ") for _, name in shown]
    axes.barh(range(len(shown)), shares, height=0.62, color=theme.BLUE)
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0.0, 100.0)
    axes.set_xlabel("in use (%)")
    return f"Mean over the run. The plan is bound by {_bound_by(run)}."


def draw_latencies(figure: FigureBase, run: SystemRun) -> str:
    """Median and 99th percentile of each class of packets."""
    axes = figure.subplots()
    names = run.parts("latency_us", "p50")
    at = np.arange(len(names))
    for i, (key, colour) in enumerate((("p50", theme.BLUE), ("p99", theme.ORANGE))):
        values = [run.figure(f"latency_us.{name}.{key}") or 0.0 for name in names]
        axes.bar(at + 0.36 * (i - 0.5), values, width=0.34, color=colour, label=key)
    axes.set_xticks(at, names)
    theme.legend(axes)
    from_zero(axes)
    axes.set_ylabel("latency (µs)")
    return "By class of packets as the program names them; from the wire to the wire."


def _epochs(run: SystemRun) -> dict[str, Any]:
    table = read_columns(run.result, f"{run.name}_epochs", _EPOCH)
    shown = thinned(table.column("time_s").to_numpy(), 800)
    return {name: table.column(name).to_numpy()[shown] for name in _EPOCH}


def _mark_plans(axes: Axes, run: SystemRun) -> None:
    unit_s, _ = clock(run)
    for time_s in _changes(run):
        axes.axvline(time_s / unit_s, color=theme.EDGE, linewidth=0.8, linestyle=(0, (4, 3)))


def _changes(run: SystemRun) -> list[float]:
    """When a plan other than the first was decided."""
    table = read_columns(run.result, f"{run.name}_plans", ("decided_s",))
    times: list[float] = table.column("decided_s").to_pylist()
    return times[1:]


def _plans_text(run: SystemRun) -> str:
    count = len(_changes(run))
    return f"Lines: {plural(count, 'new plan')}." if count else "One plan for all of the run."


def _packets(count: float | None) -> str:
    return f"{number(count)} packets"


def _bound_by(run: SystemRun) -> str:
    return str(run.result.summary.get(f"{run.name}.bound_by"))


def _lacks_epochs(run: SystemRun) -> str:
    name = f"{run.name}_epochs"
    if name in run.result.tables:
        table = read_columns(run.result, name, ("time_s",))
        if table.num_rows >= 2:
            return ""
    return (
        "Nothing was counted by epoch: that is for a policy that adapts, as partition=cora, "
        "and for rates."
    )


def _lacks_latencies(run: SystemRun) -> str:
    return (
        ""
        if run.parts("latency_us", "p50")
        else "Rates have no latencies; packets have (rates=false)."
    )


RATES = Panel("packets", "Packets", draw_rates, _lacks_epochs)
CORES = Panel("cores", "Host cores", draw_cores, _lacks_epochs)
LOADS = Panel("loads", "What is in use", draw_loads, left=110, top=12)
LATENCIES = Panel("classes", "Latency by class", draw_latencies, _lacks_latencies)

SECTIONS = (("Packets", (RATES, CORES, LOADS, LATENCIES)),)
