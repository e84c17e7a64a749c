"""Generated requests that call tools: no file needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat

import numpy as np

from models.errors import ConfigError
from workloads.checks import between, whole, whole_or_none
from workloads.demand import Demand
from workloads.draws import block_sizes, children
from workloads.durations import Durations
from workloads.lengths import Lengths
from workloads.segments import Segment, demand_of
from workloads.synthetic import coupled


class Turn:
    """A segment and its call: tokens generated, seconds the call lasts, tokens it returns.

    `correlation`: of the normal scores of the call's length and of what it returns (a long reply
    takes long).
    """

    def __init__(
        self, generated: Lengths, call: Durations, returned: Lengths, correlation: float = 0.0
    ) -> None:
        self.generated = _lengths("generated", generated)
        if not isinstance(call, Durations):
            raise ConfigError(
                f"call is {call!r}; it must be a distribution of durations, such as "
                "workloads.durations.Normal"
            )
        self.call = call
        self.returned = _lengths("returned", returned)
        self.correlation = between("correlation", correlation, -1.0, 1.0)

    def segments(self, rng: np.random.Generator) -> Iterator[Segment]:
        """Independent segments without end."""
        generated, call, returned = children(rng, 3)
        for size in block_sizes(None):
            u, v = call.random(size), returned.random(size)
            if self.correlation:
                v = coupled(u, v, self.correlation)
            yield from map(
                Segment,
                self.generated.at(generated.random(size)).tolist(),
                self.call.at(u).tolist(),
                self.returned.at(v).tolist(),
            )


class ToolRequests:
    """Requests of one kind, each a prompt, then `rounds` times all of `turns`, then an answer.

    Without an `answer` a request ends when its last call returns. The context ends at
    `context_tokens`, which shortens what would be longer (see `segments.demand_of`). `count`: how
    many; `None` for an endless supply. `kind` is passed on to each demand. `source` says where
    the numbers come from. Prompt, rounds, answer and each turn have random streams of their own.
    """

    def __init__(
        self,
        prompt: Lengths,
        rounds: Lengths,
        turns: Sequence[Turn],
        answer: Lengths | None = None,
        context_tokens: int | None = None,
        count: int | None = None,
        kind: str = "",
        source: Mapping[str, str] | None = None,
    ) -> None:
        self.prompt = _lengths("prompt", prompt)
        self.rounds = _lengths("rounds", rounds)
        self.turns = list(turns)
        if not self.turns:
            raise ConfigError("turns is empty; it needs at least one workloads.tool_mix.Turn")
        for index, turn in enumerate(self.turns):
            if not isinstance(turn, Turn):
                raise ConfigError(
                    f"turns[{index}] is {turn!r}; it must be a workloads.tool_mix.Turn"
                )
        self.answer = None if answer is None else _lengths("answer", answer)
        self.context_tokens = (
            None if context_tokens is None else whole("context_tokens", context_tokens, least=2)
        )
        self.count = whole_or_none("count", count, least=0)
        self.kind = kind
        self.source = source

    @property
    def finite(self) -> bool:
        return self.count is not None

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        streams = children(rng, 3 + len(self.turns))
        prompts, rounds = _supply(self.prompt, streams[0]), _supply(self.rounds, streams[1])
        answers = None if self.answer is None else _supply(self.answer, streams[2])
        turns = [turn.segments(own) for turn, own in zip(self.turns, streams[3:], strict=True)]
        for _ in repeat(None) if self.count is None else repeat(None, self.count):
            segments = [next(turn) for _ in range(next(rounds)) for turn in turns]
            if answers is not None:
                segments.append(Segment(next(answers)))
            yield demand_of(next(prompts), segments, self.context_tokens, kind=self.kind)


def _lengths(key: str, value: object) -> Lengths:
    if not isinstance(value, Lengths):
        raise ConfigError(
            f"{key} is {value!r}; it must be a distribution of lengths, such as "
            "workloads.lengths.Fixed"
        )
    return value


def _supply(lengths: Lengths, rng: np.random.Generator) -> Iterator[int]:
    """Independent lengths without end."""
    for size in block_sizes(None):
        yield from lengths.at(rng.random(size)).tolist()
