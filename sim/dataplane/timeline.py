"""The timeline of data paths: what came and went, which plan was in force, what moved."""

from __future__ import annotations

from models.network_functions.plan import Plan
from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.core.timeline import Event, TraceEvents, check_drawn, event, span
from sim.dataplane.dataplane import DataPlane
from sim.dataplane.facts import EpochEnded, FlowMoved, PlanCarriedOut, PlanDecided
from sim.hardware.facts import DeviceChanged

#: Trace process of devices; data paths follow.
_DEVICES = 1
#: Trace threads of a data path.
_THREADS = {1: "plan in force", 2: "searches", 3: "changes of sides"}
_PLAN, _SEARCH, _CHANGE = _THREADS


class DataPlaneTimeline:
    """Writes `timeline.json.gz` (see `sim.core.timeline`).

    Each data path is a process. Counters show, for each epoch, packets a second offered, delivered
    and dropped, host cores at work and provided, and flows at the NIC. Spans show the plans in
    force, the searches that led to them, changes of sides from the decision until the plan is in
    force, and (where packets are followed) each flow on its way to the other side.
    """

    def __init__(self, max_events: int) -> None:
        self.max_events = max_events
        self._stopped_s: float | None = None
        self._pids: dict[str, int] = {}
        self._plans: dict[str, tuple[float, Plan]] = {}
        self._rows: dict[str, int] = {}
        self._moves = 0

    @property
    def events(self) -> list[Event]:
        """The events, where the run has no folder."""
        return self._trace.events

    def attach(self, simulation: Simulation) -> None:
        """Listen, and open the file."""
        self._simulation = simulation
        check_drawn(simulation, DataPlane, "data paths")
        self._trace = TraceEvents(simulation.results.folder, self.max_events)
        for kind, listener in (
            (EpochEnded, self._epoch),
            (PlanDecided, self._decided),
            (PlanCarriedOut, self._carried_out),
            (FlowMoved, self._moved),
            (DeviceChanged, self._changed),
        ):
            simulation.facts.subscribe(kind, listener)
        simulation.on_started(self._begin)

    def finish(self, results: Draft) -> None:
        """Close what is open, and the file."""
        now = self._simulation.now
        for system in self._plans:
            self._in_force(system, now)
        if self._stopped_s is None:
            self._trace.end()
        results.figure("timeline.events", self._trace.written)
        results.figure("timeline.stopped_s", self._stopped_s)

    def _begin(self) -> None:
        now = self._simulation.now
        for system in self._simulation.systems:
            if isinstance(system, DataPlane):
                plan = system.runtime.plan
                assert plan is not None
                self._plans[system.name] = now, plan
                pid = self._pids[system.name] = _DEVICES + 1 + len(self._pids)
                self._write(event("M", "process_name", pid, 0, now, args={"name": system.name}))
                for thread, name in _THREADS.items():
                    self._write(event("M", "thread_name", pid, thread, now, args={"name": name}))

    def _epoch(self, fact: EpochEnded) -> None:
        pid, start_s = self._pids[fact.system], fact.start_s
        for name, args in (
            (
                "packets a second",
                {
                    "offered": fact.offered_pps,
                    "delivered": fact.delivered_pps,
                    "dropped": fact.dropped_pps,
                },
            ),
            ("host cores", {"at work": fact.busy_cores, "provided": fact.cores}),
            ("flows at the NIC", {"flows": fact.offloaded}),
        ):
            self._write(event("C", name, pid, 0, start_s, args=args))

    def _decided(self, fact: PlanDecided) -> None:
        if fact.system not in self._pids:
            # The first plan, compiled before the first packet.
            return
        thread = self._pids[fact.system], _SEARCH
        times = fact.start_s, fact.end_s
        args = {"plan": fact.plan.label, "nodes": fact.nodes}
        self._write(span("search", *thread, *times, cat="search", args=args))

    def _carried_out(self, fact: PlanCarriedOut) -> None:
        self._in_force(fact.system, fact.end_s)
        before = self._plans[fact.system][1]
        self._plans[fact.system] = fact.end_s, fact.plan
        if before.sides != fact.plan.sides:
            thread = self._pids[fact.system], _CHANGE
            name = f"{before.label} -> {fact.plan.label}"
            self._write(span(name, *thread, fact.start_s, fact.end_s, cat="change"))

    def _in_force(self, system: str, end_s: float) -> None:
        """The plan is no longer, or the run is over."""
        start_s, plan = self._plans[system]
        args = {"sides": plan.sides, "flows": plan.offloaded}
        thread = self._pids[system], _PLAN
        self._write(span(plan.label, *thread, start_s, end_s, cat="plan", args=args))

    def _moved(self, fact: FlowMoved) -> None:
        pid = self._pids[fact.system]
        name = "to the NIC" if fact.to_nic else "to the host"
        args = {"flow": fact.flow, "packets held": fact.held}
        self._moves += 1
        for ph, time_s in (("b", fact.start_s), ("e", fact.end_s)):
            self._write(
                event(ph, name, pid, _CHANGE, time_s, cat="flow", id=self._moves, args=args)
            )

    def _changed(self, fact: DeviceChanged) -> None:
        row = self._rows.get(fact.device)
        if row is None:
            row = self._rows[fact.device] = len(self._rows) + 1
            args = {"name": fact.device}
            self._write(event("M", "thread_name", _DEVICES, row, fact.time_s, args=args))
        name = f"speed x{fact.speed:g}" if fact.what == "speed" else fact.what
        self._write(event("i", name, _DEVICES, row, fact.time_s, s="t", cat="device"))

    def _write(self, written: Event) -> None:
        if self._stopped_s is None and not self._trace.add([written]):
            self._stopped_s = now = self._simulation.now
            name = f"timeline stopped: max_events ({self.max_events}) reached"
            self._trace.end(event("i", name, _DEVICES, 0, now, s="g"))
