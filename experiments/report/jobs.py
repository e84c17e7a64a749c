"""What the report shows of batch jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.report import theme
from experiments.report.formats import amount, number, percent, plural
from experiments.report.overview import Tile
from experiments.report.panel import Panel, clock, from_zero, steps, time_axis
from experiments.report.run_data import Numbers, SystemRun, read_columns

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_JOB = ("id", "arrival_s", "deadline_s", "finish_s", "missed")
_RUN = ("id", "start_s", "end_s", "gpus", "what")
#: What jobs have GPUs for.
_WORK = "work"
_MOST_ROWS = 60
_H = 3600.0


def tiles(run: SystemRun) -> list[Tile]:
    """The headline figures."""
    get = run.figure
    arrived, missed = run.count("jobs_arrived"), run.count("deadlines_missed")
    rejected = run.count("jobs_rejected")
    work_s, overhead_s = get("work_s"), get("overhead_gpu_s")
    overhead = overhead_s / work_s if work_s and overhead_s is not None else None
    return [
        Tile("Jobs", f"{run.count('jobs_finished'):,}", f"finished, of {arrived:,}"),
        Tile(
            "Deadlines missed",
            f"{missed:,}",
            f"{plural(rejected, 'job')} turned away",
            "bad" if missed else "warn" if rejected else "",
        ),
        Tile(
            "Turnaround",
            _hours(get("turnaround_s.p50")),
            f"p99 {_hours(get('turnaround_s.p99'))}; "
            f"start after {_hours(get('start_delay_s.mean'))}",
        ),
        Tile(
            "GPUs in use",
            percent(get("gpu_share")),
            f"{plural(run.count('suspensions'), 'pause')}; overhead {percent(overhead)} of work",
        ),
        Tile("Carbon of a job", amount(get("carbon_per_job_g"), "g"), "mean, with PUE"),
        Tile("Carbon", amount(run.result.summary.get("carbon_g"), "g"), "of the cluster, with PUE"),
    ]


def draw_gpus(figure: FigureBase, run: SystemRun) -> str:
    """GPUs that jobs have, at work or not."""
    axes = figure.subplots()
    stints = read(run, f"{run.name}_runs", _RUN)
    unit_s, _ = clock(run)
    working = stints["what"] == _WORK
    for chosen, name, colour in (
        (np.ones_like(working), "with checkpoints and restarts", theme.ORANGE),
        (working, "at work", theme.BLUE),
    ):
        edges, gpus = held(stints, chosen, run.simulated_s)
        x, y = steps(edges / unit_s, gpus)
        axes.plot(x, y, color=colour, label=name, linewidth=1.2)
    axes.fill_between(x, y, color=theme.BLUE, alpha=0.12)
    theme.legend(axes)
    time_axis(axes, run)
    from_zero(axes, counts=True)
    axes.set_ylabel("GPUs")
    hours = run.figure("gpu_s")
    return f"{number(hours / _H if hours is not None else None)} GPU hours in all."


def draw_jobs(figure: FigureBase, run: SystemRun) -> str:
    """When each job ran, between its arrival and its deadline."""
    axes = figure.subplots()
    jobs, stints = read(run, _jobs(run), _JOB), read(run, f"{run.name}_runs", _RUN)
    order = np.argsort(jobs["arrival_s"], kind="stable")[:_MOST_ROWS]
    unit_s, _ = clock(run)
    arrival, deadline = (jobs[key][order] / unit_s for key in ("arrival_s", "deadline_s"))
    missed = jobs["missed"][order].astype(bool)
    rows = np.arange(len(order))
    axes.hlines(rows, arrival, deadline, color=theme.IDLE, linewidth=1.0)
    axes.plot(deadline[~missed], rows[~missed], "|", color=theme.EDGE, markersize=4)
    axes.plot(deadline[missed], rows[missed], "|", color=theme.RED, markersize=4)
    row_of = dict(zip(jobs["id"][order].tolist(), rows.tolist(), strict=True))
    spans: dict[int, list[tuple[float, float]]] = {}
    for job, start_s, end_s, what in zip(
        *(stints[key].tolist() for key in ("id", "start_s", "end_s", "what")), strict=True
    ):
        if what == _WORK and job in row_of:
            spans.setdefault(row_of[job], []).append((start_s / unit_s, (end_s - start_s) / unit_s))
    for row, worked in spans.items():
        axes.broken_barh(worked, (row - 0.31, 0.62), color=theme.BLUE)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False)
    time_axis(axes, run)
    first = (
        f"The first {_MOST_ROWS} of {len(jobs['id']):,} jobs"
        if len(rows) < len(jobs["id"])
        else "Each job"
    )
    return (
        f"{first} by arrival: its work on a line from arrival to deadline, red if that is missed."
    )


def held(
    stints: dict[str, Any], chosen: NDArray[np.bool_], end_s: float
) -> tuple[Numbers, Numbers]:
    """Edges of time up to `end_s`, and the GPUs held between them in the chosen stints."""
    start, end, gpus = (stints[key][chosen] for key in ("start_s", "end_s", "gpus"))
    times = np.concatenate([[0.0], start, end, [end_s]])
    change = np.concatenate([[0], gpus, -gpus, [0]])
    edges, at = np.unique(times, return_inverse=True)
    return edges, np.cumsum(np.bincount(at, change))[:-1].astype(np.float64)


def read(run: SystemRun, name: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """Columns of a table as arrays, by name."""
    table = read_columns(run.result, name, columns)
    return {key: table.column(key).to_numpy(zero_copy_only=False) for key in columns}


def _jobs(run: SystemRun) -> str:
    return "jobs" if run.name == "jobs" else f"{run.name}_jobs"


def _hours(seconds: float | None) -> str:
    return f"{number(None if seconds is None else seconds / _H)} h"


def _lacks_runs(run: SystemRun) -> str:
    table = read_columns(run.result, f"{run.name}_runs", ("id",))
    return "" if table.num_rows else "No job had a GPU."


GPUS = Panel("gpus", "GPUs of jobs", draw_gpus, _lacks_runs, wide=True)
JOBS = Panel("jobs", "Jobs", draw_jobs, _lacks_runs, wide=True, height=420, left=20, top=12)

SECTIONS = (("Jobs", (GPUS, JOBS)),)
