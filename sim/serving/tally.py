"""Counters of one replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.serving.facts import Iterations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.hardware.run import Run
    from sim.serving.replica import Replica
    from sim.serving.request import Request
    from sim.serving.use_log import UseLog


class Tally:
    """What a replica has done: tokens, iterations, seconds of its GPUs by phase and those that they
    waited for the host, KV token seconds of the batch.

    Of the run under way: `phase`, `first_kv` tokens in the batch in its first iteration, `kv_slope`
    more in each later one. `runs`: where somebody asks who used what.
    """

    __slots__ = (
        "first_kv",
        "kv_slope",
        "kv_token_s",
        "output_tokens",
        "phase",
        "phase_s",
        "preemptions",
        "prefill_tokens",
        "recomputed_tokens",
        "runs",
        "waits_s",
    )

    def __init__(self) -> None:
        self.output_tokens = 0
        self.prefill_tokens = 0
        self.recomputed_tokens = 0
        self.preemptions = 0
        self.kv_token_s = 0.0
        self.phase_s = {"prefill": 0.0, "mixed": 0.0, "decode": 0.0}
        self.waits_s = 0.0
        self.phase = "decode"
        self.first_kv = 0
        self.kv_slope = 0
        self.runs: UseLog | None = None

    def begin(
        self,
        replica: Replica,
        decodes: int,
        chunks: Sequence[tuple[Request, int]],
    ) -> None:
        """A run of iterations begins."""
        self.kv_slope = decodes
        if chunks:
            for _, tokens in chunks:
                self.kv_slope += tokens
            self.phase = "mixed" if decodes else "prefill"
        else:
            self.phase = "decode"
        runs = self.runs
        if replica.prefilling:
            self.first_kv = kv_tokens_in_batch(replica)
            if runs is not None:
                runs.begin(decodes, chunks)
        else:
            self.first_kv = replica.batch.context - replica.batch.size
            if runs is not None:
                if replica.split:
                    runs.begin(decodes, chunks)
                else:
                    runs.open = 1

    def end(self, run: Run, now_s: float) -> None:
        """A run of iterations is over, at a boundary."""
        lasted_s = now_s - run.start_s
        self.phase_s[self.phase] += lasted_s
        self.kv_token_s += self.first_kv * lasted_s
        runs = self.runs
        if runs is not None:
            if runs.open:
                runs.advance()
            self.kv_token_s += self.kv_slope * runs.number_s
        elif run.done > 1:
            self.kv_token_s += self.kv_slope * run.step_number_s()

    def cut(self, run: Run, now_s: float) -> None:
        """A run of iterations was stopped, perhaps in the middle of one."""
        self.phase_s[self.phase] += now_s - run.start_s
        self.kv_token_s += self.held_in_run(run, now_s)
        if self.runs is not None:
            self.runs.cut(run, now_s)

    def wait(self, seconds: float) -> None:
        """Of the run under way, the GPUs have done nothing for so long."""
        self.phase_s[self.phase] -= seconds
        self.waits_s += seconds

    def held_in_run(self, run: Run, now_s: float) -> float:
        """KV token seconds of the batch since the run under way began."""
        return self.first_kv * (now_s - run.start_s) + self.kv_slope * run.step_number_s(now_s)

    def settle(self) -> None:
        """At a boundary, before that is forgotten which says who was in the run."""
        if self.runs is not None and self.runs.open:
            self.runs.advance()

    def stand(self, replica: Replica, now_s: float) -> None:
        """The batch has stood since the last boundary, if it waited for swaps."""
        if replica._planned is not None:
            lasted_s = now_s - replica._told_s
            replica._told_s = now_s
            held = kv_tokens_in_batch(replica)
            self.kv_token_s += held * lasted_s
            if self.runs is not None:
                self.runs.stand(lasted_s)


def iterations_done(replica: Replica, start_s: float, now_s: float, steps: int) -> Iterations:
    """The fact of a run's last `steps` iterations, before they are accounted for."""
    batch = replica.batch
    chunks = replica.chunks
    tokens = last = sum([tokens for _, tokens in chunks])
    if replica.repeats:
        last = min(tokens, chunks[0][0].prefill_tokens - (steps - 1) * tokens)
    return Iterations(
        start_s,
        now_s,
        replica.index,
        steps,
        batch.size if replica.decodes else 0,
        batch.context if replica.decodes else 0,
        tokens if steps > 1 else last,
        last,
        replica.host.taking_part,
        replica.host.read_tokens,
    )


def kv_tokens_in_batch(replica: Replica) -> int:
    """Tokens whose KV the batch holds, as of the last boundary told."""
    tokens = replica.batch.context - replica.batch.size
    for request in replica.prefilling:
        tokens += request._kv
    return tokens
