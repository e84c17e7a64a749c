"""Checks conservation laws while a run goes on."""

from __future__ import annotations

from typing import Any

from sim.core.errors import LawBroken
from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.serving.facts import Iterations, RequestArrived, RequestFinished, RequestRejected
from sim.serving.replica import Replica
from sim.serving.serving import Serving


class LawCheck:
    """Raises LawBroken, with both sides, at the first law that does not hold.

    At every boundary of every replica: time does not go back, iterations do not overlap, free and
    used KV blocks make up the pools, on the GPUs and in host memory, and the blocks that requests
    hold are those in use. At the
    end: requests arrived = finished + rejected + unfinished, tokens made = tokens asked of those
    finished plus those made of the unfinished, KV entries written = held at the end + thrown
    away. Its cost grows with the batch; it changes no figure.
    """

    def attach(self, simulation: Simulation) -> None:
        """Listen to the facts of serving."""
        self._simulation = simulation
        self._arrived = self._finished = self._rejected = 0
        self._tokens = self._written = self._kept = 0
        self._last_s: dict[int, float] = {}
        simulation.facts.subscribe(RequestArrived, self._on_arrival)
        simulation.facts.subscribe(RequestRejected, self._on_rejection)
        simulation.facts.subscribe(RequestFinished, self._on_finish)
        simulation.facts.subscribe(Iterations, self._on_iterations)

    def finish(self, results: Draft) -> None:
        """The laws that hold over a whole run."""
        systems = [s for s in self._simulation.systems if isinstance(s, Serving)]
        left = [request for system in systems for request in system.gateway.in_flight()]
        _equal(
            "requests arrived = finished + rejected + unfinished",
            self._arrived,
            self._finished + self._rejected + len(left),
        )
        tallies = [replica.tally for system in systems for replica in system.replicas]
        made = self._tokens + sum(request.generated_tokens for request in left)
        _equal("tokens made = tokens asked", sum(t.output_tokens for t in tallies), made)
        kept = self._kept + sum(request.kv_tokens for request in left)
        lost = sum(tally.recomputed_tokens for tally in tallies)
        _equal("KV entries written = held at the end + thrown away", self._written, kept + lost)

    def _on_arrival(self, _: Any) -> None:
        self._arrived += 1

    def _on_rejection(self, _: Any) -> None:
        self._rejected += 1

    def _on_finish(self, fact: RequestFinished) -> None:
        request = fact.request
        self._finished += 1
        self._tokens += request._output_tokens
        # The last token's KV is never written.
        self._kept += request._given + request._output_tokens - 1
        if not request.arrival_s <= request.scheduled_s <= request.first_token_s <= fact.time_s:
            raise LawBroken(
                f"time goes back for {request!r}: arrived {request.arrival_s} s, scheduled "
                f"{request.scheduled_s} s, first token {request.first_token_s} s, finished "
                f"{fact.time_s} s"
            )

    def _on_iterations(self, fact: Iterations) -> None:
        self._written += fact.steps * fact.decodes + fact.prefilled + fact.host_decodes
        last = self._last_s.get(fact.replica, 0.0)
        if not last <= fact.start_s <= fact.end_s:
            raise LawBroken(
                f"replica {fact.replica}: iterations from {fact.start_s} to {fact.end_s} s after "
                f"some that ended at {last} s"
            )
        self._last_s[fact.replica] = fact.end_s
        for system in self._simulation.systems:
            if isinstance(system, Serving):
                self._check_blocks(system.replicas[fact.replica])

    @staticmethod
    def _check_blocks(replica: Replica) -> None:
        block = replica.batch.block_tokens
        requests = replica.requests()
        for where, pool, held in (
            ("on the GPUs", replica.pool, sum(r.blocks_held(block) for r in requests)),
            ("in host memory", replica.swap.pool, sum(r.host_blocks_held(block) for r in requests)),
        ):
            pool.check()
            if held != pool.used:
                raise LawBroken(
                    f"replica {replica.index}: requests hold {held} KV blocks {where}, {pool.used} "
                    f"are in use at {replica.simulation.now} s"
                )


def _equal(law: str, left: int, right: int) -> None:
    if left != right:
        raise LawBroken(f"{law}: {left} and {right}")
