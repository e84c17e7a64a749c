"""Packets one by one, or in bursts, as the runtime sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest, nsmallest

import numpy as np
from numpy.typing import NDArray

from models.network_functions.cost_model import PlanCost
from models.network_functions.sketch import Integers
from models.network_functions.trip import Trips
from sim.core.errors import LawBroken
from sim.core.result import Value
from sim.dataplane.carrier import Totals
from sim.dataplane.copies import merged
from sim.dataplane.counts import Latencies
from sim.dataplane.packet_path import PacketPath
from sim.dataplane.switch import Switch
from sim.dataplane.transit import HIT, MISS
from sim.dataplane.transition import PricedStage


class PacketMode:
    """Carries out decisions on a `PacketPath` (a `Carrier`)."""

    def __init__(self, path: PacketPath) -> None:
        self.path = path
        self._switch: Switch | None = None
        self._copied = 0.0
        self._merging = False
        self._stages: deque[PricedStage] = deque()

    def start(self, now_s: float) -> None:
        """Let the packets come."""
        self.path.start(now_s)

    @property
    def idle(self) -> bool:
        """Whether no packet is left to come or under way."""
        return self.path.idle

    def totals(self, now_s: float) -> Totals:
        """Counts from the start until now."""
        counts = self.path.counts
        return Totals(
            counts.all_arrived,
            counts.arrived_bytes,
            counts.arrived["N"],
            counts.arrived["T"] + counts.silent,
            counts.all_left,
            counts.left_bytes,
            counts.crossed_bytes,
            counts.crossed_bytes
            + counts.crossed * self.path.trips.model.stack.crossing_bytes
            + self.path.crossing.moved_bytes,
            {place: float(sum(dropped)) for place, dropped in counts.dropped.items()},
            self.path.host.busy_s(now_s),
            self.path.host.memory.moved(now_s),
            counts.left[HIT] + counts.left[MISS],
            counts.left[HIT],
        )

    def busy_s(self, now_s: float) -> Mapping[str, float]:
        """Seconds of work until now by resource of the NIC."""
        path, cores = self.path, self.path.cores
        busy = {line.name: line.done_s(now_s) for line in path.stations.lines}
        busy["cores"] = cores.busy_s(now_s) / cores.count
        busy["threads"] = cores.held_s(now_s) / (cores.count * cores.threads)
        return busy

    @property
    def latencies(self) -> list[Latencies]:
        """By packet type."""
        return self.path.counts.latencies

    def forget_latencies(self) -> None:
        """Measure them anew."""
        self.path.counts.forget_latencies()

    def counts(self) -> Mapping[str, Value]:
        """Other figures at the end of a run."""
        path = self.path
        return {
            "packets_under_way": path.under_way.count * path.burst,
            "flows_moved": path.moves.done,
            "installs_refused": path.moves.refused,
            "entries_copied": self._copied,
            "packets_held": path.moves.held_in_all,
            "packets_overtaken": path.departures.overtaken,
            "packets_reordered": path.departures.reordered,
            "packets_misrouted": path.entries.misrouted,
            **path.count_error.figures(),
        }

    def check(self) -> None:
        """Raise LawBroken unless packets in = out + dropped + under way."""
        counts = self.path.counts
        under_way = self.path.under_way.count * self.path.burst
        out = counts.all_left + counts.all_dropped + under_way
        if counts.all_arrived != out:
            raise LawBroken(
                f"packets in = out + dropped + under way: {counts.all_arrived} and {out}"
            )

    def snapshot(self) -> dict[str, object]:
        """Who waits where."""
        path = self.path
        return {
            "packets under way": path.under_way.count,
            "waiting for the NIC's cores": len(path.cores.waiting),
            "at the host": path.host.jobs.count,
            "held for moving flows": path.moves.held(),
        }

    def merge(self, now_s: float) -> None:
        """Merge the copies of counters that both sides keep, a batch after the other; not while
        that goes on since the last time."""
        path = self.path
        entries, size = merged(path.trips.model, path.trips.cost.plan)
        if not entries or self._merging:
            return
        path.entries.merge()
        path.count_error.merge()
        self._merging = True
        self._counter_bytes = size / entries
        self._add_up(now_s, entries)

    def _add_up(self, time_s: float, entries: float) -> None:
        """Bring and add so many counters."""
        path = self.path
        assert path.monitor is not None
        batch = min(entries, float(path.limits.moves))
        cycles = batch * path.monitor.settings.merge_cycles
        here = path.crossing.move(time_s, batch * self._counter_bytes, up=True)
        path.calendar.push(here, self._add_batch, (cycles * path.host_cycle_s, entries - batch))

    def _add_batch(self, time_s: float, batch: tuple[float, float]) -> None:
        """A batch is here."""
        work_s, left = batch
        end = self.path.host.work(time_s, work_s)
        self._merging = left > 0.0
        if left:
            self.path.calendar.push(end, self._add_up, left)

    def provide(self, count: int, speed: float, memory_bytes_per_s: float) -> None:
        """Serve with so many host cores of that speed, and so much of the memory's bandwidth, from
        now on."""
        self.path.host.resize(max(1, count))
        self.path.host.speed = speed
        self.path.host.memory.provide(self.path.calendar.now_s, memory_bytes_per_s)

    def provide_nic(self, speed: float) -> None:
        """The NIC works at that speed from now on; 0: it has failed."""
        self.path.set_speed(speed)

    def provide_pcie(self, up: float, down: float) -> None:
        """Cross PCIe at so large a part of its bandwidth from now on."""
        self.path.stations.pcie_speeds = (up, down)

    @property
    def offloaded(self) -> int:
        """Flows whose entries are at the NIC."""
        return len(self.path.entries.at_nic)

    def hold(self, flows: Integers) -> NDArray[np.bool_]:
        """Of each of these flows, whether its are, or are on their way, or it has ended."""
        path = self.path
        there, coming, over = path.entries.at_nic, path.moves.under_way, path.counts.over
        held = (flow in there or flow in coming or flow in over for flow in flows.tolist())
        return np.fromiter(held, bool, len(flows))

    def top_hits(self, number: int) -> list[float]:
        """Packets at the NIC of the most popular flows there."""
        return [float(hits) for hits in nlargest(number, self.path.hits.values())]

    def slowest(self, number: int) -> dict[int, float]:
        """The flows at the NIC with fewest packets."""
        hits = self.path.hits
        slow = nsmallest(number, ((hits.get(flow, 0), flow) for flow in self.path.entries.at_nic))
        return {flow: float(count) for count, flow in slow}

    def forget_hits(self, now_s: float) -> None:
        """Count hits anew."""
        self.path.hits.clear()

    @property
    def changing(self) -> bool:
        """Whether a change of sides is under way."""
        return bool(self._stages)

    def change(
        self, now_s: float, stages: Sequence[PricedStage], done: Callable[[float], None]
    ) -> None:
        """Go through the stages to another plan."""
        self._done = done
        self._stages = deque(stages)
        self._begin(now_s)

    def _begin(self, time_s: float) -> None:
        """The next stage: copy, switch."""
        stage = self._stages[0]
        path = self.path
        path.install_all = False
        members: set[int] = set()
        if stage.begins == "all":
            members = path.live()
        elif stage.begins == "same":
            members = set(path.entries.at_nic)
        self._switch = Switch(path, self._trips(stage.cost), stage.copied, members, self._switched)
        self._switch.start(time_s)

    def _switched(self, time_s: float) -> None:
        """The stage's plan is in force: bring the flows where it wants them."""
        assert self._switch is not None
        self._copied += self._switch.copied
        self._switch = None
        stage = self._stages[0]
        path = self.path
        path.offloaded = min(path.offloaded, stage.target)
        if len(self._stages) == 1:
            self._stages.clear()
            surplus = self.offloaded - int(stage.target)
            if surplus > 0:
                self.move(time_s, dict.fromkeys(self.slowest(surplus), False))
            self._done(time_s)
            return
        path.install_all = stage.target > 0.0
        flows = path.live() - path.entries.at_nic if path.install_all else path.entries.at_nic
        self.move(time_s, dict.fromkeys(sorted(flows), path.install_all))
        path.moves.when_idle = self._reached
        path.moves.check_idle(time_s)

    def _reached(self, time_s: float) -> None:
        """All flows are where the stage wanted them."""
        self._stages.popleft()
        self._begin(time_s)

    def retune(self, now_s: float, cost: PlanCost) -> None:
        """Another number of flows at the NIC: the slowest go now, others come as they are
        found."""
        self.path.use(self._trips(cost))
        surplus = self.offloaded - int(cost.plan.offloaded)
        if surplus > 0:
            self.move(now_s, dict.fromkeys(self.slowest(surplus), False))

    def move(self, now_s: float, flows: Mapping[int, bool]) -> None:
        """Move entries of flows, one after the other."""
        for flow, to_nic in flows.items():
            self.path.moves.ask(flow, to_nic)
        self.path.moves.go_on(now_s)

    def _trips(self, cost: PlanCost) -> Trips:
        """Trips through the same hardware."""
        old = self.path.trips
        return Trips(old.model, cost, burst=old.burst, posted=old.posted, own_caches=old.own_caches)
