"""The timeline of a serving run: what each replica and each request did when."""

from __future__ import annotations

from typing import Any

from sim.core.errors import ConfigError
from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.core.timeline import Event, TraceEvents, microseconds, no_timeline
from sim.hardware.facts import DeviceChanged
from sim.serving.facts import (
    Iterations,
    RequestArrived,
    RequestFinished,
    RequestPreempted,
    RequestRejected,
    Swapped,
)
from sim.serving.replica import Replica
from sim.serving.request import Request
from sim.serving.serving import Serving

__all__ = ["Timeline", "no_timeline"]

#: Trace processes: what belongs to no replica, then one for each replica.
_CLUSTER = 1
_FIRST_REPLICA = 2
#: Trace threads of a replica: its iterations, then its devices.
_ITERATIONS = 1
_DEVICES = 2


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
        # Arrivals whose replica is not known yet, and those that its next fact will look at.
        self._fresh: list[Request] = []
        self._arrived: dict[int, list[Request]] = {}
        self._shown: dict[int, tuple[int, int]] = {}
        self._down: dict[str, tuple[int, int]] = {}
        self._threads: dict[str, tuple[int, int]] = {}
        self._replicas: list[Replica] | None = None

    @property
    def events(self) -> list[Event]:
        """The events, where the run has no folder."""
        return self._trace.events

    def attach(self, simulation: Simulation) -> None:
        """Subscribe to facts and open the file."""
        self._simulation = simulation
        self._trace = TraceEvents(simulation.results.folder, self.max_events)
        listeners = {
            RequestArrived: self._request_arrived,
            RequestRejected: self._request_rejected,
            RequestFinished: self._request_finished,
            RequestPreempted: self._request_preempted,
            Iterations: self._iterations,
            Swapped: self._swapped,
            DeviceChanged: self._device_changed,
        }
        for fact, listener in listeners.items():
            simulation.facts.subscribe(fact, listener)

    def finish(self, results: Draft) -> None:
        """Close what is open, and the file."""
        now = self._simulation.now
        for request in sorted(self._open.values(), key=lambda request: request.id):
            self._write(now, _lifecycle(request, now, self._preempted.get(request.id, [])))
        self._write(now, [_event("E", "down", *place, now) for place in self._down.values()])
        if self._stopped_s is None:
            self._trace.end()
        results.figure("timeline.events", self._trace.written)
        results.figure("timeline.stopped_s", self._stopped_s)

    # Facts

    def _request_arrived(self, fact: RequestArrived) -> None:
        if self._stopped_s is None:
            self._open[fact.request.id] = fact.request
            self._fresh.append(fact.request)

    def _request_rejected(self, fact: RequestRejected) -> None:
        request = fact.request
        self._open.pop(request.id, None)
        args = {"why": fact.why, **_sizes(request)}
        self._write(
            fact.time_s, [_event("i", "rejected", _CLUSTER, 0, fact.time_s, s="p", args=args)]
        )

    def _request_finished(self, fact: RequestFinished) -> None:
        request = fact.request
        self._open.pop(request.id, None)
        events = _lifecycle(request, fact.time_s, self._preempted.pop(request.id, []))
        self._write(fact.time_s, events)
        if not self._replica(request.replica).busy():
            self._write(fact.time_s, self._count(request.replica, fact.time_s, 0, 0))

    def _request_preempted(self, fact: RequestPreempted) -> None:
        request = fact.request
        pid = _FIRST_REPLICA + request.replica
        args = {"request": request.id, "fate": fact.fate, "tokens made": request.generated_tokens}
        name = f"preempted ({fact.fate})"
        self._write(
            fact.time_s, [_event("i", name, pid, _ITERATIONS, fact.time_s, s="t", args=args)]
        )
        instant = _event("n", name, pid, _ITERATIONS, fact.time_s, cat="request", id=request.id)
        self._preempted.setdefault(request.id, []).append(instant)

    def _iterations(self, fact: Iterations) -> None:
        if self._stopped_s is not None:
            return
        _, end_s, index, steps, decodes, context_tokens, prefill_tokens, _ = fact
        phase = "decode" if not prefill_tokens else "mixed" if decodes else "prefill"
        args = {
            "decodes": decodes,
            "prefill tokens": prefill_tokens,
            "context tokens": context_tokens,
            "steps": steps,
        }
        name = phase if steps == 1 else f"{phase} x{steps}"
        pid = _FIRST_REPLICA + index
        span = _span(name, pid, fact.start_s, end_s, "iteration", args)
        self._write(end_s, [span, *self._gauges(fact)])

    def _swapped(self, fact: Swapped) -> None:
        pid = _FIRST_REPLICA + fact.replica
        args = {"out bytes": fact.out_bytes, "in bytes": fact.in_bytes}
        self._write(fact.end_s, [_span("swap", pid, fact.start_s, fact.end_s, "swap", args)])

    def _device_changed(self, fact: DeviceChanged) -> None:
        if self._stopped_s is not None:
            return
        place = self._thread(fact.device, fact.time_s)
        pid = place[0]
        if fact.what == "fail":
            self._down[fact.device] = place
            self._write(fact.time_s, [_event("B", "down", *place, fact.time_s, cat="device")])
            if pid != _CLUSTER:
                self._write(fact.time_s, self._count(pid - _FIRST_REPLICA, fact.time_s, 0, 0))
        elif fact.what == "repair":
            if self._down.pop(fact.device, None) is not None:
                self._write(fact.time_s, [_event("E", "down", *place, fact.time_s, cat="device")])
        else:
            name = f"speed x{fact.speed:g}"
            self._write(fact.time_s, [_event("i", name, *place, fact.time_s, s="t", cat="device")])

    # Counters

    def _gauges(self, fact: Iterations) -> list[Event]:
        """Running and waiting requests during an iteration. The batch is as it ran; the queue
        holds those of now, less those that came since its start, who join one by one."""
        index = fact.replica
        replica = self._replica(index)
        unrouted = []
        for request in self._fresh:
            if request.replica < 0:
                unrouted.append(request)
            else:
                self._arrived.setdefault(request.replica, []).append(request)
        self._fresh = unrouted
        running = replica.batch.size + len(replica.prefilling)
        late = [r for r in self._arrived.pop(index, ()) if r.replica_s > fact.start_s]
        waiting = max(0, replica.queued - len(late))
        events = self._count(index, fact.start_s, running, waiting)
        for request in late:
            waiting += 1
            events += self._count(index, request.replica_s, running, waiting)
        return events

    def _count(self, index: int, time_s: float, running: int, waiting: int) -> list[Event]:
        """A counter event, if the numbers have changed."""
        if self._shown.get(index) == (running, waiting):
            return []
        self._shown[index] = (running, waiting)
        args = {"running": running, "waiting": waiting}
        return [_event("C", "requests", _FIRST_REPLICA + index, 0, time_s, args=args)]

    # Places

    def _replica(self, index: int) -> Replica:
        if self._replicas is None:
            serving = [s for s in self._simulation.systems if isinstance(s, Serving)]
            if len(serving) != 1:
                raise ConfigError(
                    f"timeline: follows one serving system, this run has {len(serving)}; choose "
                    "timeline=none or run them apart"
                )
            self._replicas = serving[0].replicas
            self._name_processes(self._replicas)
        return self._replicas[index]

    def _name_processes(self, replicas: list[Replica]) -> None:
        names = [(_CLUSTER, "cluster", "")]
        names += [(_FIRST_REPLICA + r.index, f"replica {r.index}", r.group.name) for r in replicas]
        events = []
        for pid, name, labels in names:
            for kind, args in (
                ("process_name", {"name": name}),
                ("process_labels", {"labels": labels}),
                ("process_sort_index", {"sort_index": pid}),
            ):
                events.append(_event("M", kind, pid, 0, 0.0, args=args))
            if pid != _CLUSTER:
                thread = {"name": "iterations"}
                events.append(_event("M", "thread_name", pid, _ITERATIONS, 0.0, args=thread))
        self._write(0.0, events)

    def _thread(self, device: str, now_s: float) -> tuple[int, int]:
        """Process and thread of a device or link."""
        place = self._threads.get(device)
        if place is None:
            owner = _CLUSTER
            replicas = self._replicas
            if replicas is None and any(isinstance(s, Serving) for s in self._simulation.systems):
                self._replica(0)
                replicas = self._replicas
            for replica in replicas or ():
                if any(member.name == device for member in replica.group.devices):
                    owner = _FIRST_REPLICA + replica.index
            place = self._threads[device] = (owner, _DEVICES + len(self._threads))
            self._write(now_s, [_event("M", "thread_name", *place, now_s, args={"name": device})])
        return place

    def _write(self, now_s: float, events: list[Event]) -> None:
        if self._stopped_s is None and not self._trace.add(events):
            self._stopped_s = now_s
            name = f"timeline stopped: max_events ({self.max_events}) reached"
            self._trace.end(_event("i", name, _CLUSTER, 0, now_s, s="g", cat="timeline"))
            self._open.clear()
            self._preempted.clear()
            self._fresh.clear()
            self._arrived.clear()


def _event(ph: str, name: str, pid: int, tid: int, time_s: float, **fields: Any) -> Event:
    return {"ph": ph, "name": name, "pid": pid, "tid": tid, "ts": microseconds(time_s), **fields}


def _span(
    name: str, pid: int, start_s: float, end_s: float, cat: str, args: dict[str, Any]
) -> Event:
    start = microseconds(start_s)
    lasts = microseconds(end_s) - start
    return {
        "ph": "X",
        "name": name,
        "pid": pid,
        "tid": _ITERATIONS,
        "ts": start,
        "dur": lasts,
        "cat": cat,
        "args": args,
    }


def _sizes(request: Request) -> dict[str, Any]:
    return {
        "request": request.id,
        "prompt tokens": request.prompt_tokens,
        "output tokens": request._output_tokens,
    }


def _lifecycle(request: Request, end_s: float, preempted: list[Event]) -> list[Event]:
    """Nested spans of a request that ends, or is cut off, at `end_s`."""
    pid = _FIRST_REPLICA + request.replica if request.replica >= 0 else _CLUSTER
    marks = [("queued", request.arrival_s)]
    if request.scheduled_s >= 0.0:
        marks.append(("prefill", request.scheduled_s))
    if request.first_token_s >= 0.0 and request.first_token_s < end_s:
        marks.append(("decode", request.first_token_s))
    args = {**_sizes(request), "preemptions": request.preemptions}
    if request.finish_s < 0.0:
        args["unfinished"] = True

    def mark(ph: str, name: str, time_s: float, **fields: Any) -> Event:
        return _event(ph, name, pid, _ITERATIONS, time_s, cat="request", id=request.id, **fields)

    events = [mark("b", "request", request.arrival_s, args=args)]
    ends = [time_s for _, time_s in marks[1:]] + [end_s]
    for (name, start), end in zip(marks, ends, strict=True):
        events += [mark("b", name, start), mark("e", name, end)]
    return [*events, *preempted, mark("e", "request", end_s)]
