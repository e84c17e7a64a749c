"""The timeline of data paths."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
from dataplane_kit import Run, Scripted, profile
from network_function_kit import function

from experiments.compose import compose
from models.network_functions.plan import plan
from sim.core.errors import ConfigError
from sim.core.run import run
from sim.dataplane.facts import EpochEnded, PlanCarriedOut
from sim.dataplane.timeline import DataPlaneTimeline


def changing(rates: bool, max_events: int = 100_000) -> tuple[Run, DataPlaneTimeline, dict]:
    """Three plans: another number of flows, then other sides."""
    nat = function("nat")
    path = Run(
        "nat",
        traffic=profile(flows=2000.0, rate_pps=1e6),
        policy=Scripted(
            plan(nat, "SCS", 200.0), plan(nat, "SCS", 900.0), plan(nat, "CCC"), nodes=9
        ),
        packets=None,
        until_s=0.03,
        rates=rates,
        decide_s=8e-3,
        monitor={"interval_s": 1e-3},
        steering="any",
        log=False,
    )
    timeline = DataPlaneTimeline(max_events)
    path.simulation.observe(timeline)
    heard: dict[type, list] = {EpochEnded: [], PlanCarriedOut: []}
    for fact, kept in heard.items():
        path.simulation.facts.subscribe(fact, kept.append)
    path.simulation.at(0.02, lambda _: path.cluster.nodes[0].smartnic.set_speed(0.9))
    path.go()
    return path, timeline, heard


@pytest.mark.parametrize("rates", [False, True])
def test_the_timeline_holds_epochs_plans_and_changes(rates):
    path, timeline, heard = changing(rates)
    named = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in timeline.events
        if event["name"] == "thread_name"
    }
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for event in timeline.events:
        if event["ph"] == "X":
            row = named[event["pid"], event["tid"]]
            ends = event["ts"], event["ts"] + event["dur"]
            spans.setdefault(row, []).append((*ends, event["name"]))
    # Plans: one after the other, from the start to the end of the run.
    plans = spans["plan in force"]
    assert [name for _, _, name in plans] == ["SCS 200", "SCS 900", "CCC"]
    assert (plans[0][0], plans[-1][1]) == (0, 30_000)
    assert all(end == begin for (_, end, _), (begin, _, _) in pairwise(plans))
    # Searches: of nine nodes each, before the plan.
    searches = spans["searches"]
    assert [begin for begin, _, _ in searches] == [8_000, 16_000]
    assert searches[0][1] == plans[0][1] == 8_000 + round(9 * 20_000 / 2.5e9 * 1e6)
    # The change of sides: from the decision until the new plan is in force.
    ((begin, end, name),) = spans["changes of sides"]
    assert (begin, end, name) == (searches[1][1], plans[1][1], "SCS 900 -> CCC")
    assert end > begin
    assert [fact.plan.sides for fact in heard[PlanCarriedOut]] == ["SCS", "CCC"]
    # Counters: each epoch as it was told.
    counters = [event for event in timeline.events if event["ph"] == "C"]
    rows = {
        name: [
            (event["ts"], *event["args"].values()) for event in counters if event["name"] == name
        ]
        for name in ("packets a second", "host cores", "flows at the NIC")
    }
    told = heard[EpochEnded]
    assert len(told) >= 29
    starts = [round(fact.start_s * 1e6) for fact in told]
    for name, values in (
        ("packets a second", [(f.offered_pps, f.delivered_pps, f.dropped_pps) for f in told]),
        ("host cores", [(f.busy_cores, f.cores) for f in told]),
        ("flows at the NIC", [(f.offloaded,) for f in told]),
    ):
        assert rows[name] == [(ts, *row) for ts, row in zip(starts, values, strict=True)]
    (slower,) = [event for event in timeline.events if event["ph"] == "i"]
    assert (slower["name"], slower["ts"]) == ("speed x0.9", 20_000)
    # Flows on their way, where packets are followed.
    begun = [event for event in timeline.events if event["ph"] == "b"]
    assert len(begun) == (0 if rates else path.system.path.moves.done)
    assert len(begun) == sum(event["ph"] == "e" for event in timeline.events)


@pytest.mark.parametrize(
    ("words", "draws", "systems"),
    [
        (["experiment=cora", "timeline=perfetto", "until_s=0.02"], "a serving system", "dataplane"),
        (["experiment=cora", "timeline=jobs", "until_s=0.02"], "batch jobs", "dataplane"),
        (["timeline=dataplane", "workload.count=2"], "data paths", "serving"),
    ],
)
def test_a_timeline_of_another_kind_is_refused(words, draws, systems):
    """It would be empty."""
    message = (
        rf"timeline: this one draws {draws}, of which the run has none \(its systems: {systems}"
    )
    with pytest.raises(ConfigError, match=message):
        run(compose(words))


def test_a_timeline_ends_at_its_limit():
    _, short, _ = changing(True, max_events=20)
    assert len(short.events) == 21
    assert short.events[-1]["name"] == "timeline stopped: max_events (20) reached"
    with pytest.raises(ConfigError, match=r"timeline\.max_events: 0 is not"):
        changing(True, max_events=0)


def test_the_file_of_a_run_is_valid_and_whole(tmp_path: Path):
    words = ["experiment=cora_runtime", "timeline=dataplane", "until_s=3", "decide_s=0.5"]
    words += ["traffic.flows=1e4", "packets.phases=[]"]
    result = run(compose(words), tmp_path / "run")
    trace = json.loads(gzip.decompress((tmp_path / "run" / "timeline.json.gz").read_bytes()))
    events = trace["traceEvents"]
    assert len(events) == result["timeline.events"]
    assert result["timeline.stopped_s"] is None
    assert sum(event["ph"] == "C" for event in events) == 3 * 30
    for event in events:
        assert {"ph", "name", "pid", "tid", "ts"} <= event.keys()
        assert event["ph"] != "X" or event["dur"] >= 0


def test_two_data_paths_are_told_apart():
    traffic = profile(rate_pps=1e6)
    first = Run(traffic=traffic, packets=None, until_s=4e-3, nodes=2, monitor={"interval_s": 1e-3})
    other = Run(traffic=profile(rate_pps=2e6), packets=None, monitor={"interval_s": 1e-3}, name="b")
    first.simulation.add(other.system)
    timeline = DataPlaneTimeline(1000)
    first.simulation.observe(timeline)
    first.go()
    pids = {
        event["args"]["name"]: event["pid"]
        for event in timeline.events
        if event["name"] == "process_name"
    }
    assert set(pids) == {"dataplane", "b"}
    for name, rate in (("dataplane", 1e6), ("b", 2e6)):
        offered = [
            event["args"]["offered"]
            for event in timeline.events
            if event["name"] == "packets a second" and event["pid"] == pids[name]
        ]
        assert len(offered) >= 3
        assert offered == pytest.approx([rate] * len(offered), rel=0.2)
        rows = first.simulation.results._open[f"{name}_epochs"].rows
        assert [row[1] for row in rows] == offered


def test_a_change_takes_as_long_in_rates_as_in_packets():
    """Entries of 900 flows go to the host: three insertions each, and as many for each flow that
    is dealt with twice; none comes back."""
    lasted = []
    for rates in (False, True):
        path, _, heard = changing(rates)
        change = heard[PlanCarriedOut][-1]
        lasted.append(change.end_s - change.start_s)
        assert path.system.carrier.offloaded == 0
    assert min(lasted) >= 0.8 * 900 * 3 / 1e6
    assert lasted[1] == pytest.approx(lasted[0], abs=1.2e-3)  # rates: to an epoch
