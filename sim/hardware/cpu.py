"""Host processors: cores and memory bandwidth, shared by their tenants."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite

import simpy

from models.hardware.cpu_spec import CpuSpec
from sim.core.errors import CapacityError
from sim.core.simulation import Simulation
from sim.hardware.device import Device
from sim.hardware.facts import TaskEnded
from sim.hardware.faults import Down
from sim.hardware.sharing import Activity, Resource, Sharing


class CpuUse(Activity):
    """An activity on a host. Its unit is the resource of which it needs the larger share: one
    core-second of it takes `per_read` bytes as well, or one byte `per_core` core-seconds."""

    __slots__ = ("bandwidth_wanted", "cores_wanted", "per_core", "per_read", "share", "tenant")

    def __init__(
        self, cpu: Cpu, tenant: str, share: float, core_seconds: float, read_bytes: float
    ) -> None:
        spec = cpu.spec
        by_cores = core_seconds / spec.cores >= read_bytes / spec.memory_bandwidth_bytes_per_s
        unit = core_seconds if by_cores else read_bytes
        self.per_core = core_seconds / unit
        self.per_read = read_bytes / unit
        factors = ((cpu.cores, self.per_core), (cpu.bandwidth, self.per_read))
        super().__init__(unit, [(r, f) for r, f in factors if f > 0.0])
        self.tenant = tenant
        self.share = share * (spec.cores if by_cores else spec.memory_bandwidth_bytes_per_s)
        self.cores_wanted = inf
        self.bandwidth_wanted = inf

    def bound(self, speed: float) -> float:
        """Highest rate with what is wanted, when cores run at `speed`."""
        cap = inf
        if self.per_core > 0.0:
            cap = self.cores_wanted * speed / self.per_core
        if self.per_read > 0.0:
            cap = min(cap, self.bandwidth_wanted / self.per_read)
        return cap


class CpuTask(simpy.Event):
    """A tenant's work on a host; the event fires when it is done, fails with `Down` if the host
    does."""

    def __init__(self, cpu: Cpu, tenant: str, core_seconds: float, read_bytes: float) -> None:
        super().__init__(cpu.simulation.env)
        self.cpu = cpu
        self.tenant = tenant
        self.core_seconds = core_seconds
        self.read_bytes = read_bytes
        self.start_s = cpu.simulation.now
        self.use: CpuUse | None = None

    @property
    def progress(self) -> float:
        """Share of the work that is done."""
        if self.use is None:
            return 1.0
        return self.use.progress(self.cpu.simulation.now) / self.use.work

    def cancel(self) -> float:
        """Stop: the event never fires. Returns the share of the work that was done."""
        if self.use is None:
            return 1.0
        return self.cpu._stop(self.use) / self.use.work

    def _ended(self) -> None:
        if self.use is not None:
            self.cpu._forget(self.use, self.use.work)
        self.succeed()
        if self.cpu.listeners:
            now = self.cpu.simulation.now
            fact = TaskEnded(
                self.start_s, now, self.cpu.name, self.tenant, self.core_seconds, self.read_bytes
            )
            for listener in self.cpu.listeners:
                listener(fact)


class CpuLoad:
    """A tenant's standing use of a host (packet processing, say): it is granted its fair share of
    what it wants until it is stopped."""

    def __init__(self, cpu: Cpu, use: CpuUse) -> None:
        self.cpu = cpu
        self.use = use
        self._wanted = (use.cores_wanted, use.bandwidth_wanted)

    @property
    def cores(self) -> float:
        """Cores granted, as of the last settling."""
        return self.use.rate * self.use.per_core / self.cpu.speed

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Memory bandwidth granted, as of the last settling."""
        return self.use.rate * self.use.per_read

    @property
    def core_seconds(self) -> float:
        """Core-seconds at the specified speed, granted until now."""
        return self.use.progress(self.cpu.simulation.now) * self.use.per_core

    @property
    def read_bytes(self) -> float:
        """Bytes of memory, granted until now."""
        return self.use.progress(self.cpu.simulation.now) * self.use.per_read

    def want(self, share: float) -> None:
        """Want `share` times what was wanted at the start from now on."""
        if not share >= 0.0:
            raise ValueError(f"{self.cpu.name}: a load of {share!r} times what was wanted")
        cores, bandwidth = self._wanted
        self.use.cores_wanted = share * cores
        self.use.bandwidth_wanted = share * bandwidth
        self.cpu.sharing.set_bounds(self.use, cap=self.use.bound(self.cpu.speed))

    def stop(self) -> None:
        """The load ends."""
        self.cpu._stop(self.use)


class Reservation:
    """Cores and memory bandwidth that one tenant has for itself, busy all the time."""

    def __init__(self, cpu: Cpu, cores: float, bandwidth_bytes_per_s: float, tenant: str) -> None:
        self.cpu = cpu
        self.cores = cores
        self.bandwidth_bytes_per_s = bandwidth_bytes_per_s
        self.tenant = tenant
        self.since_s = cpu.simulation.now

    def release(self) -> None:
        """Give them back; a second time is nothing."""
        if self in self.cpu.reservations:
            self.cpu.reservations.remove(self)
            lasted_s = self.cpu.simulation.now - self.since_s
            self.cpu._count(
                self.tenant, self.cores * lasted_s, self.bandwidth_bytes_per_s * lasted_s
            )
            self.cpu._rescale(self.cpu)


class Cpu(Device):
    """The processors of one host.

    Tasks and loads of all tenants share cores and memory bandwidth max-min fairly by dominant
    share: tenants with equal weight get equal shares of what they contend for, a tenant's share is
    split among its own tasks, what one does not want goes to the others. A slow-down slows the
    cores, not the memory. Power follows the larger of the shares of cores and bandwidth in use.
    """

    spec: CpuSpec

    def __init__(self, simulation: Simulation, spec: CpuSpec, name: str) -> None:
        super().__init__(simulation, spec, name)
        self.sharing = Sharing(simulation)
        self.cores = Resource(f"{name}/cores", spec.cores)
        self.bandwidth = Resource(f"{name}/memory", spec.memory_bandwidth_bytes_per_s)
        self.cores.on_rate = self._draw
        self.bandwidth.on_rate = self._moved
        #: Called after the bandwidth in use has changed.
        self.on_bandwidth: list[Callable[[], None]] = []
        self.reservations: list[Reservation] = []
        self.listeners = simulation.listeners(TaskEnded)
        self.on_change.append(self._rescale)
        self._uses: dict[str, dict[CpuUse, CpuTask | None]] = {}
        # Of each tenant, core-seconds and bytes of what has ended.
        self._used: dict[str, tuple[float, float]] = {}

    @property
    def busy_cores(self) -> float:
        """Cores in use as of the last settling, reserved ones included."""
        return self.cores.rate / self.speed + sum(r.cores for r in self.reservations)

    @property
    def core_seconds(self) -> float:
        """Core-seconds at the specified speed that tasks and loads have had until now."""
        return self.cores.amount(self.simulation.now)

    def used_s(self, now_s: float) -> dict[str, float]:
        """By tenant, the larger of the shares of cores and of bandwidth that it has had, in seconds
        of the whole host until now; reservations count all the time."""
        used = dict(self._used)
        for tenant, mine in self._uses.items():
            core_seconds, read_bytes = used.get(tenant, (0.0, 0.0))
            for use in mine:
                done = use.progress(now_s)
                core_seconds += done * use.per_core
                read_bytes += done * use.per_read
            used[tenant] = (core_seconds, read_bytes)
        for held in self.reservations:
            core_seconds, read_bytes = used.get(held.tenant, (0.0, 0.0))
            lasted_s = now_s - held.since_s
            used[held.tenant] = (
                core_seconds + held.cores * lasted_s,
                read_bytes + held.bandwidth_bytes_per_s * lasted_s,
            )
        cores, bandwidth = self.spec.cores, self.spec.memory_bandwidth_bytes_per_s
        return {
            tenant: max(core_seconds / cores, read_bytes / bandwidth)
            for tenant, (core_seconds, read_bytes) in used.items()
        }

    @property
    def read_bytes(self) -> float:
        """Bytes that tasks and loads have moved to or from memory until now."""
        return self.bandwidth.amount(self.simulation.now)

    def task(
        self,
        *,
        core_seconds: float = 0.0,
        bytes_to_read: float = 0.0,
        cores_wanted: float = 1.0,
        bandwidth_wanted_bytes_per_s: float | None = None,
        tenant: str = "",
        weight: float = 1.0,
    ) -> CpuTask:
        """Start work; wait for the returned event.

        The work is `core_seconds` at the specified speed on at most `cores_wanted` cores and
        `bytes_to_read` at most at the wanted bandwidth (default: what that many neighbouring
        cores reach); both proceed together. Raises ValueError for impossible numbers.
        """
        self._check_numbers(core_seconds, bytes_to_read, cores_wanted, weight)
        task = CpuTask(self, tenant, core_seconds, bytes_to_read)
        if not self.up:
            task.fail(self._down(tenant))
        elif core_seconds == 0.0 and bytes_to_read == 0.0:
            task._ended()
        else:
            use = CpuUse(self, tenant, weight, core_seconds, bytes_to_read)
            use.on_end = task._ended
            task.use = use
            self._begin(use, cores_wanted, bandwidth_wanted_bytes_per_s, task)
        return task

    def load(
        self,
        *,
        cores_wanted: float = 0.0,
        bandwidth_wanted_bytes_per_s: float = 0.0,
        tenant: str = "",
        weight: float = 1.0,
        on_grant: Callable[[], None] | None = None,
    ) -> CpuLoad:
        """Start a standing use. `on_grant` is called after what it is granted has changed."""
        self._check_numbers(cores_wanted, bandwidth_wanted_bytes_per_s, 1.0, weight)
        if cores_wanted == 0.0 and bandwidth_wanted_bytes_per_s == 0.0:
            raise ValueError(f"{self.name}: a load that wants nothing")
        use = CpuUse(self, tenant, weight, cores_wanted, bandwidth_wanted_bytes_per_s)
        use.work = inf
        self._begin(use, cores_wanted, bandwidth_wanted_bytes_per_s, None)
        use.on_rate = on_grant
        return CpuLoad(self, use)

    def reserve(
        self, cores: float, bandwidth_bytes_per_s: float = 0.0, tenant: str = ""
    ) -> Reservation:
        """Take cores and bandwidth out of what is shared. Raises CapacityError with the numbers
        if they are reserved already."""
        free_cores = self.spec.cores - sum(r.cores for r in self.reservations)
        free_bandwidth = self.spec.memory_bandwidth_bytes_per_s - sum(
            r.bandwidth_bytes_per_s for r in self.reservations
        )
        if not 0.0 <= cores <= free_cores or not 0.0 <= bandwidth_bytes_per_s <= free_bandwidth:
            raise CapacityError(
                f"{self.name}: {cores:g} cores and {bandwidth_bytes_per_s:g} bytes/s asked, "
                f"{free_cores:g} and {free_bandwidth:g} are not reserved"
            )
        reservation = Reservation(self, cores, bandwidth_bytes_per_s, tenant)
        self.reservations.append(reservation)
        self._rescale(self)
        return reservation

    def _begin(
        self, use: CpuUse, cores: float, bandwidth: float | None, task: CpuTask | None
    ) -> None:
        use.cores_wanted = cores
        if bandwidth is None:
            bandwidth = self.spec.reachable_bandwidth_bytes_per_s(cores)
        use.bandwidth_wanted = bandwidth
        use.cap = use.bound(self.speed)
        mine = self._uses.setdefault(use.tenant, {})
        mine[use] = task
        use.weight = use.share / len(mine)
        self.sharing.begin(use)
        self._split(use.tenant, but=use)

    def _split(self, tenant: str, but: CpuUse | None = None) -> None:
        mine = self._uses[tenant]
        for use in mine:
            if use is not but:
                self.sharing.set_bounds(use, weight=use.share / len(mine))

    def _stop(self, use: CpuUse) -> float:
        done = self.sharing.stop(use)
        self._forget(use, done)
        return done

    def _forget(self, use: CpuUse, done: float) -> None:
        mine = self._uses.get(use.tenant, {})
        if mine.pop(use, self) is self:
            return
        self._count(use.tenant, done * use.per_core, done * use.per_read)
        if mine:
            self._split(use.tenant)
        else:
            del self._uses[use.tenant]

    def _count(self, tenant: str, core_seconds: float, read_bytes: float) -> None:
        before = self._used.get(tenant, (0.0, 0.0))
        self._used[tenant] = (before[0] + core_seconds, before[1] + read_bytes)

    def _rescale(self, _: Device) -> None:
        """Speed, state or reservations changed."""
        if not self.up:
            for mine in list(self._uses.values()):
                for use, task in list(mine.items()):
                    if task is not None and not task.triggered:
                        self._stop(use)
                        task.fail(self._down(task.tenant))
        cores = self.spec.cores - sum(r.cores for r in self.reservations)
        bandwidth = self.spec.memory_bandwidth_bytes_per_s - sum(
            r.bandwidth_bytes_per_s for r in self.reservations
        )
        self.sharing.set_capacity(self.cores, cores * self.speed if self.up else 0.0)
        self.sharing.set_capacity(self.bandwidth, bandwidth if self.up else 0.0)
        for mine in self._uses.values():
            for use in mine:
                self.sharing.set_bounds(use, cap=use.bound(self.speed))
        self._draw()

    def _moved(self) -> None:
        self._draw()
        for called in self.on_bandwidth:
            called()

    def _draw(self) -> None:
        """Bring the power up to date."""
        if not self.up:
            return
        spec = self.spec
        bandwidth = self.bandwidth.rate + sum(r.bandwidth_bytes_per_s for r in self.reservations)
        share = max(self.busy_cores / spec.cores, bandwidth / spec.memory_bandwidth_bytes_per_s)
        self.meter.stand(
            spec.idle_w + (spec.peak_w - spec.idle_w) * min(1.0, share), self.simulation.now
        )

    def _down(self, tenant: str) -> Down:
        return Down(
            f"task of {tenant or 'a tenant'}: {self.name} is down at {self.simulation.now} s"
        )

    def _check_numbers(self, cores: float, size: float, wanted: float, weight: float) -> None:
        if not (cores >= 0.0 and size >= 0.0 and isfinite(cores) and isfinite(size)):
            raise ValueError(f"{self.name}: {cores!r} of cores and {size!r} of memory")
        if not (wanted > 0.0 and 0.0 < weight < inf):
            raise ValueError(f"{self.name}: cores wanted {wanted!r} and weight {weight!r}: > 0")
