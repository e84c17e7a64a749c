"""Figures of a data path over a window of time."""

from __future__ import annotations

from models.network_functions.traffic import PACKET_TYPES
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.dataplane.carrier import Carrier
from sim.dataplane.counts import Latencies
from sim.dataplane.provision import Provision


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

    def begin(self) -> None:
        """Count from now on."""
        self._carrier.forget_latencies()
        self._before = self._read()

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
