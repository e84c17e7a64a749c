"""Figures of a data path over a window of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from models.network_functions.traffic import PACKET_TYPES
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.dataplane.carrier import Carrier
from sim.dataplane.counts import Latencies
from sim.dataplane.provision import Provision
from sim.dataplane.stations import Line


class Window:
    """What happened since `begin` (the start of the run, or the end of the warm-up)."""

    def __init__(
        self, simulation: Simulation, carrier: Carrier, provision: Provision, clock_hz: float
    ) -> None:
        self._simulation = simulation
        self._carrier = carrier
        self._provision = provision
        self._clock_hz = clock_hz
        self._before = self._read()
        self._half: dict[str, float] = {}
        self._queues: dict[Line, float] = {}

    def begin(self) -> None:
        """Count from now on."""
        self._carrier.forget_latencies()
        self._before = self._read()

    def halve(self, lines: Sequence[Line]) -> None:
        """Half of the time is over: the rates of both halves are figures too, and how fast the
        queue of one of `lines` grows at most in the second."""
        self._half = self._read()
        self._queues = {line: line.backlog_s(self._half["time_s"]) for line in lines}

    def figures(self) -> dict[str, Value]:
        """Rates, drops by place, host cores, utilisations, latencies of all packets and by type."""
        now = self._read()
        since = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
        lasted_s, arrived, left = since["time_s"], since["arrived"], since["left"]

        def rate(key: str, scale: float = 1.0) -> float | None:
            return since[key] / lasted_s * scale if lasted_s else None

        figures: dict[str, Value] = {
            "offered_mpps": rate("arrived", 1e-6),
            "throughput_mpps": rate("left", 1e-6),
            "throughput_gbps": rate("left_bytes", 8e-9),
            "pcie_gbps": rate("crossed_bytes", 8e-9),
            "memory_gbps": rate("memory_bytes", 8e-9),
            "busy_cores": rate("host_s"),
            "cores": rate("provided_s"),
            "host_cycles_per_packet": since["host_s"] / left * self._clock_hz if left else None,
            "drop_share": since["dropped"] / arrived if arrived else None,
        }
        if self._half:
            figures.update(self._halves(now))
        for key in ("arrived", "left", "dropped"):
            figures[f"packets_{key}"] = now[key]
        for key, value in since.items():
            head, _, name = key.partition(" ")
            name = name.replace(" ", "_")
            if head == "dropped" and name:
                figures[f"drop_share.{name}"] = value / arrived if arrived else None
            elif head == "busy":
                figures[f"utilisation.{name}"] = rate(key)
        by_type = self._carrier.latencies
        if by_type:
            figures |= _latencies("latency_us", Latencies.of_all(by_type))
        for kind, latencies in zip(PACKET_TYPES, by_type, strict=False):
            figures |= _latencies(f"latency_us.{kind}", latencies)
        return figures

    def _halves(self, now: Mapping[str, float]) -> Iterator[tuple[str, Value]]:
        """Rates of both halves, and seconds of work by which a queue grew a second in the other."""
        half = self._half
        for name, begin, end in (("first", self._before, half), ("second", half, now)):
            lasted_s, left = end["time_s"] - begin["time_s"], end["left"] - begin["left"]
            yield f"throughput_mpps.{name}_half", left / lasted_s * 1e-6 if lasted_s else None
        lasted_s = now["time_s"] - half["time_s"]
        grown_s = {
            line.name: line.backlog_s(now["time_s"]) - before_s
            for line, before_s in self._queues.items()
        }
        most = max(grown_s, key=grown_s.__getitem__)
        yield "growing_queue", most if grown_s[most] > 0.0 else None
        yield "queue_growth", max(0.0, grown_s[most]) / lasted_s if lasted_s else None

    def _read(self) -> dict[str, float]:
        now = self._simulation.now
        totals = self._carrier.totals(now)
        read = {
            "time_s": now,
            "arrived": totals.arrived,
            "left": totals.left,
            "left_bytes": totals.left_bytes,
            "crossed_bytes": totals.crossed_bytes,
            "dropped": totals.all_dropped,
            "host_s": totals.work_s,
            "memory_bytes": totals.memory_bytes,
            "provided_s": self._provision.provided_s(now),
        }
        read |= {f"busy {name}": value for name, value in self._carrier.busy_s(now).items()}
        read |= {f"dropped {place}": value for place, value in totals.dropped.items()}
        return read


def _latencies(name: str, latencies: Latencies) -> dict[str, Value]:
    found: dict[str, Value] = {f"{name}.mean": _micro(latencies.mean_s)}
    for share in (0.5, 0.99):
        found[f"{name}.p{share * 100:g}"] = _micro(latencies.percentile_s(share))
    return found


def _micro(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e6
