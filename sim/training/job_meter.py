"""Which job used the GPUs of a pool, step by step of who listens."""

from __future__ import annotations

from typing import NamedTuple

from sim.hardware.metering import Consumer, Part, StepUse
from sim.training.job import Job
from sim.training.stint import Stint


class Use:
    """What a job used by step, and in the one under way."""

    __slots__ = ("active_s", "held_s", "parts")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.active_s = self.held_s = 0.0

    def close(self, step: int, scale: float) -> None:
        """A step is over."""
        if self.active_s or self.held_s:
            self.parts.append(Part(step, self.active_s, self.held_s * scale))
            self.active_s = self.held_s = 0.0

    def take(self, other: Use) -> None:
        """What has come after it."""
        parts, later = self.parts, other.parts
        if parts and later and parts[-1].step == later[0].step:
            one, two = parts.pop(), later.pop(0)
            later.insert(0, Part(one.step, one.active_s + two.active_s, one.held_s + two.held_s))
        parts += later
        self.active_s += other.active_s
        self.held_s += other.held_s


class Told(NamedTuple):
    """What a job is told to have used, once the step is over."""

    job: Job
    use: Use
    lost: bool


class JobMeter:
    """Shares a pool of equal GPUs out among the jobs that hold them (see
    `sim.hardware.metering.UseMeter`): seconds of single GPUs, and of holding one as a share of all
    that jobs hold.

    Work is the job's own; what its state takes to write and read is in accounts of those names, and
    GPUs that wait for a repair in the account "down". Work that a failure undoes, all since its
    last state, is told as lost, by itself.
    """

    def __init__(self, now_s: float) -> None:
        self._step = 0
        self._since_s = now_s
        #: Active seconds of the group and the time, when a stint was last looked at.
        self._seen: dict[Stint, tuple[float, float]] = {}
        self._active: dict[str, float] = {}
        self._held: dict[str, float] = {}
        #: Of jobs that have begun and are not done: what is behind their last state, and since.
        self._open: dict[int, tuple[Job, Use, Use]] = {}
        #: Uses that have grown in the step.
        self._grown: dict[int, Use] = {}
        self._ended: list[Told] = []

    def begin(self, stint: Stint) -> None:
        """A job has its GPUs."""
        now = stint.group.env.now
        self._seen[stint] = stint.group.active_at(now), now
        job = stint.job
        _, safe, since = self._open.get(job.id, (job, Use(), Use()))
        safe.take(since)
        self._grown[id(safe)] = safe
        self._open[job.id] = job, safe, Use()

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
            use = self._open[stint.job.id][2]
            use.active_s += used
            use.held_s += held
            self._grown[id(use)] = use

    def end(self, stint: Stint) -> None:
        """A job gives its GPUs back."""
        del self._seen[stint]

    def lost(self, stint: Stint) -> None:
        """A failure has undone what a stint did."""
        job, safe, since = self._open[stint.job.id]
        self._ended.append(Told(job, since, True))
        self._open[job.id] = job, safe, Use()

    def ended(self, job: Job) -> None:
        """A job is done."""
        if job.id in self._open:
            self._ended.append(self._whole(job))

    def _whole(self, job: Job) -> Told:
        _, safe, since = self._open.pop(job.id)
        safe.take(since)
        self._grown[id(safe)] = safe
        return Told(job, safe, False)

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """See `UseMeter`."""
        for stint in self._seen:
            self.note(stint)
        total = sum(self._held.values())
        scale = (now_s - self._since_s) / total if total else 0.0
        told = self._ended
        if last:
            told = [*told, *[self._whole(self._open[number][0]) for number in sorted(self._open)]]
        for use in [*self._grown.values(), *[each.use for each in told]]:
            use.close(self._step, scale)
        ended = [
            Consumer(
                job.id, job.demand.kind, use.parts, job.status == "finished" and not lost, lost
            )
            for job, use, lost in told
            if use.parts or not lost
        ]
        held = {account: seconds * scale for account, seconds in self._held.items()}
        step = StepUse(self._active, held, ended)
        self._step += 1
        self._since_s = now_s
        self._active, self._held, self._grown, self._ended = {}, {}, {}, []
        return step
