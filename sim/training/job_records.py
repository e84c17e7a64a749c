"""Tables of jobs and of what they ran, and the figures that follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.core.result import Draft, Value
from sim.core.spread import spread
from sim.training.job import Job

COLUMNS = {
    "id": "int64",
    "status": "string",
    "kind": "string",
    "arrival_s": "float64",
    "deadline_s": "float64",
    "start_s": "float64",
    "finish_s": "float64",
    "work_s": "float64",
    "gpu_s": "float64",
    "overhead_gpu_s": "float64",
    "waited_s": "float64",
    "plans": "int32",
    "suspensions": "int32",
    "lost_iterations": "int64",
    "missed": "bool_",
}
RUN_COLUMNS = {
    "id": "int64",
    "start_s": "float64",
    "end_s": "float64",
    "gpus": "int32",
    "what": "string",
}
_STATES = ("finished", "rejected", "unfinished")


class JobRecords:
    """Writes a row for each job as it ends, and one for each stretch of time on GPUs."""

    def __init__(self, results: Draft, name: str) -> None:
        own = "jobs" if name == "jobs" else f"{name}_jobs"
        self._jobs = results.table(own, COLUMNS, self._keep)
        self._runs = results.table(f"{name}_runs", RUN_COLUMNS)
        self._kept: dict[str, list[Any]] = {key: [] for key in COLUMNS}

    def ran(self, job: int, start_s: float, end_s: float, gpus: int, what: str) -> None:
        """A job had GPUs for this."""
        self._runs.append((job, start_s, end_s, gpus, what))
        self._runs.flush_when_full()

    def end(self, job: Job) -> None:
        """A job is done, was turned away, or is cut off by the end of the run."""
        demand = job.demand
        self._jobs.append(
            (
                job.id,
                job.status,
                demand.kind,
                demand.arrival_s,
                demand.deadline_s,
                job.start_s if job.start_s >= 0.0 else None,
                job.finish_s if job.finish_s >= 0.0 else None,
                demand.work_s,
                job.gpu_s,
                job.overhead_gpu_s,
                job.waited_s,
                job.plans,
                job.suspensions,
                job.lost,
                job.missed,
            )
        )
        self._jobs.flush_when_full()

    def close(self) -> dict[str, Value]:
        """Figures over all jobs.

        `start_delay_s`: from arrival to first start; `late_s`: after the deadline, of those that
        missed it; `waited_s`: for GPUs that others had.
        """
        self._jobs.write()
        self._runs.write()
        kept = {key: np.concatenate(parts) for key, parts in self._kept.items() if parts}
        if not kept:
            kept = {key: np.empty(0) for key in COLUMNS}
        status = kept["status"]
        figures: dict[str, Value] = {"jobs_arrived": len(status)}
        for state in _STATES:
            figures[f"jobs_{state}"] = int((status == state).sum())
        missed = kept["missed"].astype(bool)
        figures["deadlines_missed"] = int(missed.sum())
        done = status == "finished"
        start, finish = (kept[key].astype(np.float64) for key in ("start_s", "finish_s"))
        arrival, deadline = kept["arrival_s"], kept["deadline_s"]
        figures |= spread("start_delay_s", (start - arrival)[~np.isnan(start.astype(float))])
        figures |= spread("turnaround_s", (finish - arrival)[done])
        figures |= spread("late_s", (finish - deadline)[missed])
        figures["work_s"] = float(kept["work_s"][done].sum())
        for key in ("gpu_s", "overhead_gpu_s", "waited_s"):
            figures[key] = float(kept[key].sum())
        for key in ("plans", "suspensions", "lost_iterations"):
            figures[key] = int(kept[key].sum())
        return figures

    def _keep(self, batch: Any) -> None:
        for key in COLUMNS:
            self._kept[key].append(batch.column(key).to_numpy(zero_copy_only=False))
