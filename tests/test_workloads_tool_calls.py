"""Requests that call tools: how a context shortens them, and their reader."""

from __future__ import annotations

import json
import tracemalloc
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import ConfigError, TraceError
from workloads.demand import Call, Demand
from workloads.segments import Segment, demand_of
from workloads.single_call import single_call
from workloads.tool_calls import ToolCalls


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- Segments --------------------------------------------------------------------------------

THREE = [Segment(20, 1.5, 7), Segment(5, 0.0, 0), Segment(30)]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (None, Demand(100, 55, calls=(Call(20, 1.5, 7), Call(25, 0.0, 0)))),
        (162, Demand(100, 55, calls=(Call(20, 1.5, 7), Call(25, 0.0, 0)))),
        (161, Demand(100, 54, calls=(Call(20, 1.5, 7), Call(25, 0.0, 0)))),
        (132, Demand(100, 25, calls=(Call(20, 1.5, 7), Call(25, 0.0, 0)))),
        (131, Demand(100, 24, calls=(Call(20, 1.5, 7),))),  # the second call is not reached
        (127, Demand(100, 20, calls=(Call(20, 1.5, 7),))),
        (125, Demand(100, 20, calls=(Call(20, 1.5, 5),))),  # returns what fits
        (120, Demand(100, 20, calls=(Call(20, 1.5, 0),))),
        (119, Demand(100, 19)),
        (100, Demand(99, 1)),  # a prompt leaves room for one token
        (2, Demand(1, 1)),
    ],
)
def test_a_context_cuts_short_what_is_longer(context: int | None, expected: Demand) -> None:
    assert demand_of(100, THREE, context) == expected


SEGMENTS = st.lists(
    st.builds(Segment, st.integers(1, 30), st.floats(0, 60), st.integers(0, 20)),
    min_size=1,
    max_size=6,
)


def token_by_token(prompt: int, segments: list[Segment], most: int) -> Demand:
    """The same demand, its context written out token by token."""
    context = ["prompt"] * min(prompt, most - 1)
    calls = []
    for generated, call_s, returned in segments:
        for _ in range(generated):
            if len(context) == most:
                return of(context, calls)
            context.append("output")
        if call_s is not None:
            back = min(returned, most - len(context))
            calls.append(Call(context.count("output"), call_s, back))
            context += ["returned"] * back
        if len(context) == most:
            break
    return of(context, calls)


def of(context: list[str], calls: list[Call]) -> Demand:
    return Demand(context.count("prompt"), context.count("output"), calls=tuple(calls))


@settings(max_examples=300)
@given(prompt=st.integers(1, 60), segments=SEGMENTS, most=st.integers(2, 200), ends=st.booleans())
def test_a_shortened_demand_is_what_the_tokens_say(
    prompt: int, segments: list[Segment], most: int, ends: bool
) -> None:
    if ends:
        segments = [*segments, Segment(3)]
    demand = demand_of(prompt, segments, most)
    assert demand == token_by_token(prompt, segments, most)
    assert demand.output_tokens >= 1
    whole = demand_of(prompt, segments)
    assert demand.total_tokens == min(most, whole.total_tokens)
    assert single_call(demand) == demand_of(prompt, [segments[0], *last_of(segments)], most)


def last_of(segments: list[Segment]) -> list[Segment]:
    return [Segment(segments[1].generated_tokens)] if len(segments) > 1 else []


# --- The reader ------------------------------------------------------------------------------


def line_of(prompt: int, segments: list[Segment], **more: object) -> str:
    """A line of the documented format."""
    items = []
    for generated, call_s, returned in segments:
        item = {"prompt_tokens": prompt, "completion_tokens": generated}
        if call_s is not None:
            item |= {"call_s": call_s, "returned_tokens": returned}
        items.append(item)
        prompt += generated + returned
    return json.dumps({**more, "segments": items})


def read(folder: Path, content: str | bytes, **options) -> list[Demand]:
    path = folder / "calls.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(ToolCalls(path, **options).demands(rng()))


GOOD = line_of(100, THREE, id=0, kind="qa")


def test_a_line_is_a_demand_with_its_calls(tmp_path: Path) -> None:
    expected = Demand(100, 55, kind="qa", calls=(Call(20, 1.5, 7), Call(25, 0.0, 0)))
    assert read(tmp_path, GOOD) == [expected]
    ends_on_call = line_of(100, THREE[:2])
    assert read(tmp_path, ends_on_call) == [expected._replace(output_tokens=25, kind="")]
    nulls = GOOD.replace('"completion_tokens": 30', '"completion_tokens": 30, "call_s": null')
    assert read(tmp_path, nulls) == [expected]
    assert read(tmp_path, line_of(8, [Segment(3)])) == [Demand(8, 3)]
    short = read(tmp_path, GOOD, context_tokens=125, over_context="cap")
    assert short == [Demand(100, 20, kind="qa", calls=(Call(20, 1.5, 5),))]
    assert read(tmp_path, GOOD, context_tokens=162) == [expected]
    assert read(tmp_path, GOOD.replace("1.5", "2"))[0].calls[0].duration_s == 2.0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(1, 3000), SEGMENTS, st.booleans()), min_size=1, max_size=5),
    most=st.none() | st.integers(2, 3000),
)
def test_lines_round_trip(tmp_path: Path, rows, most: int | None) -> None:
    rows = [(p, [*s, Segment(9)] if answered else s) for p, s, answered in rows]
    text = "\n".join(line_of(p, s, arrival_s=n / 8) for n, (p, s) in enumerate(rows))
    expected = [demand_of(p, s, most, n / 8) for n, (p, s) in enumerate(rows)]
    rule = "error" if most is None else "cap"
    assert read(tmp_path, text, context_tokens=most, over_context=rule) == expected
    singles = read(tmp_path, text, context_tokens=most, over_context=rule, single_call=True)
    assert singles == [single_call(demand) for demand in expected]
    assert all(len(demand.calls) <= 1 for demand in singles)


def test_kinds_and_limit_choose_lines(tmp_path: Path) -> None:
    lines = [line_of(n, [Segment(1)], kind="ab"[n % 2]) for n in range(1, 10)]
    text = "\n".join([*lines, "broken"])
    first = read(tmp_path, text, kinds=["a"], limit=4)
    assert [d.prompt_tokens for d in first] == [2, 4, 6, 8]
    assert [d.prompt_tokens for d in read(tmp_path, text, kinds=("b", "a"), limit=3)] == [1, 2, 3]
    with pytest.raises(TraceError, match="line 10: is not JSON"):
        read(tmp_path, text, kinds=["a"])
    with pytest.raises(TraceError, match=r"calls.jsonl: holds no request of kind c or d"):
        read(tmp_path, lines[0], kinds=["c", "d"])


def test_later_prompts_may_be_a_little_off_and_do_not_count(tmp_path: Path) -> None:
    (demand,) = read(tmp_path, GOOD)
    assert read(tmp_path, GOOD.replace(": 127,", ": 128,").replace(": 132,", ": 134,")) == [demand]
    far = GOOD.replace(": 127,", ": 125,")
    with pytest.raises(TraceError, match=r"segments\[1\].prompt_tokens: 125 is not the 127 that"):
        read(tmp_path, far)
    assert read(tmp_path, far.replace(": 132,", ": 130,"), slack_tokens=2) == [demand]


def test_tokens_taken_back_behind_the_context_pass_under_cap(tmp_path: Path) -> None:
    """As in the released set, whose contexts end within a segment of its last call."""
    text = line_of(96, [Segment(2, 0.1, 2), Segment(4, 0.1, -2)])
    capped = Demand(96, 4, calls=(Call(2, 0.1, 2),))
    assert read(tmp_path, text, context_tokens=102, over_context="cap") == [capped]
    for options in ({}, {"context_tokens": 104, "over_context": "cap"}, {"context_tokens": 102}):
        with pytest.raises(TraceError, match=r"segments\[1\].returned_tokens: -2 is not a whole"):
            read(tmp_path, text, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": holds no request"),
        (f"{GOOD}\n\n{GOOD}\n", "line 2: is blank"),
        (f"{GOOD}\n{GOOD[:-9]}", "line 2: is not JSON.* the file ends within this line"),
        (f"{GOOD}\n{GOOD[:-9]}\n", "line 2: is not JSON.*[^t]$"),
        (b"\xff\xfe{}", "line 1: is not text"),
        ("[1]", r"line 1: \[1\] is not a JSON object such as"),
        ('{"kind": "a"}', "line 1: has no segments"),
        (GOOD.replace('"id"', '"idd"'), "line 1: has a key 'idd'; it may have: segments, id, kind"),
        (GOOD.replace('"id": 0', '"kind": "b"'), "line 1: is not JSON: a key stands twice"),
        (GOOD.replace('"qa"', "3"), "line 1, column kind: 3 is not text"),
        (GOOD.replace('"qa"', "null"), "column kind: None is not text"),
        ('{"segments": []}', r"column segments: \[\] is not a list of at least one segment"),
        ('{"segments": {"0": 1}}', "column segments: {'0': 1} is not a list"),
        ('{"segments": [7]}', r"column segments\[0\]: 7 is not an object such as"),
        (GOOD.replace("completion", "output"), r"line 1: has no segments\[0\].completion_tokens"),
        (GOOD.replace("call_s", "calls"), r"line 1: has a key segments\[0\].'calls'; it may have"),
        (GOOD.replace(": 100,", ": 0,"), r"column segments\[0\].prompt_tokens: 0 is not a whole"),
        (GOOD.replace(": 127,", ": -127,"), r"column segments\[1\].prompt_tokens: -127"),
        (GOOD.replace(": 127,", ": 127.0,"), r"column segments\[1\].prompt_tokens: 127.0"),
        (GOOD.replace(": 30}", ": 0}"), r"column segments\[2\].completion_tokens: 0 is not"),
        (GOOD.replace(": 30}", ": true}"), r"segments\[2\].completion_tokens: True is not a whole"),
        (GOOD.replace(": 30}", ": 2147483648}"), r"completion_tokens: 2147483648 is not"),
        (GOOD.replace(": 7}", ": -7}"), r"segments\[0\].returned_tokens: -7 is not a whole num"),
        (GOOD.replace(": 7}", ": null}"), r"column segments\[0\].returned_tokens: None"),
        (GOOD.replace("1.5", "-1.5"), r"column segments\[0\].call_s: -1.5 is not a time in sec"),
        (GOOD.replace("1.5", "NaN"), r"column segments\[0\].call_s: nan"),
        (GOOD.replace("1.5", "Infinity"), r"column segments\[0\].call_s: inf"),
        (GOOD.replace("1.5", "true"), r"column segments\[0\].call_s: True"),
        (GOOD.replace("1.5", '"1.5"'), r"column segments\[0\].call_s: '1.5'"),
        (GOOD.replace("1.5", "null"), r"segments\[0\].call_s: None is not .* only the last"),
        (
            GOOD.replace(": 30}", ': 30, "returned_tokens": 4}'),
            r"segments\[2\].returned_tokens: 4 is not null, since there is no call",
        ),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(TraceError, match=f"calls.jsonl.*{message}"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((3.0, 2.5), "line 2, column arrival_s: 2.5 is not at or after the 3.0"),
        ((-1.0,), "line 1, column arrival_s: -1.0 is not a time"),
        ((float("nan"),), "line 1, column arrival_s: nan"),
        ((0.0, None), "line 2, column arrival_s: None is not a time"),
        ((None, 4.0), "line 2, column arrival_s: 4.0 is not wanted, since the first line has none"),
    ],
)
def test_times_never_decrease_and_are_in_all_lines_or_none(
    tmp_path: Path, times: tuple[float | None, ...], message: str
) -> None:
    text = "\n".join(
        line_of(5, [Segment(1)], **({} if at is None else {"arrival_s": at})) for at in times
    )
    with pytest.raises(TraceError, match=message):
        read(tmp_path, text, kinds=["none of them"])


def test_a_context_that_is_too_long_is_an_error_unless_capped(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"line 2: the context reaches 162 tokens, over.* 161"):
        read(tmp_path, f"{line_of(1, [Segment(1)])}\n{GOOD}\n", context_tokens=161)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": "math"}, "kinds is 'math'; it must be a list of kinds"),
        ({"kinds": []}, r"kinds is \[\]; it must be a list of kinds"),
        ({"single_call": "yes"}, "single_call is 'yes'; it must be true or false"),
        ({"context_tokens": 1}, "context_tokens is 1; it must be a whole number of at least 2"),
        ({"over_context": "reject"}, "over_context is 'reject'; it must be error or cap"),
        ({"over_context": "cap"}, "over_context is cap, and context_tokens is null"),
        ({"slack_tokens": -1}, "slack_tokens is -1"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_bad_settings_of_the_reader_are_named(options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ToolCalls("calls.jsonl", **options)


def test_lines_stream_in_two_megabytes_and_are_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with path.open("w") as file:
        file.writelines(f"{GOOD}\n" for _ in range(10_000))
    supply = ToolCalls(path).demands(rng())
    next(supply)
    tracemalloc.start()
    try:
        ((number, _),) = deque(enumerate(supply, 2), maxlen=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 10_000
    assert peak < 2e6
    missing = ToolCalls(tmp_path / "missing.jsonl").demands(rng())
    with pytest.raises(TraceError, match=r"missing.jsonl: cannot be read: .*No such file"):
        next(missing)
