"""The area under a request's memory against time, as ranked and as measured."""

from __future__ import annotations

from math import fsum
from typing import Any

from experiments.compose import compose
from experiments.reproduce.claim import Study
from experiments.reproduce.papers.lamps.settings import SINGLE
from experiments.reproduce.workers import Workers
from models.tool_calls.forward_time import ForwardTime
from models.tool_calls.memory_time import request_area, segments
from sim.core.result import Draft
from sim.core.run import instantiate, run
from sim.core.simulation import Simulation
from sim.core.streams import Streams
from sim.serving.facts import CallBegan, CallEnded, Iterations, RequestArrived, RequestFinished
from workloads.demand import Demand

#: Measured over predicted area of all requests of a run by handling and calls, and by prediction,
#: one for each seed.
Areas = dict[tuple[str, str], list[float]]
#: Areas that the measured one is compared with: the rank's, and one that has an iteration for each
#: token.
WAYS = ("as ranked", "an iteration each")

IN_PIECES = ", in pieces"

_REQUESTS = 60
_HELD = "+observers.held={_target_:experiments.reproduce.papers.lamps.areas.HeldAreas}"
#: Tokens of an iteration: more than any context, and what the evaluations have.
_WHOLE, _PIECES = 4096, 384


class HeldAreas:
    """Token seconds of KV of requests that come one at a time: figures `areas.held`, and
    `areas.rank`, the sum of the ranks that they were given on arrival.

    Computed tokens count, growing linearly within an iteration; KV that is swapped is not known.
    """

    def attach(self, simulation: Simulation) -> None:
        """Listen to iterations, and to what becomes of KV."""
        self._held, self._since_s = 0, 0.0
        self._area = self._ranks = 0.0
        self._request: Any = None
        self._ranked = self._calls = False
        for fact, listener in (
            (RequestArrived, self._arrived),
            (Iterations, self._iterated),
            (CallBegan, self._called),
            (CallEnded, self._returned),
            (RequestFinished, self._finished),
        ):
            simulation.facts.subscribe(fact, listener)

    def finish(self, results: Draft) -> None:
        """Put the areas into the result."""
        results.figure("areas.held", self._area)
        results.figure("areas.rank", self._ranks)

    def _arrived(self, fact: Any) -> None:
        self._request, self._ranked = fact.request, False

    def _iterated(self, fact: Any) -> None:
        if not self._ranked:
            self._ranked = True
            self._ranks += self._request.rank
        self._hold(fact.start_s)
        grows = fact.prefilled + fact.steps * fact.decodes
        self._area += (fact.end_s - fact.start_s) * (self._held + 0.5 * grows)
        self._held += grows
        self._since_s = fact.end_s

    def _called(self, fact: Any) -> None:
        self._calls = True
        self._hold(fact.time_s)
        if fact.handling != "preserve":
            self._held = 0

    def _returned(self, fact: Any) -> None:
        if self._calls:
            self._hold(fact.time_s)
        else:  # after the last token nothing is held
            self._held, self._since_s = 0, fact.time_s
        self._calls = False

    def _finished(self, fact: Any) -> None:
        self._held, self._since_s = 0, fact.time_s

    def _hold(self, until_s: float) -> None:
        self._area += self._held * (until_s - self._since_s)
        self._since_s = until_s


def measure_areas(workers: Workers) -> Areas:
    """Requests one at a time, so that each has the GPU for itself."""
    seeds = 10 if workers.full else 5
    kinds = {
        f"{handling}, {calls}{IN_PIECES if tokens == _PIECES else ''}": (handling, calls, tokens)
        for calls, tokens in (
            ("one call", _WHOLE),
            ("several calls", _WHOLE),
            ("one call", _PIECES),
        )
        for handling in ("preserve", "discard")
    }
    tasks = [(*kind, seed) for kind in kinds.values() for seed in range(seeds)]
    found = workers.map(_ratios, tasks)
    areas: Areas = {}
    for i, name in enumerate(kinds):
        for way in WAYS:
            areas[name, way] = [one[way] for one in found[i * seeds : (i + 1) * seeds]]
    return areas


def _ratios(task: tuple[str, str, int, int]) -> dict[str, float]:
    handling, calls, tokens, seed = task
    words = ["experiment=profiled", "workload=tool_mix", f"workload.count={_REQUESTS}"]
    words += ["client=closed_loop", "client.concurrency=1", "series_interval_s=null"]
    words += [f"tools={handling}", f"seed={seed}", "ordering=lamps", "predictor=oracle"]
    # In step mode each iteration tells of itself.
    words += [_HELD, f"engine.max_batch_tokens={tokens}", "mode=step"]
    result = run(compose([*words, SINGLE] if calls == "one call" else words))
    profile: dict[str, Any] = result.config["profile"]
    line = ForwardTime(profile["fixed_s"], profile["per_token_s"])
    demands = list(
        instantiate("workload", result.config["client"]["workload"]).demands(
            Streams(seed)("serving.demands")
        )
    )
    ranked = fsum(predicted_area(demand, handling, line) for demand in demands)
    each = fsum(predicted_area(demand, handling, line, each=True) for demand in demands)
    if calls == "one call":
        # Then the segment that is ranked is the request.
        ranked = result.number("areas.rank")
    held = result.number("areas.held")
    return {"as ranked": held / ranked, "an iteration each": held / each}


def predicted_area(demand: Demand, handling: Any, line: ForwardTime, each: bool = False) -> float:
    """Token seconds of a request that has the GPU for itself, all its calls handled alike.

    Counted by the engine's passes, as in the rank; `each`: every token has an iteration.
    """
    # After a last token nothing is held.
    calls = [call for call in demand.calls if call.after_tokens < demand.output_tokens]
    parts = segments(
        demand.prompt_tokens,
        demand.output_tokens,
        [(call.after_tokens, call.duration_s, call.returned_tokens) for call in calls],
    )
    if not each:
        parts = [part.computed for part in parts]
    return request_area(parts, [handling] * len(calls), line, line(1), 0.0)


AREAS = Study("areas", measure_areas)
