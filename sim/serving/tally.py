"""Counters of one replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.hardware.run import Run


class Tally:
    """What a replica has done: tokens, iterations, seconds by phase, KV token seconds."""

    __slots__ = (
        "_first_kv",
        "_kv_slope",
        "_phase",
        "iterations",
        "kv_token_s",
        "output_tokens",
        "peak_kv_blocks",
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
        self.peak_kv_blocks = 0
        self.kv_token_s = 0.0
        self.phase_s = {"prefill": 0.0, "mixed": 0.0, "decode": 0.0}
        self._phase = "decode"
        self._first_kv = 0
        self._kv_slope = 0

    def begin(self, decodes: int, prefill_tokens: int, kv_tokens: int) -> None:
        """A run of iterations begins with so many KV tokens on the GPUs."""
        self._phase = "decode" if not prefill_tokens else "mixed" if decodes else "prefill"
        self._first_kv = kv_tokens
        self._kv_slope = decodes + prefill_tokens

    def end(self, run: Run, now_s: float) -> None:
        """A run of iterations is over."""
        self.iterations += run.done
        self.phase_s[self._phase] += now_s - run.start_s
        self.kv_token_s += run.integral(self._first_kv, self._kv_slope)
