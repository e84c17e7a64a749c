"""A timeline of jobs: which GPU each one had, for what."""

from __future__ import annotations

from typing import Any

from sim.core.simulation import Simulation
from sim.core.timeline import TraceEvents, check_drawn, event, span
from sim.hardware.facts import DeviceChanged
from sim.training.facts import JobEnded, JobRan
from sim.training.jobs import Jobs

_GPUS, _JOBS = 1, 2


class JobTimeline:
    """Writes `timeline.json.gz` (see `sim.core.timeline`): a row for each GPU with the jobs that
    it served, and each job from its arrival to its end."""

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events

    def attach(self, simulation: Simulation) -> None:
        """Listen."""
        self._simulation = simulation
        check_drawn(simulation, Jobs, "batch jobs")
        self._trace = TraceEvents(simulation.results.folder, self._max_events)
        self._rows: dict[str, int] = {}
        self._full = False
        for pid, name in ((_GPUS, "GPUs"), (_JOBS, "jobs")):
            self._write(event("M", "process_name", pid, 0, 0.0, args={"name": name}))
        for kind, listener in (
            (JobRan, self._ran),
            (JobEnded, self._ended),
            (DeviceChanged, self._changed),
        ):
            simulation.facts.subscribe(kind, listener)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was written, where the run has no folder."""
        return self._trace.events

    def finish(self, results: Any) -> None:
        """Close the file."""
        if not self._full:
            self._trace.end()

    def _ran(self, fact: JobRan) -> None:
        job = fact.job
        name = f"job {job.id}" if fact.what == "work" else f"job {job.id}: {fact.what}"
        args = {"gpus": len(fact.gpus), "iterations left": job.left}
        for gpu in fact.gpus:
            times = (fact.start_s, fact.end_s)
            self._write(span(name, _GPUS, self._row(gpu), *times, cat=fact.what, args=args))

    def _ended(self, fact: JobEnded) -> None:
        job = fact.job
        args = {"status": job.status, "deadline_s": job.demand.deadline_s, "missed": job.missed}
        for ph, time_s in (("b", job.demand.arrival_s), ("e", fact.time_s)):
            name = f"job {job.id}"
            self._write(event(ph, name, _JOBS, 0, time_s, cat="job", id=job.id, args=args))

    def _changed(self, fact: DeviceChanged) -> None:
        row = self._row(fact.device)
        self._write(event("i", fact.what, _GPUS, row, fact.time_s, s="t", cat="device"))

    def _row(self, device: str) -> int:
        row = self._rows.get(device)
        if row is None:
            row = self._rows[device] = len(self._rows) + 1
            self._write(event("M", "thread_name", _GPUS, row, 0.0, args={"name": device}))
        return row

    def _write(self, written: dict[str, Any]) -> None:
        if not self._full and not self._trace.add([written]):
            self._full = True
            name = f"timeline stopped: max_events ({self._max_events}) reached"
            self._trace.end(event("i", name, _GPUS, 0, self._simulation.now, s="g"))
