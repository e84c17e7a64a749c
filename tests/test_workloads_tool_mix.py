"""Requests that call tools: draws from a set, the generated mix, and the set of LAMPS."""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import islice
from math import erf, exp, log, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from models.errors import ConfigError
from workloads import draws
from workloads.blend import Blend
from workloads.choice import Choice
from workloads.cut import Cut
from workloads.demand import Call, Demand
from workloads.durations import Lognormal, Normal
from workloads.lengths import Fixed, Geometric, Uniform
from workloads.single_call import SingleCall, single_call
from workloads.synthetic import Synthetic
from workloads.tool_calls import ToolCalls
from workloads.tool_mix import ToolRequests, Turn
from workloads.with_replacement import WithReplacement

CONFIGS = Path(__file__).parents[1] / "configs" / "workload"
RECORDS = {"math": 98, "qa": 50, "ve": 54, "chatbot": 65, "image": 65, "tts": 65}


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def built(name: str, **overrides: object):
    return instantiate(OmegaConf.merge(OmegaConf.load(CONFIGS / f"{name}.yaml"), overrides))


# --- Draws from a set ------------------------------------------------------------------------


class Three:
    finite = True
    count = 3

    def demands(self, rng: np.random.Generator):
        for n in range(1, 4):
            yield Demand(n, n, float(n), "abc"[n - 1], (Call(1, 0.5, n),))


def test_draws_are_uniform_whole_and_without_times() -> None:
    drawn = Counter(WithReplacement(Three(), count=30_000).demands(rng()))
    assert set(drawn) == {demand._replace(arrival_s=None) for demand in Three().demands(rng())}
    assert sum((n - 10_000) ** 2 / 10_000 for n in drawn.values()) < 13.8  # 2 degrees, p = 0.001


def test_draws_end_by_count_alone_and_need_a_set() -> None:
    assert (WithReplacement(Three()).finite, WithReplacement(Three()).count) == (False, None)
    assert (WithReplacement(Three(), 5).finite, WithReplacement(Three(), 5).count) == (True, 5)
    assert list(WithReplacement(Three(), 0).demands(rng())) == []
    with pytest.raises(ConfigError, match="workload is endless; it must end"):
        WithReplacement(Synthetic(Fixed(1), Fixed(1)))
    with pytest.raises(ConfigError, match="workload has no demand to draw"):
        next(WithReplacement(Synthetic(Fixed(1), Fixed(1), count=0)).demands(rng()))
    with pytest.raises(ConfigError, match="count is -1"):
        WithReplacement(Three(), -1)


def test_wrappers_keep_calls() -> None:
    parts = {"all": WithReplacement(Three())}
    for demand in Cut(Blend(parts, {"all": 1}, count=50), 8).demands(rng()):
        assert demand.calls == (Call(1, 0.5, demand.output_tokens),)
        assert demand.total_tokens == min(8, 3 * demand.output_tokens)
    one = SingleCall(Three())
    assert (one.finite, one.count) == (True, 3)
    assert list(one.demands(rng())) == list(Three().demands(rng()))


# --- Generated requests ----------------------------------------------------------------------


def some_workload(count: int | None) -> Blend:
    """One of each: two turns a round, correlation, an answer, draws from a set, one call."""
    turns = [
        Turn(Geometric(9), Normal(1.0, 0.6, 2.0), Choice({1: 1, 8: 2}), correlation=0.7),
        Turn(Uniform(1, 4), Lognormal(3.0, 1.0, 60.0), Geometric(5)),
    ]
    requests = ToolRequests(Uniform(1, 50), Choice({1: 1, 3: 2}), turns, Geometric(20), 90)
    parts = {"made": requests, "drawn": WithReplacement(Three()), "one": SingleCall(requests)}
    return Blend(parts, {"made": 2, "drawn": 1, "one": 1}, count=count)


@settings(deadline=None, max_examples=30)
@given(block=st.integers(1, 50), taken=st.integers(0, 120), seed=st.integers(0, 2**32))
def test_block_size_laziness_and_count_change_no_demand(block: int, taken: int, seed: int) -> None:
    whole = list(some_workload(120).demands(rng(seed)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "BLOCK", block)
        supply = some_workload(None).demands(rng(seed))
        assert list(islice(supply, taken)) == whole[:taken]
        assert list(some_workload(taken).demands(rng(seed))) == whole[:taken]


def test_what_else_is_drawn_changes_no_demand_and_seeds_do() -> None:
    alone = list(some_workload(5_000).demands(rng()))
    shared = rng()
    supply = some_workload(5_000).demands(shared)
    mixed = [next(supply)]
    for demand in supply:
        shared.random()
        mixed.append(demand)
    assert mixed == alone
    assert list(some_workload(5_000).demands(rng(8))) != alone


def test_a_request_is_rounds_of_turns_and_an_answer() -> None:
    turns = [
        Turn(Fixed(10), Normal(2.0, 0.0), Fixed(3)),
        Turn(Fixed(1), Normal(5.0, 0.0), Fixed(4)),
    ]
    twice = ToolRequests(Fixed(50), Fixed(2), turns, Fixed(20), count=2, kind="x")
    calls = (Call(10, 2.0, 3), Call(11, 5.0, 4), Call(21, 2.0, 3), Call(22, 5.0, 4))
    assert list(twice.demands(rng())) == [Demand(50, 42, None, "x", calls)] * 2
    silent = ToolRequests(Fixed(50), Fixed(1), turns, count=1)
    assert list(silent.demands(rng())) == [Demand(50, 11, calls=calls[:2])]


def test_a_longer_context_leaves_other_draws_alone() -> None:
    turn = Turn(Geometric(9), Normal(1.0, 0.6), Geometric(5))
    short, long = (
        list(ToolRequests(Uniform(1, 50), Geometric(3), [turn], None, most, 300).demands(rng()))
        for most in (70, None)
    )
    assert short != long
    for cut, whole in zip(short, long, strict=True):
        assert cut == whole or cut.total_tokens == 70
        kept = len(cut.calls) - 1
        assert cut.calls[: max(kept, 0)] == whole.calls[: max(kept, 0)]


def test_correlation_ties_what_returns_to_how_long_the_call_lasts() -> None:
    from scipy.stats import spearmanr

    turn = Turn(Fixed(1), Normal(100.0, 10.0), Uniform(1, 1_000_000), correlation=0.9)
    pairs = [(s.call_s, s.returned_tokens) for s in islice(turn.segments(rng()), 20_000)]
    rank = 6 / pi * np.arcsin(0.9 / 2)
    assert spearmanr(np.array(pairs))[0] == pytest.approx(rank, abs=0.01)


def normal_cdf(z: float) -> float:
    return (1 + erf(z / sqrt(2))) / 2


def test_durations_have_the_means_of_closed_forms() -> None:
    u = (np.arange(400_000) + 0.5) / 400_000
    assert Normal(5.0, 0.0).at(u[:3]).tolist() == [5.0] * 3
    # A normal number lifted to 0: m Phi(m / s) + s phi(m / s).
    lifted = 2.0 * normal_cdf(2 / 3) + 3.0 * exp(-((2 / 3) ** 2) / 2) / sqrt(2 * pi)
    assert Normal(2.0, 3.0).at(u).mean() == pytest.approx(lifted, rel=1e-4)
    held = Normal(2.0, 3.0, 4.0).at(u)
    assert (held.min(), held.max()) == (0.0, 4.0)
    # A lognormal number cut at c: e^(mu + s^2 / 2) Phi(z - s) + c (1 - Phi(z)).
    median, sigma, most = 23.0, 0.9, 60.0
    z = log(most / median) / sigma
    mean = median * exp(sigma**2 / 2) * normal_cdf(z - sigma) + most * (1 - normal_cdf(z))
    cut = Lognormal(median, sigma, most).at(u)
    assert cut.mean() == pytest.approx(mean, rel=1e-4)
    assert (cut == most).mean() == pytest.approx(1 - normal_cdf(z), abs=1e-4)
    ends = np.array([0.0, 2.0**-60, 0.5, np.nextafter(1.0, 0.0)])
    for durations in (Normal(2.0, 3.0), Normal(2.0, 3.0, 4.0), Lognormal(23.0, 0.9, 60.0)):
        at = durations.at(ends)
        assert np.isfinite(at).all()
        assert at[0] >= 0.0
        assert (np.diff(at) >= 0.0).all()


def test_choice_gives_each_length_its_share() -> None:
    choice = Choice(json.loads(json.dumps({5: 3, 2: 1})))
    assert choice.at(np.array([0.0, 0.2499, 0.25, 0.9999])).tolist() == [2, 2, 5, 5]
    assert (choice.sample(rng(), 40_000) == 2).mean() == pytest.approx(0.25, abs=0.009)


TURN = Turn(Fixed(1), Normal(1.0, 0.0), Fixed(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice({}), "Choice: parts is empty"),
        (lambda: Choice({0: 1}), "shares: a length is 0"),
        (lambda: Choice({"two": 1}), "shares: a length is 'two'"),
        (lambda: Choice({2: 1, "2": 1}), "shares has a length twice"),
        (lambda: Choice({2: 0}), "shares.2 is 0; it must be a number above 0"),
        (lambda: Choice({2**31: 1}), "a length is 2147483648; it must be at most"),
        (lambda: Normal(-1.0, 1.0), "mean_s is -1"),
        (lambda: Normal(1.0, float("nan")), "sd_s is nan"),
        (lambda: Normal(1.0, 1.0, 0.0), "most_s is 0"),
        (lambda: Lognormal(0.0, 1.0, 60.0), "median_s is 0"),
        (lambda: Turn(3, Normal(1, 1), Fixed(1)), "generated is 3; it must be a distribution of l"),
        (lambda: Turn(Fixed(1), 3, Fixed(1)), "call is 3; it must be a distribution of durations"),
        (lambda: Turn(Fixed(1), Normal(1, 1), Fixed(1), 2), "correlation is 2"),
        (lambda: ToolRequests(Fixed(1), Fixed(1), []), "turns is empty"),
        (lambda: ToolRequests(Fixed(1), Fixed(1), [3]), r"turns\[0\] is 3; it must be a workl"),
        (lambda: ToolRequests(Fixed(1), 2, [TURN]), "rounds is 2; it must be a distribution"),
        (lambda: ToolRequests(Fixed(1), Fixed(1), [TURN], 5), "answer is 5"),
        (lambda: ToolRequests(Fixed(1), Fixed(1), [TURN], None, 1), "context_tokens is 1"),
    ],
)
def test_bad_settings_of_generators_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


# --- The mix of LAMPS ------------------------------------------------------------------------

# Per kind: calls a request; mean and deviation of a call's seconds; tokens returned; first prompt;
# tokens a segment (mean, median); tokens a request; final context. Of the 397 requests released
# with LAMPS (mars-repository/mars-codebase) by their labels, contexts ended at 2,048.
TABLE = {
    "math": (2.81, 8.33e-5, 4.8e-5, 21.0, 405, 124.6, 81, 474, 939),
    "qa": (3.04, 0.709, 0.209, 56.7, 934, 183.4, 149.5, 741, 1847),
    "ve": (5.15, 0.0853, 0.0148, 10.5, 1973, 3.93, 4, 21, 2048),
    "chatbot": (3.46, 28.2, 18.4, 40.1, 112, 112.8, 61, 503, 754),
    "image": (6.92, 19.9, 15.4, 23.6, 112, 32.1, 6, 222, 497),
    "tts": (6.92, 17.2, 17.2, 24.1, 112, 32.6, 7, 226, 504),
}
COLUMNS = ("calls", "duration", "deviation", "returned", "prompt", "segment", "median", "made")


def by_kind(demands: list[Demand]) -> dict[str, list[Demand]]:
    kinds: dict[str, list[Demand]] = {}
    for demand in demands:
        kinds.setdefault(demand.kind, []).append(demand)
    return kinds


def segments_of(demand: Demand) -> list[int]:
    """Tokens generated before each call and behind the last."""
    ends = [call.after_tokens for call in demand.calls]
    if not ends or ends[-1] < demand.output_tokens:
        ends.append(demand.output_tokens)
    return np.diff([0, *ends]).tolist()


def statistics(demands: list[Demand]) -> tuple[float, ...]:
    """A row of `TABLE`."""
    calls = [call for demand in demands for call in demand.calls]
    durations = np.array([call.duration_s for call in calls])
    segments = [tokens for demand in demands for tokens in segments_of(demand)]
    return (
        len(calls) / len(demands),
        durations.mean(),
        durations.std(),
        np.mean([call.returned_tokens for call in calls]),
        np.mean([demand.prompt_tokens for demand in demands]),
        np.mean(segments),
        np.median(segments),
        np.mean([demand.output_tokens for demand in demands]),
        np.mean([demand.total_tokens for demand in demands]),
    )


def call_time(demands: list[Demand]) -> np.ndarray:
    return np.array([sum(call.duration_s for call in demand.calls) for demand in demands])


@pytest.fixture(scope="module")
def mix() -> list[Demand]:
    return list(built("tool_mix", count=40_000, shares=RECORDS).demands(rng(3)))


@pytest.mark.parametrize("kind", TABLE)
def test_the_mix_has_the_statistics_of_each_kind(mix: list[Demand], kind: str) -> None:
    made = dict(zip((*COLUMNS, "final"), statistics(by_kind(mix)[kind]), strict=True))
    table = dict(zip((*COLUMNS, "final"), TABLE[kind], strict=True))
    tight = {"calls": 0.03, "duration": 0.03, "segment": 0.03, "made": 0.03, "final": 0.05}
    for column, value in table.items():
        assert made[column] == pytest.approx(value, rel=tight.get(column, 0.08)), column


def test_the_mix_has_the_statistics_of_the_whole_set(mix: list[Demand]) -> None:
    calls = np.array([len(demand.calls) for demand in mix])
    assert calls.mean() == pytest.approx(4.6, rel=0.03)
    assert calls.std() == pytest.approx(3.1, rel=0.03)
    durations = np.array([call.duration_s for demand in mix for call in demand.calls])
    assert durations.mean() == pytest.approx(12.6, rel=0.03)
    assert durations.std() == pytest.approx(16.7, rel=0.03)
    assert (durations.min(), durations.max()) == (0.0, 60.0)
    made = np.array([demand.output_tokens for demand in mix])
    assert made.mean() == pytest.approx(369, rel=0.03)
    assert made.std() == pytest.approx(335, rel=0.12)
    total = np.array([demand.total_tokens for demand in mix])
    assert total.mean() == pytest.approx(1030, rel=0.03)
    assert total.max() == 2048
    waits = call_time(mix)
    assert waits.mean() == pytest.approx(58, rel=0.04)
    assert np.percentile(waits, 50) == pytest.approx(3.3, rel=0.08)
    assert np.percentile(waits, 95) == pytest.approx(246, rel=0.12)


def test_the_single_call_set_of_the_mix(mix: list[Demand]) -> None:
    single = [single_call(demand) for demand in mix]
    # A first segment that runs into the end of the context makes no call at all.
    assert np.mean([len(demand.calls) for demand in single]) == pytest.approx(1, abs=0.002)
    waits = {kind: call_time(demands).mean() for kind, demands in by_kind(single).items()}
    assert waits["image"] == pytest.approx(11.5, rel=0.03)
    assert waits["tts"] == pytest.approx(5.8, rel=0.08)
    assert waits["chatbot"] == pytest.approx(29.0, rel=0.06)
    assert call_time(single).mean() == pytest.approx(7.7, rel=0.05)
    assert np.mean([demand.output_tokens for demand in single]) == pytest.approx(178, rel=0.12)
    assert np.mean([demand.total_tokens for demand in single]) == pytest.approx(744, rel=0.06)


def test_kinds_are_equally_likely_by_default_and_end_at_2048() -> None:
    demands = list(islice(built("tool_mix", count=None).demands(rng()), 12_000))
    kinds = Counter(demand.kind for demand in demands)
    assert set(kinds) == set(TABLE)
    assert sum((n - 2000) ** 2 / 2000 for n in kinds.values()) < 20.6  # 5 degrees, p = 0.001
    assert max(demand.total_tokens for demand in demands) == 2048
    # Image and speech: a call of the tool and then a person's reply, in turn.
    for kind, tool_s in (("image", 11.5), ("tts", 6.1)):
        of_kind = by_kind(demands)[kind]
        assert np.mean([d.calls[0].duration_s for d in of_kind]) == pytest.approx(tool_s, rel=0.03)
        second = [d.calls[1].duration_s for d in of_kind if len(d.calls) > 1]
        assert np.mean(second) == pytest.approx(28, rel=0.05)


# --- The released set ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released() -> Path:
    folder = os.environ.get("ORRERY_DATA")
    if not folder:
        pytest.skip("ORRERY_DATA is not set: no folder with augmented_requests.jsonl to read")
    return Path(folder) / "augmented_requests.jsonl"


def test_the_released_set_has_its_table(released: Path, mix: list[Demand]) -> None:
    demands = list(built("tool_calls", path=str(released)).demands(rng()))
    kinds = by_kind(demands)
    assert {kind: len(of_kind) for kind, of_kind in kinds.items()} == RECORDS
    for kind, row in TABLE.items():
        assert statistics(kinds[kind]) == pytest.approx(row, rel=0.01)
    assert np.mean([len(d.calls) for d in demands]) == pytest.approx(4.6, abs=0.05)
    assert np.mean([d.output_tokens for d in demands]) == pytest.approx(369, abs=0.5)
    assert np.mean([d.total_tokens for d in demands]) == pytest.approx(1030, abs=0.5)
    assert call_time(demands).mean() == pytest.approx(58.3, abs=0.1)
    assert max(d.total_tokens for d in demands) == 2048
    for kind, made in by_kind(mix).items():
        for percent in (50, 75, 90):
            for column in ("output_tokens", "total_tokens"):
                sides = [
                    np.percentile([getattr(demand, column) for demand in side], percent)
                    for side in (made, kinds[kind])
                ]
                assert sides[0] == pytest.approx(sides[1], rel=0.12), (kind, percent, column)


def test_the_single_call_set_of_the_released_set(released: Path) -> None:
    demands = list(built("tool_calls", path=str(released), single_call=True).demands(rng()))
    assert {len(demand.calls) for demand in demands} == {1}
    assert call_time(demands).mean() == pytest.approx(7.66, abs=0.005)
    made = [demand.output_tokens for demand in demands]
    assert (np.mean(made), np.median(made)) == pytest.approx((178.08, 68), abs=0.005)
    assert np.mean([demand.total_tokens for demand in demands]) == pytest.approx(743.7, abs=0.05)


def test_kinds_told_from_the_length_of_calls_would_move_seven_requests(released: Path) -> None:
    """Look-ups that fail at once pass for calculations: labels count, not lengths of calls."""
    supply = ToolCalls(released, context_tokens=2050, over_context="cap")
    told: Counter[str] = Counter()
    for demand in supply.demands(rng()):
        mean_s = np.mean([call.duration_s for call in demand.calls])
        if demand.kind in ("math", "qa", "ve"):
            told["math" if mean_s < 0.01 else "ve" if mean_s < 0.3 else "qa"] += 1
    assert told == {"math": 99, "qa": 47, "ve": 56}


def test_draws_from_the_released_set(released: Path) -> None:
    overrides = {"workload": {"path": str(released)}, "count": 40_000}
    drawn = list(built("tool_calls_drawn", **overrides).demands(rng()))
    assert len(set(drawn)) <= 397
    assert np.mean([len(d.calls) for d in drawn]) == pytest.approx(4.6, rel=0.02)
    assert call_time(drawn).mean() == pytest.approx(58.3, rel=0.03)
