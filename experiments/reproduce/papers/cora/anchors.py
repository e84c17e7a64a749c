"""Measurements of the Agilio that its model is to reproduce: packets of 60 bytes, from "Throughput
guarantees for SmartNIC programs" (CoNEXT 2021)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from experiments.reproduce.papers.cora.points import parts, run_system
from experiments.reproduce.workers import Workers
from models.network_functions.program import Program
from models.network_functions.program_text import program
from models.network_functions.traffic import TrafficProfile
from policies.partition.fixed import Fixed

#: Measured, in million packets a second.
MEASURED = {
    "416.9 cycles, one core": 1.9187,
    "1,266 cycles, one core": 0.63188,
    "4 rows of a count-min sketch": 50.04,
    "5 rows": 46.17,
    "10 rows": 24.93,
}
_FIRMWARE, _ISSUE = 224.0, 4.0
_SOURCE = {"states": "CoNEXT 2021", "blocks": "CoNEXT 2021"}
_BURST, _BURSTS = 4, 20_000


def plain(cycles: float) -> Program:
    """A program of so many cycles, the firmware's among them."""
    block = {"name": "work", "classes": "NET", "cpu_cycles": 1, "npu_cycles": cycles - _FIRMWARE}
    return program(name="plain", states={}, blocks=[block], source=_SOURCE)


def count_min(rows: int) -> Program:
    """So many additions to the large memory for each packet: 531 + 67 n cycles in all."""
    block = {
        "name": "count",
        "classes": "NET",
        "cpu_cycles": 1,
        "npu_cycles": 531.0 + 67.0 * rows - _FIRMWARE - _ISSUE * rows,
        "uses": {"cms": {"adds": rows}},
    }
    states = {"cms": {"entry_bytes": 4, "entries": 4e6, "consistency": "add"}}
    return program(name="sketch", states=states, blocks=[block], source=_SOURCE)


def measure(name: str) -> float:
    """Million packets a second in the simulator."""
    made, sides, one = {
        "416.9 cycles, one core": (partial(plain, 416.9), "", True),
        "1,266 cycles, one core": (partial(plain, 1266.0), "", True),
        "4 rows of a count-min sketch": (partial(count_min, 4), "N", False),
        "5 rows": (partial(count_min, 5), "N", False),
        "10 rows": (partial(count_min, 10), "N", False),
    }[name]
    node = parts("agilio-cx")["node"]
    if one:
        node = replace(node, smartnic=replace(node.smartnic, islands=1, cores_per_island=1))
    nic = node.smartnic
    profile = TrafficProfile(
        flows=1e5, zipf_exponent=1.0, packets_per_flow=80.0, packet_bytes=60.0, rate_pps=1e7
    )
    figures = run_system(
        made(),
        Fixed(sides),
        profile,
        node,
        duration_s=_BURST * _BURSTS / (MEASURED[name] * 1e6),
        burst=_BURST,
        window=nic.cores * nic.threads_per_core + 256,
    )
    return figures["throughput_mpps"]


def study(workers: Workers) -> dict[str, float]:
    """All anchors."""
    names = list(MEASURED)
    return dict(zip(names, workers.map(measure, names), strict=True))
