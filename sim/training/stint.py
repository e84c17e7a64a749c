"""A job on its GPUs, from when it gets them until it gives them back."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from models.step_cost import StepCost
from sim.core.environment import Alarm
from sim.hardware.device import Device, DeviceGroup
from sim.hardware.run import Run
from sim.training.job import ROUNDING_S, Job


class Overheads(NamedTuple):
    """What it takes to write a job's state when it is suspended and to read it when it goes on:
    seconds, and the share of the GPUs' dynamic power range meanwhile."""

    checkpoint_s: float
    restore_s: float
    power_share: float

    @property
    def pause_s(self) -> float:
        """The shortest pause, or change of the number of GPUs."""
        return self.checkpoint_s + self.restore_s

    def slowed(self, slow: float) -> Overheads:
        """Where a second of them takes so many."""
        return Overheads(self.checkpoint_s * slow, self.restore_s * slow, self.power_share)


class Owner(Protocol):
    """Whose jobs they are."""

    def stop(self, stint: Stint) -> float:
        """It is time to stop, with work left: until when to go on (now or before: not at all)."""
        ...

    def over(self, stint: Stint) -> None:
        """The GPUs can be given back."""
        ...

    def lost(self, stint: Stint) -> None:
        """A failure has undone all that it did since its last state."""
        ...

    def phase_ended(self, stint: Stint, start_s: float) -> None:
        """What it does (`stint.what`) since then ends now."""
        ...


class Stint:
    """Restores the job's state where it has any, works, and writes the state where it is not done.

    `until_s`: when to stop (infinite: when the work is done); an iteration under way is finished
    first. `what`: it does now: "work", "restore", "checkpoint", or "down".

    A failed device ends an iteration; what was done since the stint began is lost, and is begun
    anew from the last state once the devices are repaired.
    """

    def __init__(
        self,
        job: Job,
        level: int,
        group: DeviceGroup,
        overheads: Overheads,
        owner: Owner,
    ) -> None:
        self.job = job
        self.level = level
        self.group = group
        self.until_s = float("inf")
        self.what = ""
        self._overheads = overheads
        self._owner = owner
        self._alarm = Alarm(group.env, self._time_up)
        self._run: Run | None = None
        self._since_s = group.env.now
        self._done = 0

    @property
    def gpus(self) -> int:
        return len(self.group.devices)

    def begin(self, until_s: float) -> None:
        """Start now, to stop at a time."""
        self.go_on(until_s)
        self._start()

    def go_on(self, until_s: float) -> None:
        """Stop at another time."""
        self.until_s = until_s
        if until_s < float("inf"):
            # Just before, so that the boundary at that very moment is the last.
            self._alarm.ring(max(self.group.env.now, until_s - ROUNDING_S))
        else:
            self._alarm.cancel()

    def _start(self) -> None:
        if not self.group.up:
            self._wait_for_repair()
        elif self.job.begun and self._overheads.restore_s:
            self._change("restore")
            self._go(self._overhead(self._overheads.restore_s), 1)
        else:
            self._work()

    def _work(self) -> None:
        self._change("work")
        level = self.job.demand.levels[self.level]
        step_s = self.job.iteration_s / level.work_per_s
        cost = StepCost(step_s, active_first=level.power_share * step_s)
        self._go(cost, self.job.left)
        if self.group.env.now >= self.until_s - ROUNDING_S:
            # Restoring took the whole time: one iteration at least.
            self._time_up()

    def _go(self, cost: StepCost, steps: int) -> None:
        if self._run is None:
            self._run = self.group.run(cost, steps, self._boundary, self._failed)
        else:
            self._run.begin(cost, steps)

    def _overhead(self, seconds: float) -> StepCost:
        return StepCost(seconds, active_first=self._overheads.power_share * seconds)

    def _boundary(self, steps: int) -> None:
        run = self._run
        assert run is not None
        if self.what == "restore":
            self._work()
        elif self.what == "checkpoint":
            self._leave()
        else:
            job = self.job
            job.left -= steps
            self._done += steps
            now = self.group.env.now
            if not job.left:
                self._leave()
            elif now >= self.until_s - ROUNDING_S:
                until_s = self._owner.stop(self)
                if until_s > now:
                    self.go_on(until_s)
                    run.hold(job.left)
                elif self._overheads.checkpoint_s:
                    self._change("checkpoint")
                    run.begin(self._overhead(self._overheads.checkpoint_s), 1)
                else:
                    self._leave()
            else:
                run.hold(job.left)

    def _time_up(self, *_: object) -> None:
        if self._run is not None and self._run.live and self.what == "work":
            self._run.cut()

    def _leave(self) -> None:
        self._alarm.cancel()
        assert self._run is not None
        self._change("")
        self._run.end()
        self.job.begun = True
        self._owner.over(self)

    def _change(self, what: str) -> None:
        """It does something else from now on."""
        now = self.group.env.now
        if self.what:
            self._owner.phase_ended(self, self._since_s)
        self.what = what
        self._since_s = now

    def close(self) -> None:
        """The run of the simulation ends with the job here."""
        what = self.what
        if what == "work" and self._run is not None and self._run.live:
            self.job.left -= self._run.steps_done(self.group.env.now) - self._run.done
        self._change(what)

    def _failed(self, steps: int) -> None:
        job = self.job
        self._run = None
        # Steps since the last boundary were not told, and so never counted as done.
        job.left += self._done
        job.lost += self._done + (steps if self.what == "work" else 0)
        self._done = 0
        self._wait_for_repair()
        self._owner.lost(self)

    def _wait_for_repair(self) -> None:
        self._change("down")
        for device in self.group.devices:
            device.on_change.append(self._changed)

    def _changed(self, _: Device) -> None:
        if not self.group.up or self.what != "down":
            return
        for device in self.group.devices:
            device.on_change.remove(self._changed)
        self._start()
