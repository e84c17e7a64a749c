"""Which job used the GPUs of a pool, step by step of who listens."""

from __future__ import annotations

from sim.hardware.metering import Consumer, Part, StepUse
from sim.training.job import Job
from sim.training.stint import Stint


class JobMeter:
    """Shares a pool of equal GPUs out among the jobs that hold them (see
    `sim.hardware.metering.UseMeter`): seconds of single GPUs, and of holding one as a share of all
    that jobs hold.

    Work is the job's own; what its state takes to write and read is in accounts of those names, and
    GPUs that wait for a repair in the account "down".
    """

    def __init__(self, now_s: float) -> None:
        self._step = 0
        self._since_s = now_s
        #: Active seconds of the group and the time, when a stint was last looked at.
        self._seen: dict[Stint, tuple[float, float]] = {}
        self._active: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._own: dict[int, tuple[Job, float, float]] = {}
        self._ended: list[Job] = []
        #: Jobs that have begun and are not done.
        self._open: dict[int, Job] = {}

    def begin(self, stint: Stint) -> None:
        """A job has its GPUs."""
        now = stint.group.env.now
        self._seen[stint] = stint.group.active_at(now), now
        self._open[stint.job.id] = stint.job

    def note(self, stint: Stint) -> None:
        """Count what a stint has used until now, for what it does now."""
        active_before, before = self._seen[stint]
        now = stint.group.env.now
        active = stint.group.active_at(now)
        self._seen[stint] = active, now
        used, held = stint.gpus * (active - active_before), stint.gpus * (now - before)
        if not (used or held):
            return
        what = stint.what
        self._active[what] = self._active.get(what, 0.0) + used
        self._held[what] = self._held.get(what, 0.0) + held
        if what == "work":
            job = stint.job
            _, active_s, held_s = self._own.get(job.id, (job, 0.0, 0.0))
            self._own[job.id] = job, active_s + used, held_s + held

    def end(self, stint: Stint) -> None:
        """A job gives its GPUs back."""
        del self._seen[stint]

    def ended(self, job: Job) -> None:
        """A job is done."""
        if self._open.pop(job.id, None) is not None:
            self._ended.append(job)

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """See `UseMeter`."""
        for stint in self._seen:
            self.note(stint)
        total = sum(self._held.values())
        scale = (now_s - self._since_s) / total if total else 0.0
        for job, active_s, held_s in self._own.values():
            job.parts.append(Part(self._step, active_s, held_s * scale))
        left = sorted(self._open.values(), key=lambda job: job.id) if last else []
        ended = [self._consumer(job) for job in [*self._ended, *left]]
        held = {account: seconds * scale for account, seconds in self._held.items()}
        use = StepUse(self._active, held, ended)
        self._step += 1
        self._since_s = now_s
        self._active, self._held, self._own, self._ended = {}, {}, {}, []
        return use

    @staticmethod
    def _consumer(job: Job) -> Consumer:
        parts, job.parts = job.parts, []
        return Consumer(job.id, job.demand.kind, parts, finished=job.status == "finished")
