"""What became of the KV of callers, by kind of request."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.serving.facts import CallBegan, CallEnded


class CallKinds:
    """Counts returned calls by the request's kind and the handling that the KV had in the end:
    figures `calls_by_kind.KIND.HANDLING`. Calls after the last token are left out."""

    def attach(self, simulation: Simulation) -> None:
        """Listen to calls."""
        self._under_way: set[int] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        simulation.facts.subscribe(CallBegan, self._began)
        simulation.facts.subscribe(CallEnded, self._ended)

    def finish(self, results: Draft) -> None:
        """Put the counts into the result."""
        for (kind, handling), count in sorted(self._counts.items()):
            results.figure(f"calls_by_kind.{kind}.{handling}", count)

    def _began(self, fact: Any) -> None:
        self._under_way.add(fact.request.id)

    def _ended(self, fact: Any) -> None:
        request = fact.request
        if request.id in self._under_way:
            self._under_way.remove(request.id)
            self._counts[request.kind, request.handling] += 1
