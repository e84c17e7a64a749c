"""Closes meters at chosen times, and shares use out by walking over every iteration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sim.core.environment import SAMPLE
from sim.core.simulation import Simulation
from sim.hardware.facts import DeviceChanged
from sim.hardware.metering import Consumer, MeterOpened, StepUse
from sim.serving.facts import Iterations, Swapped
from sim.serving.replica import Replica


class Watched:
    """An observer that closes the steps of all meters at these times, and at the end."""

    def __init__(self, edges_s: Iterable[float] = ()) -> None:
        self.edges_s = sorted(edges_s)
        self.opened: list[MeterOpened] = []
        self.steps: list[list[StepUse]] = []
        #: Active seconds of each meter's group at the steps' ends.
        self.active_s: list[list[float]] = []

    def attach(self, simulation: Simulation) -> None:
        self._simulation = simulation
        simulation.facts.subscribe(MeterOpened, self._open)
        for edge_s in self.edges_s:
            simulation.at(edge_s, lambda _: self._close(False), SAMPLE)

    def finish(self, results: Any) -> None:
        self._close(True)

    def _open(self, fact: MeterOpened) -> None:
        self.opened.append(fact)
        self.steps.append([])
        self.active_s.append([fact.group.active_at(fact.time_s)])

    def _close(self, last: bool) -> None:
        now = self._simulation.now
        for fact, steps, active_s in zip(self.opened, self.steps, self.active_s, strict=True):
            steps.append(fact.meter.close_step(now, last))
            active_s.append(fact.group.active_at(now))

    def consumers(self, meter: int) -> list[Consumer]:
        """All that a meter has told of."""
        return [consumer for step in self.steps[meter] for consumer in step.ended]

    def used(self, meter: int) -> dict[int, tuple[float, float]]:
        """By request: active seconds and held share, over all steps."""
        found: dict[int, tuple[float, float]] = {}
        for consumer in self.consumers(meter):
            active_s, held_s = found.get(consumer.id, (0.0, 0.0))
            active_s += sum(part.active_s for part in consumer.parts)
            found[consumer.id] = active_s, held_s + sum(part.held_s for part in consumer.parts)
        return found


class Walk:
    """An observer of step mode that shares each iteration out among those in it, one by one: a
    decode on the GPUs pays for each KV token that it reads at the cost model's slope, and all
    that an iteration computes pay the same of the rest; of an iteration that is cut off or under a
    power cap, the same part of either."""

    def __init__(self) -> None:
        self.used: list[dict[int, list[float]]] = []

    def attach(self, simulation: Simulation) -> None:
        self._simulation = simulation
        simulation.facts.subscribe(Iterations, self._iterated)
        simulation.facts.subscribe(Swapped, self._swapped)
        simulation.facts.subscribe(DeviceChanged, self._changed)
        simulation.facts.subscribe(MeterOpened, self._open)
        self._replicas: list[Replica] = []
        self._active_s: list[float] = []

    def finish(self, results: Any) -> None:
        """Nothing to add."""

    def cut(self) -> None:
        """The run is over, in the middle of things; before the systems finish."""
        for replica in self._replicas:
            if replica.run.live or replica._planned is not None:
                self._share(replica, replica._told_s, self._simulation.now, begun=True)

    def _open(self, _: MeterOpened) -> None:
        system: Any = self._simulation.systems[0]
        self._replicas.append(system.replicas[len(self._replicas)])
        self._active_s.append(0.0)
        self.used.append(defaultdict(lambda: [0.0, 0.0]))

    def _iterated(self, fact: Iterations) -> None:
        assert fact.steps == 1
        self._share(self._replicas[fact.replica], fact.start_s, fact.end_s)

    def _swapped(self, fact: Swapped) -> None:
        # Told once the swap has been counted.
        self._share(self._replicas[fact.replica], fact.start_s, fact.end_s)

    def _changed(self, fact: DeviceChanged) -> None:
        if fact.what != "fail":
            return
        for replica in self._replicas:
            if not replica.group.up and fact.device in replica.group.name.split("+"):
                drawn_s = replica.group.active_at(fact.time_s) - self._active_s[replica.index]
                if drawn_s > 0.0 or replica._planned is not None:
                    self._share(replica, replica._told_s, fact.time_s, begun=True)

    def _share(self, replica: Replica, start_s: float, end_s: float, begun: bool = False) -> None:
        """`begun`: the last iteration has not ended."""
        used = self.used[replica.index]
        drawn_s = replica.group.active_at(end_s) - self._active_s[replica.index]
        self._active_s[replica.index] += drawn_s
        capacity = replica.pool.total_blocks * replica.batch.block_tokens
        for request in [*replica.batch, *replica.prefilling]:
            used[request.id][1] += request.kv_tokens * (end_s - start_s) / capacity
        if drawn_s == 0.0:
            return
        computed = {request.id: tokens for request, tokens in replica.chunks}
        for request, tokens in replica.chunks:
            computed[request.id] = min(tokens, request.prefill_tokens)
        if replica.split:
            aside = {request.id for request in replica.host.aside}
            computed |= {request.id: 1 for request in replica.host if request.id not in aside}
        reads = {}
        if replica.decodes:
            reads = {request.id: request.kv_tokens + 1 for request in replica.batch}
            computed |= dict.fromkeys(reads, 1)
        read = sum(reads.values())
        run: Any = replica.run
        if run is replica.host.staged:
            asked_s = run._total_s
        else:
            asked_s = run.asked.active_step(run.done if begun else run.done - 1)
        per_kv_s = replica.cost.step(1, 1, (), 1).active_slope * drawn_s / asked_s
        rest_s = (drawn_s - per_kv_s * read) / sum(computed.values())
        for number, tokens in computed.items():
            used[number][0] += tokens * rest_s + per_kv_s * reads.get(number, 0)
