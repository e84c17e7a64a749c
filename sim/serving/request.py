"""A request on its way through the system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.tool_calls.waste import Handling
from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from sim.serving.decode_batch import DecodeBatch
    from sim.serving.foretelling import Foretold
    from sim.serving.predictions import Predictions
    from workloads.demand import Call


class Request:
    """A request. What starts with `_` is the system's own; the rest is what policies may read.

    While it decodes, its counts follow from the batch's step counter, so that a step touches no
    request. `blocks`: KV blocks held on the GPU when it is not decoding, or when it began to.
    `back_s`: how long a token is on its way to who asked, which the times of the first token and of
    the finish include.
    """

    __slots__ = (
        "_batch",
        "_call",
        "_calls",
        "_ends",
        "_foretold",
        "_fresh",
        "_generated",
        "_given",
        "_joined",
        "_kv",
        "_leaving",
        "_most",
        "_output_tokens",
        "_path",
        "_predicted",
        "_predictions",
        "_ready",
        "_since",
        "_stop",
        "_use",
        "arrival_s",
        "back_s",
        "blocks",
        "call_s",
        "called_s",
        "finish_s",
        "first_token_s",
        "handling",
        "id",
        "kind",
        "origin",
        "preemptions",
        "prompt_tokens",
        "rank",
        "ready_s",
        "recomputed_tokens",
        "replica",
        "replica_s",
        "scheduled_s",
        "swapped",
        "swapped_blocks",
        "waits_since",
    )

    #: Of the use meter: where its stay in the batch begins in the log.
    _since: float

    def __init__(
        self,
        number: int,
        arrival_s: float,
        prompt_tokens: int,
        output_tokens: int,
        kind: str = "",
        predicted: float | None = None,
    ) -> None:
        self.id = number
        self.arrival_s = self.ready_s = arrival_s
        self.prompt_tokens = self._given = prompt_tokens
        self.kind = kind
        self.origin = ""
        self.back_s = 0.0
        self._output_tokens = self._stop = output_tokens
        self._predicted = predicted
        self.rank = 0.0
        self.blocks = 0
        self.swapped = False
        self.swapped_blocks = 0
        self.replica = -1
        self.replica_s = -1.0
        self.scheduled_s = -1.0
        self.first_token_s = -1.0
        self.finish_s = -1.0
        self.preemptions = 0
        self.recomputed_tokens = 0
        self._generated = 0
        self._kv = 0
        self._joined = 0
        self._ends = 0
        self._ready = False
        self._batch: DecodeBatch | None = None
        self.handling: Handling | None = None
        self.called_s = -1.0
        self.call_s = 0.0
        self._calls: Sequence[Call] = ()
        self._call = 0
        self._leaving = False
        self._fresh = True
        self._foretold: Sequence[Foretold] = ()
        self.waits_since = -1
        self._predictions: Predictions | None = None
        self._path: Sequence[float] | None = None
        self._use = -1
        # The most that it predicts at each age or later, the last age first.
        self._most: Sequence[float] | None = None

    @property
    def generated_tokens(self) -> int:
        """Tokens made so far."""
        batch = self._batch
        if batch is None:
            return self._generated
        return self._generated + batch.steps - self._joined

    @property
    def kv_tokens(self) -> int:
        """Tokens whose KV it holds."""
        batch = self._batch
        if batch is None:
            return self._kv
        return self._kv + batch.steps - self._joined

    @property
    def prefill_tokens(self) -> int:
        """Tokens still to prefill before the next token; 0 where it can decode at once."""
        if self._ready or self._batch is not None:
            return 0
        return self._given + self._generated - self._kv

    def blocks_held(self, block_tokens: int) -> int:
        """KV blocks that it holds on the GPU."""
        if self._batch is None or self.swapped:
            return self.blocks
        return -(-self.kv_tokens // block_tokens)

    def host_blocks_held(self, block_tokens: int) -> int:
        """KV blocks that it holds in host memory."""
        if self._batch is None or not self.swapped:
            return self.swapped_blocks
        return -(-self.kv_tokens // block_tokens)

    def blocks_missing(self, block_tokens: int) -> int:
        """Blocks that must be free to admit or resume it where it waits."""
        return -(-(self._given + self._generated) // block_tokens) - self.blocks

    @property
    def predicted_output_tokens(self) -> float:
        """Length of the whole output as predicted on arrival, which never changes. Raises
        ConfigError without a predictor."""
        if self._predicted is None:
            raise ConfigError("predictor: none, but the policy asks for predicted lengths")
        return self._predicted

    @property
    def predicted_remaining_tokens(self) -> float:
        """Output tokens left as predicted at its present age; 0 past a prediction that nobody
        refines. Raises ConfigError without a predictor."""
        batch = self._batch
        age = self._generated if batch is None else self._generated + batch.steps - self._joined
        if not age or self._predictions is None:
            return max(0.0, self.predicted_output_tokens - age)
        path = self._path
        if path is None:
            path = self._predictions.path(self)
        return path[age]

    def remaining_while_young(self, share: float) -> float | None:
        """Its predicted remainder, or None once it has made that share of its first predicted
        length and at least a token."""
        batch = self._batch
        path = self._path
        if batch is None or path is None:
            age, first = self.generated_tokens, self.predicted_output_tokens
            return None if age and age >= share * first else self.predicted_remaining_tokens
        age = self._generated + batch.steps - self._joined
        return None if age >= share * self._predicted else path[age]  # type: ignore[operator]

    @property
    def context_tokens(self) -> int:
        """Tokens of the prompt, of what calls returned, and those made so far."""
        return self._given + self.generated_tokens

    @property
    def predicted_call_s(self) -> float | None:
        """Predicted duration of its next call, or of the one under way; None without one."""
        return self._foretold[self._call].call_s if self._call < len(self._calls) else None

    @property
    def predicted_segment_tokens(self) -> float:
        """Output tokens from its arrival or last return to its next call or end, predicted then.
        Raises ConfigError without a predictor."""
        foretold = self._foretold
        tokens = foretold[self._call].tokens if foretold else self._predicted
        return self.predicted_output_tokens if tokens is None else tokens

    @property
    def predicted_segment_remaining_tokens(self) -> float:
        """Output tokens left of its segment: refined where it has no calls, otherwise what is left
        of the prediction on arrival. Raises ConfigError without a predictor."""
        if not self._foretold:
            return self.predicted_remaining_tokens
        before = self._calls[self._call - 1].after_tokens if self._call else 0
        return max(0.0, self.predicted_segment_tokens - (self.generated_tokens - before))

    @property
    def predicted_next_segment_tokens(self) -> float:
        """Output tokens of the segment after its next call; 0 without a call."""
        at = self._call + 1
        return (self._foretold[at].tokens or 0.0) if at < len(self._foretold) else 0.0

    @property
    def predicted_returned_tokens(self) -> float:
        """Tokens that its next call returns; 0 without a call."""
        left = self._call < len(self._calls)
        return float(self._calls[self._call].returned_tokens) if left else 0.0

    def expect_calls(self, calls: Sequence[Call], foretold: Sequence[Foretold]) -> None:
        """It will call tools: `foretold` of each segment, the last one without a call."""
        self._calls = calls
        self._foretold = foretold
        self._stop = calls[0].after_tokens

    def answer(self, call: Call) -> None:
        """Its call returns."""
        self._given += call.returned_tokens
        self._call += 1
        self._fresh = True
        left = self._calls[self._call :]
        self._stop = left[0].after_tokens if left else self._output_tokens

    def __repr__(self) -> str:
        return (
            f"Request({self.id}, prompt {self.prompt_tokens}, made {self.generated_tokens}, "
            f"kv {self.kv_tokens})"
        )
