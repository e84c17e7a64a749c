"""Operator times as a scheduler knows them: measured at grid points, interpolated between."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, isnan
from typing import NamedTuple, Protocol

import numpy as np

from models.errors import ConfigError

#: Widths up to which the linear operators are measured one by one.
_ONE_BY_ONE = 511
_MEASURED = 3
_OPERATORS = ("linear", "prefill", "attention", "host_attention")


class OperatorTimes(Protocol):
    """Seconds of a layer's operators (see `OffloadCost`)."""

    def linear_s(self, tokens: int) -> float: ...

    def prefill_s(self, tokens: int) -> float: ...

    def attention_s(self, tokens: int) -> float: ...

    def host_attention_s(self, sequences: int, tokens: int) -> float: ...


class Line(NamedTuple):
    """Host attention for up to `high` KV tokens, from where the line before ends: with `n`
    sequences and N tokens it takes `fixed[n] + per_token[n] * N` seconds."""

    high: float
    fixed: Sequence[float]
    per_token: Sequence[float]


class ProfiledTimes:
    """NEO's performance predictor (arXiv 2411.01142, section 3.2, and its release).

    `truth` is measured at the grid points of the release, three times each: linear operators at
    every width to 511 and at powers of two, prefill and decode attention at 2^i and 3 x 2^(i-2),
    host attention at powers of two of sequences and of KV tokens in all, evenly spread; where so
    many sequences cannot have so many tokens the table is continued by parallelograms. Between the
    points it is (bi)linear, a zero argument takes no time, and launching a stage takes `launch_s`,
    a constant. `bias`: operator (linear, prefill, attention, host_attention) to the factor by which
    all its measurements are off; `noise`: standard deviation of one measurement, relative, drawn
    from `seed`.

    The grids reach `max_sequences` requests, `max_batch_tokens` tokens of an iteration and, once
    `cover` is called, the KV tokens of both sides. Asking for more raises ConfigError.
    """

    def __init__(
        self,
        truth: OperatorTimes,
        launch_s: float,
        max_sequences: int,
        max_batch_tokens: int,
        max_context_tokens: int | None,
        bias: Mapping[str, float] | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.bias = dict(bias or {})
        for key, value in (("launch_s", launch_s), ("noise", noise)):
            if not (isfinite(value) and value >= 0.0):
                raise ConfigError(f"profiled times: {key} = {value!r} must be finite and >= 0")
        for key, value in self.bias.items():
            if key not in _OPERATORS:
                raise ConfigError(
                    f"profiled times: bias.{key}: no such operator; there are "
                    f"{', '.join(_OPERATORS)}"
                )
            if not (isfinite(value) and value > 0.0):
                raise ConfigError(f"profiled times: bias.{key} = {value!r} must be finite and > 0")
        for key, size in (
            ("max_sequences", max_sequences),
            ("max_batch_tokens", max_batch_tokens),
            ("max_context_tokens", max_context_tokens),
        ):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ConfigError(f"profiled times: {key} = {size!r} is not a whole number >= 1")
        assert max_context_tokens is not None
        self.launch_s = launch_s
        self.max_sequences = max_sequences
        self.max_batch_tokens = max_batch_tokens
        self.max_context_tokens = max_context_tokens
        self._truth = truth
        self._noise = noise
        self._rng = np.random.default_rng(seed)
        #: Seconds by number of tokens, 0 to `max_batch_tokens`.
        self.linear = self._by_tokens("linear", truth.linear_s, _widths(max_batch_tokens))
        self.prefill = self._by_tokens("prefill", truth.prefill_s, _doublings(max_batch_tokens))
        self._attention: tuple[list[float], list[float]] = ([0.0], [0.0])
        self._host_tokens: list[int] = []
        self._table = np.zeros((0, 0))
        self._sequences: list[int] = []
        #: Host attention, from fewest KV tokens on.
        self.host_lines: list[Line] = []
        #: Where each of them ends.
        self.highs: list[int] = []
        #: Whether the linear operators take no less time for more tokens, and host attention no
        #: less for more sequences and more for more tokens.
        self.rising = False

    def cover(self, gpu_tokens: int, host_tokens: int, block_tokens: int) -> None:
        """Measure attention up to so many KV tokens on the GPUs and in host memory."""
        if self._attention[0][-1] < gpu_tokens:
            points = _doublings(gpu_tokens, block_tokens)
            times = [self._measure("attention", self._truth.attention_s(n)) for n in points]
            self._attention = ([0.0, *map(float, points)], [0.0, *times])
        # No batch reads more than its requests can hold.
        longest = max(self.max_context_tokens, 2 * block_tokens)
        host_tokens = min(max(host_tokens, 2 * block_tokens), self.max_sequences * longest)
        if not self._host_tokens or self._host_tokens[-1] < host_tokens:
            self._cover_host(host_tokens, block_tokens, longest)

    def attention(self, tokens: int) -> float:
        """Decode attention on the GPUs over `tokens` KV tokens."""
        points, times = self._attention
        i = bisect_right(points, tokens)
        if i == len(points):
            if tokens > points[-1]:
                self._refuse("KV tokens on the GPUs", tokens, int(points[-1]))
            return times[-1]
        low, high = points[i - 1], points[i]
        return times[i - 1] + (times[i] - times[i - 1]) * (tokens - low) / (high - low)

    def host_line(self, tokens: int) -> Line:
        """Host attention around so many KV tokens."""
        at = bisect_left(self.highs, tokens)
        if at == len(self.highs):
            self._refuse("KV tokens in host memory", tokens, self.highs[-1] if at else 0)
        return self.host_lines[at]

    def host_attention(self, sequences: int, tokens: int) -> float:
        """Decode attention on the host for `sequences` that read `tokens` KV tokens in all."""
        if not sequences:
            return 0.0
        if sequences > self.max_sequences:
            self._refuse("requests", sequences, self.max_sequences)
        line = self.host_line(tokens)
        return line.fixed[sequences] + line.per_token[sequences] * tokens

    def _refuse(self, what: str, asked: int, covered: int) -> None:
        raise ConfigError(
            f"profiled times: a batch with {asked} {what}, and the profile covers {covered}; "
            "raise max_sequences, max_batch_tokens or max_context_tokens"
        )

    def _measure(self, operator: str, seconds: float) -> float:
        factor = self.bias.get(operator, 1.0)
        if self._noise:
            factor *= max(0.0, 1.0 + float(self._rng.normal(0.0, self._noise, _MEASURED).mean()))
        return seconds * factor

    def _by_tokens(
        self, operator: str, seconds: Callable[[int], float], points: Sequence[int]
    ) -> list[float]:
        times = [self._measure(operator, seconds(n)) for n in points]
        every = np.interp(np.arange(self.max_batch_tokens + 1), [0, *points], [0.0, *times])
        return [float(each) for each in every]

    def _cover_host(self, tokens: int, block_tokens: int, longest: int) -> None:
        # No more can be there than have a block each.
        self._sequences = _powers(1, min(self.max_sequences, tokens // block_tokens))
        self._host_tokens = _powers(block_tokens, tokens)
        table = np.full((len(self._sequences), len(self._host_tokens)), np.nan)
        for i, sequences in enumerate(self._sequences):
            for j, held in enumerate(self._host_tokens):
                if block_tokens * sequences <= held <= sequences * longest:
                    seconds = self._truth.host_attention_s(sequences, held)
                    table[i, j] = self._measure("host_attention", seconds)
        _continue(table)
        self._table = table
        self.host_lines = [self._line(j) for j in range(1, len(self._host_tokens))]
        self.highs = self._host_tokens[1:]
        self.rising = bool(
            (np.diff(self.linear) >= 0.0).all()
            and (np.diff(table, axis=0) >= 0.0).all()
            and (np.diff(table, axis=1) > 0.0).all()
        )

    def _line(self, j: int) -> Line:
        """The cell between points j - 1 and j of the KV tokens, for every number of sequences."""
        low, high = self._host_tokens[j - 1], self._host_tokens[j]
        numbers = np.arange(self.max_sequences + 1)
        at_low = np.interp(numbers, self._sequences, self._table[:, j - 1])
        at_high = np.interp(numbers, self._sequences, self._table[:, j])
        per_token = (at_high - at_low) / (high - low)
        fixed = at_low - per_token * low
        return Line(high, fixed.tolist(), per_token.tolist())


def _powers(first: int, last: int) -> list[int]:
    """first x 2^i up to `last`, which ends them."""
    points = [first]
    while 2 * points[-1] < last:
        points.append(2 * points[-1])
    return [*points, last] if last > points[-1] else points


def _widths(last: int) -> list[int]:
    each = list(range(1, min(_ONE_BY_ONE, last) + 1))
    return [*each, *_powers(_ONE_BY_ONE + 1, last)] if last > _ONE_BY_ONE else each


def _doublings(last: int, first: int = 16) -> list[int]:
    """2^i and 3 x 2^(i-2) from a block to `last`, which ends them."""
    points = {last}
    size = min(first, last)
    while size < last:
        points |= {size, 3 * size // 2} if 3 * size // 2 < last else {size}
        size *= 2
    return sorted(points)


def _continue(table: np.ndarray) -> None:
    """Fill the gaps: T[i, j] = T[i +- 1, j] + T[i, j -+ 1] - T[i +- 1, j -+ 1]."""
    rows, columns = table.shape
    known = table.tolist()
    gaps = [(i, j) for i in range(rows) for j in range(columns) if isnan(known[i][j])]
    while gaps:
        left = []
        for i, j in gaps:
            for near, side in ((i - 1, j + 1), (i + 1, j - 1)):
                if 0 <= near < rows and 0 <= side < columns:
                    found = known[near][j] + known[i][side] - known[near][side]
                    if not isnan(found):
                        known[i][j] = found
                        break
            else:
                left.append((i, j))
        gaps = left
    table[:] = known
