"""Cost of a packet on the data path, in packets and in bursts, and of a minute of rates."""

from __future__ import annotations

import time

from experiments.benchmarks.bare import in_bare_timeouts
from experiments.compose import compose
from experiments.reproduce.papers.cora.points import parts
from models.network_functions.program import Program
from models.network_functions.program_text import program
from models.network_functions.traffic import TrafficProfile
from policies.partition.fixed import Fixed
from sim.core.run import build
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.hardware.cluster import Cluster, NodeCount
from workloads.packets.zipf_flows import ZipfFlows

#: Packets of a run, and the bar: bare timeouts for each in bursts of 32.
_PACKETS = 320_000
_BAR = 6.0
_PROFILE = TrafficProfile(
    flows=1e5, zipf_exponent=1.0, packets_per_flow=80.0, packet_bytes=256.0, rate_pps=14e6
)


def print_dataplane(repeats: int) -> None:
    """Bare timeouts per packet beside the bar, by burst: all of a run from the first draw of a
    packet to the last figure; medians of rounds in which runs and the bare timeout take turns."""
    print("Data path of eight blocks, each with a read of a state: bare timeouts for each packet")
    print(f"{'burst':>6}{'all on the NIC':>18}{'half at the host':>18}{'bar':>8}")
    for burst in (1, 8, 32):
        costs = []
        for sides in ("NNNNNNNN", "NNNNCCCC"):
            limit = _PACKETS // (4 if burst == 1 else 1)
            costs.append(in_bare_timeouts(_Round(sides, burst, limit).seconds, repeats))
        bar = f"{_BAR:8.1f}" if burst == 32 else ""
        print(f"{burst:6d}{costs[0]:18.2f}{costs[1]:18.2f}{bar}")
    print("\nRates: CPU seconds for each minute of traffic of Cora's runtime, a million flows")
    for name in ("upf", "nat"):
        config = compose(["experiment=cora_runtime", f"program={name}"])
        simulation = build(config)
        began = time.process_time()
        simulation.run()
        seconds = time.process_time() - began
        print(f"{name:>6}{60.0 * seconds / simulation.now:8.1f}")
    print()


class _Round:
    """One run of a plan in bursts."""

    def __init__(self, sides: str, burst: int, packets: int) -> None:
        self.sides = sides
        self.burst = burst
        self.packets = packets

    def seconds(self) -> float:
        """CPU seconds for each packet."""
        found = parts("agilio-cx")
        node = found["node"]
        system = DataPlane(
            program=_eight_blocks(),
            packets=ZipfFlows(_PROFILE, burst=self.burst, limit=self.packets // self.burst),
            traffic=_PROFILE,
            partition=Fixed(self.sides),
            stack=found["stack"],
            limits=found["queue_limits"],
            monitor=found["traffic_monitor"],
            burst=self.burst,
            fixed_cores=8,
        )
        simulation = Simulation(seed=1, cluster=Cluster([NodeCount(node)]))
        simulation.add(system)
        began = time.process_time()
        simulation.run()
        simulation.finish()
        return (time.process_time() - began) / self.packets


def _eight_blocks() -> Program:
    states = {
        f"s{i}": {"entry_bytes": 16, "entries": 65536, "consistency": "rmw"} for i in range(8)
    }
    blocks = [
        {
            "name": f"b{i}",
            "classes": "NET",
            "cpu_cycles": 50,
            "npu_cycles": 90,
            "uses": {f"s{i}": {"reads": 1}},
        }
        for i in range(8)
    ]
    source = {"states": "assumption: a plain table each", "blocks": "assumption: a plain look-up"}
    return program(name="eight blocks", states=states, blocks=blocks, source=source)
