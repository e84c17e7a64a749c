"""Packets and attention on one host: each slows the other down by what it takes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from dataplane_kit import Run
from network_function_kit import agilio, part
from offload_kit import host_attention, offload_cost, times
from serving_kit import gpu_spec, trace
from test_dataplane_memory import EVEN, host, table

from models.served import ServedByFormula
from policies.batching.full_offload import FullOffload
from policies.ordering.fcfs import Fcfs
from policies.routing.round_robin import RoundRobin
from policies.tools.always import Always
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.serving.limits import EngineLimits
from sim.serving.serving import Serving

UNTIL_S = 0.42
CPU = host(1.6e9)


def _serving() -> Serving:
    """Requests all of which decode on the host, which reads for them nearly all the time."""
    cost = offload_cost(
        host_attention(cpu=CPU, cores=16, reach=1.0),
        gemm_compute=2e-2,
        kernel_s=1e-6,
        launch_per_layer_s=0.0,
    )
    kv_bytes = cost.kv_bytes * cost.layers
    return Serving(
        served=ServedByFormula(
            cost_model=cost.cost,
            kv_tokens=1 << 20,
            context_tokens=1 << 20,
            kv_bytes_per_token=kv_bytes,
            layers=cost.layers,
            offload_model=cost,
        ),
        client=trace([(0.0, 40, 20)] * 40),
        ordering=Fcfs,
        batching=lambda: FullOffload(times(cost)),
        routing=RoundRobin,
        tools=partial(Always, "preserve"),
        engine=EngineLimits(
            max_sequences=64,
            max_batch_tokens=256,
            block_tokens=4,
            kv_blocks=80,
            host_swap_bytes=4000.0 * kv_bytes,
            watermark=0.0,
        ),
    )


def _run(sides: str | None) -> tuple[float, float]:
    """Seconds until the last request has ended, and millions of packets a second in all."""
    node = replace(
        part("hardware/node", "smartnic-server"),
        cpu=CPU,
        smartnic=agilio(),
        gpus=1,
        gpu=gpu_spec(),
    )
    until_s = None if sides is None else UNTIL_S
    simulation = Simulation(seed=1, until_s=until_s, cluster=Cluster([NodeCount(node, 1)]))
    if sides is not None:
        settings: dict[str, Any] = {"monitor": {"interval_s": 1e-3}, "limits": {"ring": 64}}
        packets = Run(
            table(),
            sides,
            EVEN,
            packets=None,
            rates=True,
            fixed_cores=4,
            steering="any",
            log=False,
            **settings,
        )
        simulation.add(packets.system)
    simulation.add(_serving())
    simulation.run()
    simulation.finish()
    result = simulation.results.close({}, {})
    rows = result.table("requests")
    assert (rows["status"] == "finished").all()
    passed = result.summary.get("dataplane.throughput_mpps", 0.0)
    return float(rows["finish_s"].max()), float(passed)  # type: ignore[arg-type]


def test_packets_on_the_host_and_attention_slow_each_other_down() -> None:
    """Of 1.6 GB/s, 10 M packets a second want 1.3 and attention all that there is: while both want
    it each gets half, which is 6.1 M packets a second. Packets that end at the NIC take nothing of
    it, and attention nothing of theirs."""
    alone_s, _ = _run(None)
    both_s, both_mpps = _run("C")
    beside_s, beside_mpps = _run("N")
    assert 1.4 * alone_s < both_s < 2.0 * alone_s
    assert 6.1 < both_mpps < 8.5
    assert beside_s == pytest.approx(alone_s, rel=0.05)
    assert beside_mpps == pytest.approx(10.0, rel=0.01)
