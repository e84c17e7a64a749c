"""Orrery's own plain format of requests that call tools: JSON lines of segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from models.errors import ConfigError, TraceError
from workloads.cells import MOST_SECONDS, Cells, listed, shown
from workloads.checks import whole, whole_or_none
from workloads.demand import Demand
from workloads.json_lines import json_objects
from workloads.lengths import MOST_TOKENS
from workloads.segments import Segment, demand_of
from workloads.single_call import single_call

REQUEST = ("segments",), ("id", "kind", "arrival_s")
SEGMENT = ("prompt_tokens", "completion_tokens"), ("call_s", "returned_tokens")
EXAMPLE = '{"kind": "qa", "segments": [{"prompt_tokens": 12, "completion_tokens": 34}]}'
EXAMPLE_SEGMENT = 'an object such as {"prompt_tokens": 12, "completion_tokens": 34}'
RULES = ("error", "cap")


class ToolCalls:
    """Requests that call tools, in the order of a file of JSON lines (an object a line).

    - `segments`: a list of at least one, each an object with `prompt_tokens` (the whole context
      when the segment starts) and `completion_tokens` (what it generates), whole numbers of at
      least 1, and then, of the call that follows, `call_s` (seconds, at least 0) and
      `returned_tokens` (a whole number of at least 0). Both are null or absent in a last segment
      without a call; a last segment with one ends when it returns.
    - `kind` (optional): text, such as the tool. `arrival_s` (optional, in all lines or in none):
      seconds from the start of the run, never decreasing. `id` (optional): not looked at.

    The context counts as the first prompt and all that is generated and returned from there on;
    a later `prompt_tokens` that is more than `slack_tokens` off the sum of the segment before is
    an error (counts estimated from characters are 1 off).

    A context longer than `context_tokens` (`None`: no limit) is an error, or with `over_context`
    "cap" is shortened as `segments.demand_of` says. A `returned_tokens` below 0 then passes where
    the context is already longer: there a file may take back what it generated too much.

    `kinds`: the kinds to take, `None` for all. `single_call`: take the first call alone and the
    segment behind it. `limit` takes that many requests at most; what stands behind them is not
    looked at. Errors are `TraceError` with file, line, key and value, and come when the line is
    reached. `source` says where the numbers come from.
    """

    finite = True
    count = None

    def __init__(
        self,
        path: str | PathLike[str],
        kinds: Sequence[str] | None = None,
        single_call: bool = False,
        context_tokens: int | None = None,
        over_context: str = "error",
        slack_tokens: int = 1,
        limit: int | None = None,
        source: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        if isinstance(kinds, str) or (kinds is not None and not kinds):
            raise ConfigError(f"kinds is {kinds!r}; it must be a list of kinds, such as [math, qa]")
        if not isinstance(single_call, bool):
            raise ConfigError(f"single_call is {single_call!r}; it must be true or false")
        self.kinds = None if kinds is None else tuple(kinds)
        self.single_call = single_call
        self.context_tokens = whole_or_none("context_tokens", context_tokens, least=2)
        if over_context not in RULES:
            raise ConfigError(f"over_context is {over_context!r}; it must be {' or '.join(RULES)}")
        if over_context == "cap" and self.context_tokens is None:
            raise ConfigError("over_context is cap, and context_tokens is null; give a number")
        self.over_context = over_context
        self.slack_tokens = whole("slack_tokens", slack_tokens, least=0)
        self.limit = whole_or_none("limit", limit)
        self.source = source

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        taken = 0
        for demand in self._all():
            if self.kinds is not None and demand.kind not in self.kinds:
                continue
            yield single_call(demand) if self.single_call else demand
            taken += 1
            if taken == self.limit:
                return
        if taken == 0:
            which = "" if self.kinds is None else f" of kind {' or '.join(self.kinds)}"
            raise TraceError(f"{self.path}: holds no request{which}")

    def _all(self) -> Iterator[Demand]:
        """The demands of all lines, checked."""
        cells = Cells(self.path)
        before = 0.0
        timed = None
        for line, record in json_objects(self.path, EXAMPLE):
            _check_keys(cells, line, "", record, *REQUEST)
            kind = record.get("kind", "")
            if type(kind) is not str:
                raise cells.wrong(line, "kind", kind, "text")
            at = None
            if timed is None:
                timed = "arrival_s" in record
            if timed:
                at = cells.seconds(line, "arrival_s", record.get("arrival_s"))
                if at < before:
                    wanted = f"at or after the {before!r} of the line before; sort the file by time"
                    raise cells.wrong(line, "arrival_s", at, wanted)
                before = at
            elif "arrival_s" in record:
                wanted = "wanted, since the first line has none; every line needs one, or no line"
                raise cells.wrong(line, "arrival_s", record["arrival_s"], wanted)
            prompt, segments = self._segments(cells, line, record["segments"])
            yield demand_of(prompt, segments, self.context_tokens, at, kind)

    def _segments(self, cells: Cells, line: int, items: object) -> tuple[int, list[Segment]]:
        """The first prompt and the segments of a line."""
        if not isinstance(items, list) or not items:
            raise cells.wrong(line, "segments", items, "a list of at least one segment")
        most = self.context_tokens
        prompt = context = expected = 0
        segments: list[Segment] = []
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise cells.wrong(line, f"segments[{index}]", item, EXAMPLE_SEGMENT)
            _check_keys(cells, line, f"segments[{index}].", item, *SEGMENT)
            stated = _tokens(cells, line, index, item, "prompt_tokens", 1)
            generated = _tokens(cells, line, index, item, "completion_tokens", 1)
            if index == 0:
                prompt = context = stated
            elif abs(stated - expected) > self.slack_tokens:
                wanted = (
                    f"the {expected} that prompt_tokens, completion_tokens and returned_tokens of "
                    f"the segment before add up to, within slack_tokens {self.slack_tokens}"
                )
                raise cells.wrong(line, f"segments[{index}].prompt_tokens", stated, wanted)
            context += generated
            full = self.over_context == "cap" and most is not None and context > most
            call_s, returned = _call(cells, line, index, item, index == len(items) - 1, full)
            context += returned
            expected = stated + generated + returned
            segments.append(Segment(generated, call_s, returned))
        if self.over_context == "error" and most is not None and context > most:
            raise TraceError(
                f"{self.path}, line {line}: the context reaches {context} tokens, over "
                f"context_tokens {most}; raise it, or take over_context=cap"
            )
        return prompt, segments


def _call(
    cells: Cells, line: int, index: int, item: Mapping[str, object], last: bool, full: bool
) -> tuple[float | None, int]:
    """The call behind a segment and what it returns; `full`: behind the end of the context."""
    call_s, returned = item.get("call_s"), item.get("returned_tokens")
    if call_s is None:
        if not last:
            wanted = "a time in seconds; only the last segment may be without a call"
            raise cells.wrong(line, f"segments[{index}].call_s", call_s, wanted)
        if returned is not None:
            wanted = "null, since there is no call (call_s)"
            raise cells.wrong(line, f"segments[{index}].returned_tokens", returned, wanted)
        return None, 0
    if type(call_s) is not float or not 0.0 <= call_s <= MOST_SECONDS:
        call_s = cells.seconds(line, f"segments[{index}].call_s", call_s)
    if full and type(returned) is int and returned < 0:
        return call_s, 0
    return call_s, _tokens(cells, line, index, item, "returned_tokens", 0)


def _check_keys(
    cells: Cells,
    line: int,
    where: str,
    item: Mapping[str, object],
    required: Sequence[str],
    optional: Sequence[str],
) -> None:
    for key in required:
        if key not in item:
            raise TraceError(f"{cells.path}, line {line}: has no {where}{key}")
    for key in item:
        if key not in required and key not in optional:
            raise TraceError(
                f"{cells.path}, line {line}: has a key {where}{shown(key)}; it may have: "
                f"{listed((*required, *optional))}"
            )


def _tokens(
    cells: Cells, line: int, index: int, item: Mapping[str, object], key: str, least: int
) -> int:
    value = item.get(key)
    if type(value) is int and least <= value <= MOST_TOKENS:
        return value
    wanted = f"a whole number of tokens, {least} to {MOST_TOKENS}"
    raise cells.wrong(line, f"segments[{index}].{key}", value, wanted)
