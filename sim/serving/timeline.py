"""The timeline of a serving run: what each replica and each request did when."""

from __future__ import annotations

from typing import Any

from sim.core.errors import ConfigError
from sim.core.facts import Listener
from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.core.timeline import Event, TraceEvents, check_drawn, event, span
from sim.hardware.facts import DeviceChanged
from sim.serving.facts import (
    Iterations,
    RequestArrived,
    RequestFinished,
    RequestPreempted,
    RequestRejected,
    StageDone,
    Swapped,
)
from sim.serving.replica import Replica
from sim.serving.request import Request
from sim.serving.serving import Serving
from sim.serving.timeline_counters import Counters, Reading

#: Trace processes: what belongs to no replica, then one for each replica.
_CLUSTER = 1
_FIRST_REPLICA = 2
#: Trace threads of a replica: its iterations, then its devices.
_ITERATIONS = 1
_FIRST_DEVICE = 2
#: Trace threads of the stages of iterations in which the host has a part.
_STAGE_THREADS = {1001: "stages: GPUs", 1002: "stages: host thread", 1003: "stages: copies to host"}


class Timeline:
    """Writes `timeline.json.gz` as the run goes on: open it in ui.perfetto.dev.

    Each replica is a process. Its iterations are spans named by phase ("decode x37" holds 37 of
    one composition), swaps are spans between them, a request is a track of nested spans (queued,
    prefill, decode) with its preemptions, and counters show running and waiting requests. A
    request's spans are written when it ends, so what lies in memory is what is in flight.

    After `max_events` events a marker says so and nothing more is written; the summary's
    `timeline.stopped_s` has the time (None: the timeline is whole). Without a run folder the
    events stay in `events`. Raises ConfigError with more than one serving system in the run,
    since facts name replicas by their index alone.
    """

    def __init__(self, max_events: int) -> None:
        self.max_events = max_events
        self._stopped_s: float | None = None
        self._open: dict[int, Request] = {}
        self._preempted: dict[int, list[Event]] = {}
        self._counters = Counters()
        self._places: dict[str, tuple[int, int]] = {}
        self._down: dict[str, tuple[int, int]] = {}
        self._lanes: set[tuple[int, int]] = set()
        self._known: list[Replica] | None = None

    @property
    def events(self) -> list[Event]:
        """The events, where the run has no folder."""
        return self._trace.events

    def attach(self, simulation: Simulation) -> None:
        """Subscribe to facts and open the file."""
        self._simulation = simulation
        check_drawn(simulation, Serving, "a serving system")
        self._trace = TraceEvents(simulation.results.folder, self.max_events)
        for fact, listener in (
            (RequestArrived, self._request_arrived),
            (RequestRejected, self._request_rejected),
            (RequestFinished, self._request_finished),
            (RequestPreempted, self._request_preempted),
            (Iterations, self._iterations),
            (StageDone, self._stage),
            (Swapped, self._swapped),
            (DeviceChanged, self._device_changed),
        ):
            simulation.facts.subscribe(fact, self._until_stopped(listener))

    def finish(self, results: Draft) -> None:
        """Close what is open, and the file."""
        now = self._simulation.now
        for request in sorted(self._open.values(), key=lambda request: request.id):
            self._write(now, *_lifecycle(request, now, self._preempted.get(request.id, [])))
        self._write(now, *(event("E", "down", *place, now) for place in self._down.values()))
        if self._stopped_s is None:
            self._trace.end()
        results.figure("timeline.events", self._trace.written)
        results.figure("timeline.stopped_s", self._stopped_s)

    # Facts

    def _until_stopped(self, listener: Listener) -> Listener:
        def hear(fact: Any) -> None:
            if self._stopped_s is None:
                listener(fact)

        return hear

    def _request_arrived(self, fact: RequestArrived) -> None:
        self._open[fact.request.id] = fact.request
        self._counters.arrived(fact.request)

    def _request_rejected(self, fact: RequestRejected) -> None:
        request, now = fact.request, fact.time_s
        self._open.pop(request.id, None)
        self._counters.rejected(request)
        args = {"why": fact.why, **_sizes(request)}
        self._write(now, event("i", "rejected", _CLUSTER, 0, now, s="p", args=args))

    def _request_finished(self, fact: RequestFinished) -> None:
        request, now = fact.request, fact.time_s
        self._open.pop(request.id, None)
        self._write(now, *_lifecycle(request, now, self._preempted.pop(request.id, [])))
        replica = self._replicas()[request.replica]
        if not replica.busy():
            self._count(replica, self._counters.empty(replica, now))

    def _request_preempted(self, fact: RequestPreempted) -> None:
        request, now = fact.request, fact.time_s
        pid = _FIRST_REPLICA + request.replica
        args = {"request": request.id, "tokens made": request.generated_tokens}
        name = f"preempted ({fact.fate})"
        self._write(now, event("i", name, pid, _ITERATIONS, now, s="t", args=args))
        instant = event("n", name, pid, _ITERATIONS, now, cat="request", id=request.id)
        self._preempted.setdefault(request.id, []).append(instant)

    def _iterations(self, fact: Iterations) -> None:
        replica = self._replicas()[fact.replica]
        phase = "decode" if not fact.prefill_tokens else "mixed" if fact.decodes else "prefill"
        name = phase if fact.steps == 1 else f"{phase} x{fact.steps}"
        args = {
            "steps": fact.steps,
            "decodes": fact.decodes,
            "prefill tokens": fact.prefilled,
            "context tokens": fact.context_tokens,
        }
        thread = (_FIRST_REPLICA + fact.replica, _ITERATIONS)
        times = (fact.start_s, fact.end_s)
        self._write(fact.end_s, span(name, *thread, *times, cat="iteration", args=args))
        self._count(replica, self._counters.during(fact, replica))

    def _stage(self, fact: StageDone) -> None:
        pid = _FIRST_REPLICA + fact.replica
        ends = (fact.gpu_end_s, fact.host_end_s, fact.copy_end_s)
        for (thread, name), end_s in zip(_STAGE_THREADS.items(), ends, strict=True):
            if (pid, thread) not in self._lanes:
                self._lanes.add((pid, thread))
                self._write(0.0, event("M", "thread_name", pid, thread, 0.0, args={"name": name}))
            if end_s > fact.start_s:
                times = (fact.start_s, end_s)
                self._write(end_s, span(fact.name, pid, thread, *times, cat="stage"))

    def _swapped(self, fact: Swapped) -> None:
        thread = (_FIRST_REPLICA + fact.replica, _ITERATIONS)
        args = {"out bytes": fact.out_bytes, "in bytes": fact.in_bytes}
        times = (fact.start_s, fact.end_s)
        self._write(fact.end_s, span("swap", *thread, *times, cat="swap", args=args))

    def _device_changed(self, fact: DeviceChanged) -> None:
        now = fact.time_s
        place = self._place(fact.device, now)
        if fact.what == "fail":
            self._down[fact.device] = place
            self._write(now, event("B", "down", *place, now, cat="device"))
            if place[0] != _CLUSTER:
                replica = self._replicas()[place[0] - _FIRST_REPLICA]
                self._count(replica, self._counters.empty(replica, now))
        elif fact.what == "repair":
            if self._down.pop(fact.device, None) is not None:
                self._write(now, event("E", "down", *place, now, cat="device"))
        elif fact.what == "cap":
            self._write(now, event("i", "power cap", *place, now, s="t", cat="device"))
        else:
            self._write(now, event("i", f"speed x{fact.speed:g}", *place, now, s="t", cat="device"))

    # Places

    def _replicas(self) -> list[Replica]:
        """The replicas; their processes are named when they are first asked for."""
        if self._known is None:
            serving = [s for s in self._simulation.systems if isinstance(s, Serving)]
            if len(serving) > 1:
                raise ConfigError(
                    f"timeline: follows one serving system, this run has {len(serving)}; choose "
                    "timeline=none, or run them apart"
                )
            self._known = serving[0].replicas if serving else []
            self._name(_CLUSTER, "cluster", "")
            for replica in self._known:
                self._name(
                    _FIRST_REPLICA + replica.index, f"replica {replica.index}", replica.group.name
                )
        return self._known

    def _name(self, pid: int, name: str, devices: str) -> None:
        named = {
            "process_name": {"name": name},
            "process_labels": {"labels": devices},
            "process_sort_index": {"sort_index": pid},
        }
        self._write(0.0, *(event("M", key, pid, 0, 0.0, args=args) for key, args in named.items()))
        if pid != _CLUSTER:
            thread = {"name": "iterations"}
            self._write(0.0, event("M", "thread_name", pid, _ITERATIONS, 0.0, args=thread))

    def _place(self, device: str, now_s: float) -> tuple[int, int]:
        """Process and thread of a device or link."""
        place = self._places.get(device)
        if place is None:
            owner = _CLUSTER
            for replica in self._replicas():
                if any(member.name == device for member in replica.group.devices):
                    owner = _FIRST_REPLICA + replica.index
            place = self._places[device] = (owner, _FIRST_DEVICE + len(self._places))
            self._write(now_s, event("M", "thread_name", *place, now_s, args={"name": device}))
        return place

    # Writing

    def _count(self, replica: Replica, readings: list[Reading]) -> None:
        pid = _FIRST_REPLICA + replica.index
        for time_s, running, waiting in readings:
            args = {"running": running, "waiting": waiting}
            self._write(time_s, event("C", "requests", pid, 0, time_s, args=args))

    def _write(self, now_s: float, *events: Event) -> None:
        if self._stopped_s is None and not self._trace.add(events):
            self._stopped_s = now_s
            name = f"timeline stopped: max_events ({self.max_events}) reached"
            self._trace.end(event("i", name, _CLUSTER, 0, now_s, s="g", cat="timeline"))
            self._open.clear()
            self._preempted.clear()
            self._counters.clear()


def _sizes(request: Request) -> dict[str, Any]:
    return {
        "request": request.id,
        "prompt tokens": request.prompt_tokens,
        "output tokens": request._output_tokens,
    }


def _lifecycle(request: Request, end_s: float, preempted: list[Event]) -> list[Event]:
    """Nested spans of a request that ends, or is cut off, at `end_s`."""
    pid = _FIRST_REPLICA + request.replica if request.replica >= 0 else _CLUSTER
    args = {**_sizes(request), "preemptions": request.preemptions}
    if request.finish_s < 0.0:
        args["unfinished"] = True
    parts = [("queued", request.arrival_s)]
    if request.scheduled_s >= 0.0:
        parts.append(("prefill", request.scheduled_s))
    if 0.0 <= request.first_token_s < end_s:
        parts.append(("decode", request.first_token_s))

    def mark(ph: str, name: str, time_s: float, **fields: Any) -> Event:
        return event(ph, name, pid, _ITERATIONS, time_s, cat="request", id=request.id, **fields)

    events = [mark("b", "request", request.arrival_s, args=args)]
    ends = [start_s for _, start_s in parts[1:]] + [end_s]
    for (name, start_s), part_end_s in zip(parts, ends, strict=True):
        events += [mark("b", name, start_s), mark("e", name, part_end_s)]
    return [*events, *preempted, mark("e", "request", end_s)]
