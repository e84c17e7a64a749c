"""The timeline: valid, whole, and no influence on the run."""

from __future__ import annotations

import gc
import gzip
import json
from collections import defaultdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from offload_kit import host_attention, offload_cost, times
from serving_kit import build, simulate

from experiments.compose import compose
from policies.batching.neo import Neo
from policies.batching.prefill_first import PrefillFirst
from policies.ordering.shortest_remaining import ShortestRemaining
from sim.core.errors import ConfigError
from sim.core.run import run
from sim.hardware.faults import Fault
from sim.serving.timeline import Timeline

# Requests of several sizes that come while others run; some wait, some are preempted.
REQUESTS = [
    (0.25 * i + (i % 3) * 0.1, 16 + 16 * (i % 5), 1 + (i * 7) % 40) for i in range(60)
]  # fmt: skip
TIGHT = {"kv_tokens": 16 * 40, "engine": {"max_sequences": 8, "max_batch_tokens": 64}}
SWAPPED = {
    "kv_tokens": 16 * 30,
    "engine": {"max_sequences": 8, "max_batch_tokens": 64, "host_swap_bytes": 1e6},
    "batching": partial(PrefillFirst, preemption="swap"),
}
SLOW = offload_cost(
    host_attention(reach=1.0), gemm_compute=1e-5, kernel_s=1e-6, launch_per_layer_s=0.0
)
HOSTED = {
    "engine": {
        "max_sequences": 32,
        "max_batch_tokens": 256,
        "kv_blocks": 12,
        "host_swap_bytes": 16.0 * 200,
    },
    "cost": SLOW.cost,
    "offload": SLOW,
    "link_bytes_per_s": 1e6,
    "batching": partial(Neo, times(SLOW, launch_s=0.0), saturation_tokens=8),
}
SETTINGS = {
    "plain": {},
    "hosted": HOSTED,
    "two replicas": {"replicas": 2},
    "tight": TIGHT,
    "swapped": SWAPPED,
    "reordered": TIGHT | {"ordering": ShortestRemaining},
}


def followed(max_events: int = 1_000_000, **settings: Any) -> tuple[list[dict[str, Any]], Any]:
    timeline = Timeline(max_events)
    outcome = simulate(REQUESTS, observers=[timeline], **settings)
    return timeline.events, outcome


def iterations(events: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Spans of iterations by process, in order."""
    by_pid = defaultdict(list)
    for event in events:
        if event.get("cat") == "iteration":
            by_pid[event["pid"]].append(event)
    return {pid: sorted(spans, key=lambda e: e["ts"]) for pid, spans in by_pid.items()}


def busy(spans: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """The union of spans, as intervals."""
    union: list[tuple[int, int]] = []
    for span in spans:
        start, end = span["ts"], span["ts"] + span["dur"]
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return union


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("mode", ["jump", "step"])
def test_iterations_fill_the_busy_time_without_overlap(name: str, mode: str) -> None:
    events, outcome = followed(mode=mode, **SETTINGS[name])
    total_us = 0
    for pid, spans in iterations(events).items():
        swaps = [e for e in events if e["pid"] == pid and e.get("cat") == "swap"]
        work = sorted([*spans, *swaps], key=lambda e: (e["ts"], e["dur"]))
        for before, after in pairwise(work):
            assert before["ts"] + before["dur"] <= after["ts"]
        total_us += sum(span["dur"] for span in spans)
    replicas = outcome.serving.count
    busy_s = outcome["gpu_busy_share"] * outcome.result.number("simulated_s") * replicas
    assert total_us / 1e6 == pytest.approx(busy_s, abs=1e-6 * len(events))
    steps = [span["args"]["steps"] for spans in iterations(events).values() for span in spans]
    assert sum(steps) == outcome["iterations"]
    if name == "swapped":
        assert any(event.get("cat") == "swap" for event in events)


@pytest.mark.parametrize("name", SETTINGS)
def test_jump_and_step_show_the_same_busy_time(name: str) -> None:
    jumped, _ = followed(mode="jump", **SETTINGS[name])
    stepped, _ = followed(mode="step", **SETTINGS[name])
    there, here = iterations(jumped), iterations(stepped)
    assert there.keys() == here.keys()
    for pid in here:
        assert len(there[pid]) < len(here[pid])
        assert busy(there[pid]) == busy(here[pid])


@pytest.mark.parametrize("name", SETTINGS)
def test_it_changes_nothing(name: str) -> None:
    _, with_it = followed(series_interval_s=3.0, **SETTINGS[name])
    without = simulate(REQUESTS, series_interval_s=3.0, **SETTINGS[name])
    assert with_it.rows == without.rows
    assert with_it.table("series") == without.table("series")
    added = {"timeline.events", "timeline.stopped_s"}
    common = {k: v for k, v in with_it.result.summary.items() if k not in added}
    assert common == without.result.summary


@pytest.mark.parametrize("name", SETTINGS)
def test_requests_are_nested_spans_with_their_times(name: str) -> None:
    events, outcome = followed(**SETTINGS[name])
    tracks = defaultdict(list)
    for event in events:
        if event.get("cat") == "request" and "id" in event:
            tracks[event["id"]].append(event)
    assert len(tracks) == len(REQUESTS)
    for row in outcome.rows:
        open_spans: list[str] = []
        starts = {}
        for event in tracks[row["id"]]:
            if event["ph"] == "b":
                open_spans.append(event["name"])
                starts[event["name"]] = event["ts"]
            elif event["ph"] == "e":
                assert open_spans.pop() == event["name"]
                last = event["ts"]
        assert not open_spans
        assert starts["request"] == starts["queued"] == round(row["arrival_s"] * 1e6)
        assert starts["prefill"] == round(row["scheduled_s"] * 1e6)
        assert last == round(row["finish_s"] * 1e6)
        assert ("decode" in starts) == (row["output_tokens"] > 1)
        instants = sum(event["ph"] == "n" for event in tracks[row["id"]])
        assert instants == row["preemptions"]
    if name in ("tight", "swapped", "reordered"):
        assert outcome["preemptions"] > 0


def test_counters_by_hand() -> None:
    # One slot, steps of a second: the first runs from 0 to 3, the second waits from 1 to 3 and
    # runs to 5, the third comes to an idle replica.
    requests = [(0.0, 16, 3), (1.25, 16, 2), (10.0, 16, 1)]
    timeline = Timeline(1000)
    simulate(requests, engine={"max_sequences": 1}, observers=[timeline])
    counts = sorted(
        (event["ts"] / 1e6, event["args"]["running"], event["args"]["waiting"])
        for event in timeline.events
        if event["ph"] == "C"
    )
    assert counts == [(0, 1, 0), (1.25, 1, 1), (3, 1, 0), (5, 0, 0), (10, 1, 0), (11, 0, 0)]


def test_rejected_and_unfinished_requests() -> None:
    requests = [(0.0, 100, 100), (0.0, 16, 10), (1.5, 16, 10)]
    timeline = Timeline(1000)
    settings = {"context_tokens": 64, "until_s": 4.5, "engine": {"max_sequences": 1}}
    simulate(requests, observers=[timeline], **settings)
    (rejected,) = [event for event in timeline.events if event["name"] == "rejected"]
    assert rejected["args"] == {
        "why": "context", "request": 0, "prompt tokens": 100, "output tokens": 100,
    }  # fmt: skip
    begun = [e for e in timeline.events if e["ph"] == "b" and e["name"] == "request"]
    assert [(event["id"], event["args"]["unfinished"]) for event in begun] == [(1, True), (2, True)]
    ends = [e["ts"] for e in timeline.events if e["ph"] == "e" and e["name"] == "request"]
    assert ends == [4_500_000, 4_500_000]


def test_device_failures_are_spans_on_their_replica() -> None:
    faults = [
        Fault(time_s=2.5, target="node0/gpu0", kind="fail", duration_s=4.0),
        Fault(time_s=1.0, target="node0/cpu", kind="slow", speed=0.5),
    ]
    timeline = Timeline(1000)
    simulate([(0.0, 16, 8), (0.5, 16, 8)], faults=faults, observers=[timeline])
    down = [(e["ph"], e["ts"]) for e in timeline.events if e["name"] == "down"]
    assert down == [("B", 2_500_000), ("E", 6_500_000)]
    names = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in timeline.events
        if event["name"] == "thread_name"
    }
    (failed,) = [event for event in timeline.events if event["ph"] == "B"]
    assert names[failed["pid"], failed["tid"]] == "node0/gpu0"
    assert failed["pid"] == next(iter(iterations(timeline.events)))
    (slowed,) = [event for event in timeline.events if event["name"].startswith("speed")]
    assert slowed["name"] == "speed x0.5"
    assert slowed["pid"] != failed["pid"]
    empty = [e["ts"] for e in timeline.events if e["ph"] == "C" and e["args"]["running"] == 0]
    assert empty[0] == 2_500_000


@pytest.mark.parametrize("most", [1, 10, 100])
def test_it_stops_after_max_events(most: int) -> None:
    events, outcome = followed(most)
    assert most - 8 <= len(events) <= most + 1
    assert f"max_events ({most}) reached" in events[-1]["name"]
    assert outcome.result["timeline.events"] == len(events)
    assert outcome.result.number("timeline.stopped_s") == events[-1]["ts"] / 1e6
    assert outcome.rows == simulate(REQUESTS).rows


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None])
def test_a_wrong_limit_is_an_error(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"timeline.max_events: .* is not a whole number >= 1"):
        build(observers=[Timeline(wrong)])


def test_the_file_is_valid_and_reproducible(tmp_path: Path) -> None:
    config = compose(["workload.count=40", "timeline=perfetto", "arrivals.rate_rps=5"])
    contents = []
    for name in ("a", "b"):
        result = run(config, tmp_path / name)
        contents.append((tmp_path / name / "timeline.json.gz").read_bytes())
    assert contents[0] == contents[1]
    trace = json.loads(gzip.decompress(contents[0]))
    assert len(trace["traceEvents"]) == result["timeline.events"]
    assert result["timeline.stopped_s"] is None
    assert iterations(trace["traceEvents"])
    small = compose(["workload.count=40", "timeline=perfetto", "timeline.max_events=50"])
    run(small, tmp_path / "small")
    cut = json.loads(gzip.decompress((tmp_path / "small" / "timeline.json.gz").read_bytes()))
    assert "reached" in cut["traceEvents"][-1]["name"]


def test_a_run_that_breaks_off_leaves_a_valid_file(tmp_path: Path) -> None:
    timeline = Timeline(1000)
    simulation, _, _ = build(REQUESTS, until_s=5.0)
    simulation.results.folder = tmp_path
    simulation.observe(timeline)
    simulation.run()
    del timeline, simulation, _
    gc.collect()
    trace = json.loads(gzip.decompress((tmp_path / "timeline.json.gz").read_bytes()))
    assert iterations(trace["traceEvents"])


def test_none_is_the_default() -> None:
    result = run(compose(["workload.count=2"]))
    assert not [name for name in result.summary if name.startswith("timeline")]


@pytest.mark.parametrize("stages", [True, False])
def test_stages_lie_within_their_iterations(stages: bool) -> None:
    """On tracks of GPUs, host thread and copies, in closed form and as events."""
    settings = HOSTED | {"engine": HOSTED["engine"] | {"stage_events": stages}}
    events, outcome = followed(**settings)
    shown = [event for event in events if event.get("cat") == "stage"]
    offloaded = outcome.result.number("serving.offload.iterations")
    assert offloaded > 5
    tracks = defaultdict(list)
    for event in shown:
        tracks[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert len(tracks) == 3
    # Six spans of the GPUs for three layers, and two at the ends.
    assert len(tracks[min(tracks)]) == offloaded * 8
    union = [span for spans in iterations(events).values() for span in busy(spans)]
    for spans in tracks.values():
        assert all(a[1] <= b[0] for a, b in pairwise(sorted(spans)))
        for start, end in spans:
            assert any(low <= start and end <= high for low, high in union)
