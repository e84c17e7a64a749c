"""The toy server of the reference run: a cost in two lines, without a machine behind it."""

from __future__ import annotations

from collections.abc import Sequence

from models.step_cost import StepCost

_HERE = "experiments.reproduce.papers.trail.toy"
#: Requests and the batch of the reference run.
REQUESTS, SLOTS = 1200, 48
RATE_RPS, LIGHT_RPS = 16.0, 8.0
#: Its policies: predictions of the release's quality, looked at every 8 tokens, at no cost.
_FREE = ("predictor.arrival_s=0", "predictor.per_token_s=0")
POLICIES: dict[str, tuple[str, ...]] = {
    "FCFS": ("ordering=fcfs",),
    "SJF": ("ordering=shortest_job_first", "predictor=prompt_classifier", "predictor.arrival_s=0"),
    "C = 0.5": ("ordering=trail", "ordering.lock_share=0.5", "predictor=trail_release", *_FREE),
    "C = 0.8": ("ordering=trail", "predictor=trail_release", *_FREE),
    "C = 1": ("ordering=trail", "ordering.lock_share=1", "predictor=trail_release", *_FREE),
}
#: The server: KV for ever, no front end.
SERVED = (
    "~systems.serving.served",
    "+systems.serving.served={_target_:models.served.ServedByFormula,"
    f"cost_model:{{_target_:{_HERE}.TwoLines}},"
    "kv_tokens:67108864,context_tokens:67108864}",
)


class TwoLines:
    """max(11 ms + 80 ns for each KV token read, 70 us for each token computed) + 3 ms."""

    def step(
        self, decodes: int, context_tokens: int, chunks: Sequence[tuple[int, int]], sampled: int
    ) -> StepCost:
        tokens, context = decodes, context_tokens
        for cached, size in chunks:
            tokens += size
            context += cached
        first, slope = 0.014 + 8e-8 * context, 8e-8 * tokens
        return StepCost(first, slope, 0.003 + 7e-5 * tokens, first, slope)
