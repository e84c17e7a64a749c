"""An iteration whose stages on GPUs, host thread and link are events of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import simpy

from models.offload.host_attention import HostAttention
from models.offload.offload_cost import Iteration, Stage
from models.step_cost import StepCost
from sim.hardware.cpu import Cpu, CpuTask
from sim.hardware.device import Device, DeviceGroup
from sim.hardware.run import Run

#: Name of a stage, its start, and when the GPUs, the host's thread and the link were done.
Tell = Callable[[str, float, float, float, float], None]


class StagedRun(Run):
    """One iteration as its stages come: a stage ends when the GPUs, the host's thread and the copy
    of KV to the host are done, each at the pace that its devices then have.

    The host's thread launches kernels and exchanges on one core, then reads KV on all cores of
    `host` at most at their bandwidth; it shares `cpu` with other tenants as `tenant`. `copy` starts
    the transfer of so many bytes to host memory. `waits_s`: for how long the GPUs have waited for
    host or link, in the stages that are over.
    """

    __slots__ = (
        "_again",
        "_begun_s",
        "_copy",
        "_copy_end_s",
        "_cpu",
        "_drawn_s",
        "_ended_s",
        "_gpu",
        "_gpu_end_s",
        "_host",
        "_least_s",
        "_left",
        "_stage",
        "_stages",
        "_task",
        "_tell",
        "_tenant",
        "_thread_end_s",
        "_total_s",
        "_turn",
        "waits_s",
    )

    def __init__(
        self,
        group: DeviceGroup,
        host: HostAttention,
        cpu: Cpu,
        tenant: str,
        copy: Callable[[float, Callable[[], None]], None],
        on_boundary: Callable[[int], None],
        on_failure: Callable[[int], None],
        tell: Tell,
    ) -> None:
        super().__init__(group, on_boundary, on_failure)
        self._gpu = Run(group, self._gpu_done)
        self._host = host
        self._cpu = cpu
        self._tenant = tenant
        self._copy = copy
        self._tell = tell
        self._task: CpuTask | None = None
        # Counts stages, so that what was left of one that is over does nothing.
        self._turn = 0
        # The stage that waits for the host to come back.
        self._again = -1
        self._ended_s = 0.0
        self.waits_s = 0.0
        cpu.on_change.append(self._host_changed)

    def start(self, iteration: Iteration, expected: StepCost) -> None:
        """Begin at this moment; `expected`: where nobody else wants the host and the link."""
        self.begin(StepCost(expected.step(0)), 1)
        # Weighted seconds of the whole, and of the stages whose GPU work is over.
        self._total_s = expected.active_first
        self._drawn_s = self.waits_s = 0.0
        self._alarm.cancel()
        self._stages: Iterator[Stage] = iter(iteration)
        self._least_s = self.start_s + iteration.least_s
        self._next()

    def boundary(self, k: int) -> float:
        """When it began (0) or ended (1; while under way, about when it will)."""
        if k == 0:
            return self.start_s
        return self._ended_s if self.done else max(self._env.now, super().boundary(k))

    def steps_done(self, now_s: float) -> int:
        return self.done

    def progress(self, now_s: float) -> tuple[int, float]:
        """As for any run, by the weighted seconds of its stages."""
        return (1, 0.0) if self.done else (0, min(1.0, self.used_at(now_s) / self._total_s))

    def used_at(self, now_s: float | None = None) -> float:
        """What its stages have come to."""
        if now_s is not None and self._gpu.live:
            return self._drawn_s + self._gpu.active_at(now_s)
        return self._drawn_s

    def paid(self, k: int, part: float, active_s: float) -> tuple[float, float]:
        return (active_s / self._total_s if self._total_s > 0.0 else k + part), 0.0

    def cut(self) -> None:
        """It ends where it ends."""

    def rescale(self, speed: float) -> None:
        """The stage's own run follows the devices' speed."""

    def halt(self) -> int:
        self._turn += 1
        if self._gpu.live:
            self._drawn_s += self._gpu.active_at(self._env.now)
            self._gpu.halt()
        elif self._left:
            self.waits_s += self._env.now - self._gpu_end_s
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.live = False
        self._group.runs.remove(self)
        return 0

    def step_number_s(self, now_s: float | None = None) -> float:
        return 0.0

    def _next(self) -> None:
        """Begin the next stage, or end."""
        self._turn += 1
        stage = next(self._stages, None)
        now = self._env.now
        if stage is None:
            if now < self._least_s:
                self._alarm.ring(self._least_s)
            else:
                self._fire(None)  # type: ignore[arg-type]
            return
        self._stage = stage
        self._begun_s = self._gpu_end_s = self._thread_end_s = self._copy_end_s = now
        thread = stage.thread_s > 0.0 or stage.read_bytes > 0.0
        self._left = 1 + thread + (stage.copy_bytes > 0.0)
        self._gpu.begin(StepCost(stage.gpu_s, active_first=stage.gpu_active), 1)
        if thread:
            self._launch(stage)
        if stage.copy_bytes > 0.0:
            turn = self._turn
            self._copy(stage.copy_bytes, lambda: self._copied(turn))

    def _launch(self, stage: Stage) -> None:
        if stage.thread_s > 0.0:
            self._wait(self._cpu.task(core_seconds=stage.thread_s, tenant=self._tenant), self._read)
        else:
            self._read()

    def _read(self) -> None:
        size = self._stage.read_bytes
        if size == 0.0:
            self._thread_done()
            return
        host = self._host
        bandwidth = host.read_bytes_per_s
        task = self._cpu.task(
            core_seconds=host.cores * size / bandwidth,
            bytes_to_read=size,
            cores_wanted=host.cores,
            bandwidth_wanted_bytes_per_s=bandwidth,
            tenant=self._tenant,
        )
        self._wait(task, self._thread_done)

    def _wait(self, task: CpuTask, then: Callable[[], None]) -> None:
        turn = self._turn
        self._task = task

        def over(event: simpy.Event) -> None:
            if event._ok:
                if turn == self._turn:
                    then()
                return
            # The host has failed: once it is back, the thread's work of this stage begins anew.
            event.defused = True
            self._task = None
            self._again = turn

        task.callbacks.append(over)

    def _host_changed(self, cpu: Device) -> None:
        if cpu.up and self._again == self._turn:
            self._again = -1
            self._launch(self._stage)

    def _gpu_done(self, steps: int) -> None:
        self._drawn_s += self._gpu.active_at(self._env.now)
        self._gpu.end()
        self._gpu_end_s = self._env.now
        self._part_done()

    def _thread_done(self) -> None:
        self._task = None
        self._thread_end_s = self._env.now
        self._part_done()

    def _copied(self, turn: int) -> None:
        if turn == self._turn:
            self._copy_end_s = self._env.now
            self._part_done()

    def _part_done(self) -> None:
        self._left -= 1
        if self._left:
            return
        self.waits_s += self._env.now - self._gpu_end_s
        self._tell(
            self._stage.name, self._begun_s, self._gpu_end_s, self._thread_end_s, self._copy_end_s
        )
        self._next()

    def _fire(self, event: simpy.Event) -> None:
        self._ended_s = self._env.now
        super()._fire(event)
