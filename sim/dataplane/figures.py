"""Figures of a data path over a window of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.network_functions.traffic import PACKET_TYPES
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.dataplane.counts import PLACES

if TYPE_CHECKING:
    from sim.dataplane.dataplane import DataPlane


class Window:
    """What happened since `begin` (the start of the run, or the end of the warm-up)."""

    def __init__(self, simulation: Simulation, system: DataPlane) -> None:
        self._simulation = simulation
        self._system = system
        self._before = self._read()

    def begin(self) -> None:
        """Count from now on."""
        self._system.path.counts.forget_latencies()
        self._before = self._read()

    def figures(self) -> dict[str, Value]:
        """Rates, drops by place, host cores, utilisations, latencies by type of packet."""
        system = self._system
        now = self._read()
        since = {key: value - self._before[key] for key, value in now.items()}
        lasted_s = since["time_s"]
        path = system.path

        def rate(key: str) -> float | None:
            return since[key] / lasted_s if lasted_s else None

        left = rate("left")
        figures: dict[str, Value] = {
            "offered_mpps": _scaled(rate("arrived"), 1e-6),
            "throughput_mpps": _scaled(left, 1e-6),
            "throughput_gbps": _scaled(rate("left_bytes"), 8e-9),
            "pcie_gbps": _scaled(rate("crossed_bytes"), 8e-9),
            "busy_cores": rate("host_s"),
            "cores": rate("provided_s"),
            "host_cycles_per_packet": (
                since["host_s"] / since["left"] * path.trips.model.cpu.clock_hz
                if since["left"]
                else None
            ),
            "packets_arrived": path.counts.all_arrived,
            "packets_left": path.counts.all_left,
            "packets_dropped": path.counts.all_dropped,
            "packets_under_way": path.under_way.count * path.burst,
            "offloaded_flows": len(path.entries.at_nic),
            "flows_moved": path.moves.done,
            "installs_refused": path.refused,
            "decisions": system.runtime.decisions,
            "plans": system.runtime.plans,
            "search_nodes": system.runtime.nodes,
            "search_s": system.runtime.search_s,
        }
        arrived = since["arrived"]
        for place in PLACES:
            key = f"drop_share.{place.replace(' ', '_')}"
            figures[key] = since[f"dropped {place}"] / arrived if arrived else None
        for name in self._stations():
            figures[f"utilisation.{name.replace(' ', '_')}"] = rate(f"busy {name}")
        for kind, latencies in zip(PACKET_TYPES, path.counts.latencies, strict=True):
            figures[f"latency_us.{kind}.mean"] = _scaled(latencies.mean_s, 1e6)
            for share in (0.5, 0.99):
                value = latencies.percentile_s(share) if latencies.count else None
                figures[f"latency_us.{kind}.p{share * 100:g}"] = _scaled(value, 1e6)
        return figures

    def _stations(self) -> list[str]:
        path = self._system.path
        lines = [path.wire, *path.engines, path.match, path.up, path.down, path.channel]
        return [line.name for line in lines] + ["nic cores", "nic threads"]

    def _read(self) -> dict[str, float]:
        system = self._system
        path, counts = system.path, system.path.counts
        now = self._simulation.now
        cores = path.cores
        read = {
            "time_s": now,
            "arrived": float(counts.all_arrived),
            "left": float(counts.all_left),
            "left_bytes": counts.left_bytes,
            "crossed_bytes": counts.crossed_bytes,
            "host_s": path.host.busy_s(now),
            "provided_s": system.provision.provided_s(now),
            "busy nic cores": cores.busy_s(now) / cores.count,
            "busy nic threads": cores.held_s(now) / (cores.count * cores.threads),
        }
        for line in (path.wire, *path.engines, path.match, path.up, path.down, path.channel):
            read[f"busy {line.name}"] = line.done_s(now)
        for place in PLACES:
            read[f"dropped {place}"] = float(sum(counts.dropped[place]))
        return read


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by
