"""Counters of one replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.hardware.run import Run
    from sim.serving.replica import Replica


class Tally:
    """What a replica has done: tokens, iterations, seconds by phase, KV token seconds.

    Of the run under way: `phase`, `first_kv` tokens on the GPUs in its first iteration, `kv_slope`
    more in each later one.
    """

    __slots__ = (
        "first_kv",
        "iterations",
        "kv_slope",
        "kv_token_s",
        "output_tokens",
        "phase",
        "phase_s",
        "preemptions",
        "prefill_tokens",
        "recomputed_tokens",
    )

    def __init__(self) -> None:
        self.output_tokens = 0
        self.prefill_tokens = 0
        self.recomputed_tokens = 0
        self.preemptions = 0
        self.iterations = 0
        self.kv_token_s = 0.0
        self.phase_s = {"prefill": 0.0, "mixed": 0.0, "decode": 0.0}
        self.phase = "decode"
        self.first_kv = 0
        self.kv_slope = 0

    def end(self, run: Run, now_s: float) -> None:
        """A run of iterations is over."""
        self.iterations += run.done
        self.phase_s[self.phase] += now_s - run.start_s
        self.kv_token_s += run.integral(self.first_kv, self.kv_slope)

    def cut_off(self, run: Run, now_s: float) -> None:
        """The run that has ended was stopped in the middle of an iteration."""
        tokens = self.first_kv + self.kv_slope * run.done
        self.kv_token_s += tokens * max(0.0, now_s - run.boundary(run.done))


def kv_tokens_on_gpus(replica: Replica) -> int:
    """Tokens whose KV lies on a replica's GPUs, as of the last boundary told."""
    tokens = replica.batch.context - replica.batch.size
    for request in replica.prefilling:
        tokens += request._kv
    if replica.holders:
        tokens += sum([request._kv for request in replica.waiting if request.blocks])
    return tokens
