"""Gauges and counters of replicas at evenly spaced times."""

from __future__ import annotations

from collections.abc import Sequence

from sim.core.simulation import Simulation
from sim.serving.replica import Replica

COLUMNS = {
    "time_s": "float64",
    "replica": "int32",
    "running": "int32",
    "waiting": "int32",
    "in_calls": "int32",
    "kv_blocks": "int64",
    "output_tokens": "int64",
    "energy_j": "float64",
}


class Series:
    """Samples every replica each `interval_s`: running and waiting requests, those in tool calls
    (or on the way back from host memory) and KV blocks in use are gauges, output tokens and energy
    count from the start. Exact under jumps: a sample inside a jump follows from the closed forms
    of the run under way."""

    def __init__(
        self, simulation: Simulation, name: str, replicas: Sequence[Replica], interval_s: float
    ) -> None:
        self._replicas = replicas
        self._table = simulation.results.table(
            "series" if name == "serving" else f"{name}_series", COLUMNS
        )
        self._last_s = -1.0
        simulation.every(interval_s, self._sample)

    def close(self, now_s: float) -> None:
        """A last sample where the run ends."""
        if now_s > self._last_s:
            self._sample(now_s)

    def _sample(self, now_s: float) -> None:
        self._last_s = now_s
        append = self._table.append
        for replica in self._replicas:
            append(
                (
                    now_s,
                    replica.index,
                    replica.batch.size + replica.host.size + len(replica.prefilling),
                    replica.queued,
                    len(replica.calls.requests()),
                    kv_blocks_used(replica),
                    output_tokens_made(replica),
                    replica.group.energy_j(now_s),
                )
            )
        self._table.flush_when_full()


def kv_blocks_used(replica: Replica) -> int:
    """KV blocks in use now, those that the present iteration writes into among them."""
    used = replica.pool.used
    if replica.run.live and replica.decodes:
        used += replica.batch.growth(replica.steps_under_way() + 1)
    return used


def output_tokens_made(replica: Replica) -> int:
    """Output tokens made until now."""
    steps = replica.steps_under_way()
    made = replica.tally.output_tokens
    return made + replica.batch.size * steps if steps and replica.decodes else made
