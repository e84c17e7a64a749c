"""The claims of LAMPS and InferCept: arrivals, settings, figures, measures."""

from itertools import repeat

import numpy as np
import pytest

from experiments.compose import compose
from experiments.reproduce import Estimate, papers
from experiments.reproduce.papers.lamps import measures
from experiments.reproduce.papers.lamps.areas import predicted_area
from experiments.reproduce.papers.lamps.arrivals import OpeningWindow
from experiments.reproduce.papers.lamps.call_kinds import CallKinds
from experiments.reproduce.papers.lamps.known_durations import KnownDurations
from experiments.reproduce.papers.lamps.outcome import figures
from experiments.reproduce.papers.lamps.settings import SYSTEMS, settings
from experiments.reproduce.plots import picture
from models.tool_calls.forward_time import ForwardTime
from models.tool_calls.waste_formulas import ReleasedWaste
from sim.core.errors import ConfigError
from sim.core.run import instantiate, run
from sim.core.streams import Streams
from sim.serving.facts import CallBegan, CallEnded
from workloads.demand import Call, Demand

PAPER = papers.paper("lamps")


def times(rate, window, seed=0):
    rng = np.random.default_rng(seed)
    return [t for t, _ in OpeningWindow(rate, window).times(repeat(Demand(1, 1)), rng)]


def served(system, rate=2.0, window=60.0, seed="seed=0", **options):
    return run(compose([*settings(system, rate, window_s=window, **options), seed]))


# ---- arrivals ----


def test_window_opens_with_some_at_once_and_ends():
    found = times(3.7, 500.0)
    assert found[:4] == [0.0] * 4
    assert 0.0 < found[4] <= found[-1] < 500.0
    # Poisson: 1,850 +- 43.
    assert len(found) - 4 == pytest.approx(3.7 * 500.0, abs=4 * 43)


def test_gaps_scale_with_the_rate():
    """The same draws at twice the rate, so that systems and rates pair."""
    slow, fast = times(1.0, 200.0), times(2.0, 100.0)
    assert fast[3:] == pytest.approx([t / 2.0 for t in slow[2:]])


@pytest.mark.parametrize(("rate", "window"), [(0.0, 1.0), (1.0, -1.0), (float("inf"), 1.0)])
def test_impossible_windows_are_refused(rate, window):
    with pytest.raises(ConfigError, match="must be finite and > 0"):
        OpeningWindow(rate, window)


# ---- settings ----


@pytest.mark.parametrize("system", SYSTEMS)
def test_without_swap_nothing_is_swapped(system):
    result = served(system, window=30.0)
    assert result.number("serving.calls.swap") == 0
    assert result.number("serving.requests_unfinished") == 0


def test_with_swap_something_is():
    assert served("LAMPS", swap=True).number("serving.calls.swap") > 0


def test_one_call_at_most():
    table = served("LAMPS", requests="mix, one call").table("requests")
    assert table["calls"].max() == 1


def test_systems_see_the_same_requests():
    columns = ["kind", "arrival_s", "prompt_tokens", "output_tokens", "call_s"]
    a, b = (served(s).table("requests").sort_values("id")[columns] for s in ("vLLM", "LAMPS"))
    assert a.reset_index(drop=True).equals(b.reset_index(drop=True))


def test_released_waste_reaches_the_policy():
    plain, released = (
        served("LAMPS without scheduling", rate=4.0, released_waste=flag) for flag in (False, True)
    )
    # The releases charge a recomputation less, so fewer calls are preserved.
    name = "serving.calls.preserve"
    assert released.number(name) < plain.number(name)


# ---- figures ----


def test_figures_by_hand():
    result = served("vLLM")
    found = figures(result)
    table = result.table("requests")
    inside = [r for r in table.itertuples() if r.finish_s <= 60.0]
    assert 0 < len(inside) < len(table) == found["requests"]
    assert found["e2e_s_window"] == pytest.approx(np.mean([r.e2e_latency_s for r in inside]))
    assert found["e2e_s"] == pytest.approx(result.number("serving.e2e_latency_s.mean"))
    assert found["normalised_s"] == pytest.approx(
        result.number("serving.normalised_latency_s.mean")
    )
    assert found["ttft_s_p99_window"] == pytest.approx(
        np.quantile([r.ttft_s for r in inside], 0.99)
    )
    assert found["finished_rps"] == pytest.approx(len(inside) / 60.0)
    assert 0.0 < found["recompute_share"] < 1.0


def test_preserving_always_recomputes_nothing():
    assert figures(served("preserve"))["recompute_share"] == 0.0


class Bench:
    """Facts' subscribers and figures."""

    def __init__(self):
        self.facts = self
        self.listeners = {}
        self.found = {}

    def subscribe(self, fact, listener):
        self.listeners[fact] = listener

    def figure(self, name, value):
        self.found[name] = value


class Caller:
    """What an observer reads of a request."""

    def __init__(self, number, kind):
        self.id, self.kind, self.handling = number, kind, "preserve"


def test_kinds_count_the_handling_in_the_end():
    bench, observer = Bench(), CallKinds()
    observer.attach(bench)
    qa, chat = Caller(0, "qa"), Caller(1, "chatbot")
    for caller in (qa, chat):
        bench.listeners[CallBegan](CallBegan(0.0, caller, "preserve"))
    chat.handling = "discard"
    for caller in (qa, chat, chat):  # the third ends a request: it never "began"
        bench.listeners[CallEnded](CallEnded(0.0, 1.0, caller))
    observer.finish(bench)
    assert bench.found == {"calls_by_kind.qa.preserve": 1, "calls_by_kind.chatbot.discard": 1}


# ---- InferCept with durations ----


class View:
    """A replica with 20,000 tokens in the batch and one request in a call."""

    decoding, batch_kv_tokens, swapping_tokens = 64, 20_000, 0

    def __init__(self, call_s):
        class Paused:
            id, called_s, kv_tokens, predicted_call_s = 0, 10.0, 1024, call_s

        self.preserved = [Paused()]

    def host_blocks_free(self):
        return 0

    def blocks_held(self, request):
        return 64


@pytest.mark.parametrize(("left_s", "goes"), [(0.97, False), (0.99, True)])
def test_known_durations_break_even(left_s, goes):
    """1001.75 token seconds of recomputation over 1,024 tokens: 0.978 s (releases' formula)."""
    line = ForwardTime(0.010, 4.63e-5)
    policy = KnownDurations(ReleasedWaste(line, 384, None), line, None)
    changes, _ = policy.review(View(5.0 + left_s), 15.0)
    assert [handling for _, handling in changes] == (["discard"] if goes else [])


# ---- measures ----


def runs(**values):
    return {(name, 1.0): [{"x": v} for v in each] for name, each in values.items()}


def test_gain_is_paired():
    found = measures.gain(runs(a=[1.0, 30.0], b=[2.0, 60.0]), 1.0, "x", "a", "b")
    assert (found.value, found.low, found.high) == (50.0, 50.0, 50.0)


def test_dispersion_is_of_one_rate():
    found = {(s, r): [{"dispersion": r}] * 2 for s, r in (("LAMPS", 1.0), ("LAMPS", 4.0))}
    assert measures.dispersion(found, 4.0).value == 4.0


def test_rate_at_a_level_is_interpolated_in_the_logarithm():
    """vLLM reaches 1 at rate 3 (between 0.1 at 2 and 10 at 4), InferCept at rate 4.5."""
    curves = {"vLLM": {2.0: 0.1, 4.0: 10.0}, "InferCept": {4.0: 0.1, 5.0: 10.0}}
    found = {
        (name, rate): [{"normalised_s": value}] * 2
        for name, curve in curves.items()
        for rate, value in curve.items()
    }
    assert measures.rate_ratio(found, 1.0).value == pytest.approx(1.5)
    assert measures.largest_rate_ratio(found, (0.2, 1.0)) == measures.rate_ratio(
        found, max((0.2, 1.0), key=lambda level: measures.rate_ratio(found, level).value)
    )
    with pytest.raises(ConfigError, match="not on its curve"):
        measures.rate_ratio(found, 20.0)


def test_bound_by_little():
    """Half of a pool of 100 tokens over 60 s, for 30 requests: 100 token seconds each."""
    one = {"kv_occupancy.mean": 0.5, "lasted_s": 60.0, "requests": 30.0}
    assert measures.bound_rps({("preserve", 1.0): [one] * 2}, 1.0, 100.0).value == 1.0


def test_area_of_a_request_that_ends_with_a_call():
    """The last call holds nothing; the one before holds what it is given to hold."""
    line = ForwardTime(1.0, 0.0)
    ends = Demand(10, 2, calls=(Call(1, 5.0, 3), Call(2, 50.0, 0)))
    # Both tokens come out of passes: 10 tokens in the call, then 4 more.
    assert predicted_area(ends, "preserve", line) == pytest.approx(5 + 50 + 12)
    assert predicted_area(ends, "discard", line) == pytest.approx(5 + 7)
    # Prefill 5, a token each before and after the call: 11 and 15; the call 5 x 11; the return
    # of 3 tokens 12.5.
    each = predicted_area(ends, "preserve", line, each=True)
    assert each == pytest.approx(5 + 11 + 55 + 12.5 + 15)
    assert predicted_area(ends, "discard", line, each=True) == pytest.approx(5 + 11 + 7 + 15)


@pytest.mark.parametrize("handling", ["preserve", "discard"])
def test_held_area_is_the_predicted_one(handling):
    """One request on an engine that takes its prompt in one iteration."""
    words = ["experiment=profiled", "workload=tool_mix", "workload.count=1", "mode=step"]
    words += [f"tools={handling}", "predictor=oracle", "engine.max_batch_tokens=4096"]
    held = "{_target_:experiments.reproduce.papers.lamps.areas.HeldAreas}"
    result = run(compose([*words, f"+observers.held={held}", "seed=3"]))
    (demand,) = tool_mix(seed=3)
    line = ForwardTime(0.010, 4.63e-5)
    expected = predicted_area(demand, handling, line)
    assert len(demand.calls) > 1
    assert result.number("areas.held") == pytest.approx(expected, rel=1e-3)


def tool_mix(seed):
    """The generated request of a run of that seed."""
    config = compose(["workload=tool_mix", "workload.count=1"])
    return list(
        instantiate("workload", config["workload"]).demands(Streams(seed)("serving.demands"))
    )


# ---- the paper ----


def test_claims_that_may_miss_say_where_they_look():
    assert len({claim.id for claim in PAPER.claims}) == len(PAPER.claims)
    assert all(claim.where and claim.published for claim in PAPER.claims)


def test_file_claims_need_the_file(monkeypatch):
    from experiments.reproduce import NotRun, Workers

    monkeypatch.delenv("ORRERY_DATA", raising=False)
    study = next(claim.study for claim in PAPER.claims if claim.id == "file")
    with Workers(1) as workers, pytest.raises(NotRun, match="ORRERY_DATA"):
        study.run(workers)


@pytest.mark.parametrize("plot", PAPER.plots, ids=lambda plot: plot.name)
def test_plots_draw(plot):
    """With every figure 1: the pictures are made, and small enough."""

    class Ones(dict):
        def __missing__(self, key):
            return 1.0

        def get(self, key, default=None):
            return 1.0

    class All(dict):
        def __missing__(self, key):
            return [Ones(), Ones()]

        def __iter__(self):
            return iter([(s, r) for s in ("vLLM", "InferCept") for r in (1.0, 2.0)])

    assert picture(plot, All())[:4] == b"\x89PNG"


def test_estimates_are_of_the_seeds():
    found = measures.means(runs(a=[1.0, 3.0]), ("a",), 1.0, "x")
    assert found["a"] == Estimate(2.0, found["a"].low, found["a"].high, (1.0, 3.0))
