"""Formulas of tool calls: waste, memory over time, call durations, profiled lines."""

from __future__ import annotations

import json
import os
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.compose import compose
from models.errors import CapacityError, ConfigError
from models.tool_calls.durations import ClassMeanDuration, NoisyDuration, OracleDuration
from models.tool_calls.forward_time import ForwardTime, InChunks, hidden_swap_tokens
from models.tool_calls.memory_time import Segment, memory_time, request_area, segments
from models.tool_calls.profiled import ProfiledModel
from models.tool_calls.released_score import ReleasedScore
from models.tool_calls.stretches import area, duration_s, stretches
from models.tool_calls.waste import (
    Wastes,
    break_even_s,
    chunked_discard_waste,
    chunks_needed,
    discard_waste,
    preserve_waste,
    swap_waste,
)
from models.tool_calls.waste_formulas import ChunkedWaste, PlainWaste, ReleasedWaste
from sim.core.run import instantiate, run

INFERCEPT = ForwardTime(0.010, 4.63e-5)
LAMPS = ForwardTime(0.01692, 4.08e-5)
SWAP_S = 4e-5
SATURATION = 384
HANDLINGS = ("preserve", "swap", "discard")

tokens = st.integers(0, 4096)
others = st.floats(0.0, 1e5)
batches = st.integers(0, 600)
seconds = st.floats(0.0, 100.0)
lines = st.builds(ForwardTime, st.floats(0.0, 0.1), st.floats(1e-6, 1e-3))


def formulas(line: ForwardTime, scale: float = 1.0) -> list:
    return [
        PlainWaste(line, SWAP_S * scale),
        ChunkedWaste(line, SATURATION, SWAP_S * scale),
        ReleasedWaste(line, SATURATION, 0.136e-3 * scale, 0.092004 * scale),
    ]


# --- waste -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "batch", "other", "infercept", "lamps"),
    [
        (1024, 0, 0, 35.036, 40.214),
        (1024, 64, 20000, 1001.750, 898.319),
        (2048, 128, 40000, 3517.905, 3158.129),
    ],
)
def test_discard_waste_of_the_releases(context, batch, other, infercept, lamps):
    for line, value in ((INFERCEPT, infercept), (LAMPS, lamps)):
        waste = ReleasedWaste(line, SATURATION).discard(context, other, batch)
        assert waste == pytest.approx(value, abs=5e-4)


def test_published_equations_at_a_point():
    assert discard_waste(1024, 20000, INFERCEPT) == pytest.approx(1207.0, abs=0.05)
    assert swap_waste(1024, 20000, SWAP_S) == pytest.approx(1722.3, abs=0.05)
    assert ReleasedWaste(INFERCEPT, SATURATION).swap(1024, 20000, 64) == pytest.approx(
        5505.0, abs=0.05
    )
    # two pieces of 500 tokens, a second of fixed time, a millisecond a token, by hand
    line = ForwardTime(1.0, 1e-3)
    assert chunked_discard_waste(1000, 10, line, 2) == pytest.approx(2 * 1000 / 2 + 2 * 1.5 * 10)


def test_chunks_are_what_the_batch_leaves_of_an_iteration():
    assert chunks_needed(1024, 0, 384) == 3
    assert chunks_needed(1024, 128, 384) == 4
    assert chunks_needed(1024, 383, 384) == chunks_needed(1024, 500, 384) == 1024
    assert chunks_needed(0, 0, 384) == 1


@given(tokens, others, batches, seconds, lines)
def test_wastes_are_not_negative_and_grow_with_the_others(context, other, batch, call_s, line):
    for formula in formulas(line):
        here = formula.wastes(context, other, batch, call_s)
        more = formula.wastes(context, other + 100.0, batch, call_s)
        assert min(here) >= 0.0
        assert more.preserve == here.preserve
        assert more.discard >= here.discard
        assert more.swap >= here.swap


@given(tokens, others, batches, seconds, st.floats(1e-3, 10.0))
def test_wastes_are_in_token_seconds(context, other, batch, call_s, scale):
    """A clock that runs slower by a factor changes every waste by that factor."""
    slow = ForwardTime(INFERCEPT.fixed_s * scale, INFERCEPT.per_token_s * scale)
    for here, there in zip(formulas(INFERCEPT), formulas(slow, scale), strict=True):
        expected = [scale * waste for waste in here.wastes(context, other, batch, call_s)]
        assert list(there.wastes(context, other, batch, call_s * scale)) == pytest.approx(expected)


@given(st.integers(1, 4096), others, batches, seconds, st.floats(0.0, 10.0))
def test_preserve_waste_is_linear_in_the_call_with_slope_c(context, other, batch, call_s, more_s):
    rise = preserve_waste(context, call_s + more_s) - preserve_waste(context, call_s)
    assert rise == pytest.approx(context * more_s, rel=1e-9, abs=1e-9)
    assert preserve_waste(context, 0.0) == 0.0


@given(st.integers(1, 4096), others, batches, lines, seconds)
def test_preserve_up_to_the_break_even_duration_and_never_above(
    context, other, batch, line, call_s
):
    for formula in formulas(line):
        _, swap, discard = formula.wastes(context, other, batch, 0.0)
        turn_s = break_even_s(context, swap, discard)
        assert formula.wastes(context, other, batch, 0.0).least == "preserve"
        choice = formula.wastes(context, other, batch, call_s).least
        if call_s < turn_s * (1 - 1e-9):
            assert choice == "preserve"
        elif call_s > turn_s * (1 + 1e-9):
            assert choice == ("swap" if swap <= discard else "discard")


def test_ties_preserve_then_swap_then_discard():
    assert Wastes(1.0, 1.0, 1.0).least == "preserve"
    assert Wastes(2.0, 1.0, 1.0).least == "swap"
    assert Wastes(2.0, 1.0, 0.5).least == "discard"
    assert Wastes(1.0, 2.0, 1.0).least == "preserve"
    assert break_even_s(0, 0.0, 0.0) == inf


def test_without_host_memory_nothing_is_swapped():
    without = (
        PlainWaste(INFERCEPT),
        ChunkedWaste(INFERCEPT, SATURATION),
        ReleasedWaste(INFERCEPT, SATURATION, None),
    )
    for formula in without:
        wastes = formula.wastes(0, 0.0, 0, 1.0)
        assert wastes.swap == inf
        assert formula.wastes(1024, 2e4, 0, 1e6).least == "discard"


def break_even(line: ForwardTime, other: float, batch: int) -> float:
    wastes = ReleasedWaste(line, SATURATION).wastes(1024, other, batch, 0.0)
    return break_even_s(1024, wastes.swap, wastes.discard)


def test_break_even_durations_of_a_context_of_1024():
    """0.03 s on an empty GPU, 0.88 to 0.98 s beside 20k tokens (64 of them in an iteration), 1.3 to
    1.4 s beside 40k (128): the ends of a band are LAMPS's and InferCept's profile."""
    assert break_even(INFERCEPT, 0, 0) == pytest.approx(0.0342, abs=5e-5)
    assert break_even(LAMPS, 0, 0) == pytest.approx(0.0393, abs=5e-5)
    assert break_even(LAMPS, 20_000, 64) == pytest.approx(0.877, abs=5e-4)
    assert break_even(INFERCEPT, 20_000, 64) == pytest.approx(0.978, abs=5e-4)
    assert break_even(LAMPS, 40_000, 128) == pytest.approx(1.273, abs=5e-4)
    assert break_even(INFERCEPT, 40_000, 128) == pytest.approx(1.431, abs=5e-4)


def test_the_releases_forget_a_chunk_of_a_context_that_fills_its_chunks():
    """1,024 tokens are four chunks of 256, but three are charged; 1,025 are charged for four."""
    waste = ReleasedWaste(INFERCEPT, SATURATION)
    even, odd = (waste.discard(context, 40_000, 128) for context in (1024, 1025))
    assert odd - even > 0.3 * even
    by_equation = [chunked_discard_waste(c, 40_000, INFERCEPT, 4) for c in (1024, 1025)]
    assert by_equation[1] == pytest.approx(by_equation[0], rel=2e-3)


@pytest.mark.parametrize("line", [INFERCEPT, LAMPS])
def test_map_of_strategies_by_kind_of_call(line):
    predictor = instantiate("call_predictor", settings("call_predictor/class_mean"))

    def choices(kind: str) -> list[str]:
        call_s = predictor.predict(kind, inf, np.random.default_rng(0))
        formula = ReleasedWaste(line, SATURATION)
        loads = ((0, 0), (20_000, 64), (40_000, 128))
        return [formula.wastes(1024, other, batch, call_s).least for other, batch in loads]

    assert choices("math") == ["preserve"] * 3
    assert choices("ve") == ["discard", "preserve", "preserve"]
    assert choices("qa") == ["discard", "preserve", "preserve"]
    for kind in ("chatbot", "image", "tts"):
        assert choices(kind) == ["discard"] * 3


def test_forward_time_and_what_hides_behind_it():
    assert INFERCEPT(0) == 0.0
    assert INFERCEPT(100) == pytest.approx(0.01463)
    chunks = InChunks(INFERCEPT, 384)
    assert chunks(384) == INFERCEPT(384)
    assert chunks(800) == pytest.approx(2 * INFERCEPT(384) + INFERCEPT(32))
    hidden = hidden_swap_tokens(INFERCEPT, SWAP_S, 384)
    assert hidden * SWAP_S == pytest.approx(INFERCEPT(384))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ForwardTime(-1.0, 1.0), "fixed_s = -1.0"),
        (lambda: ForwardTime(0.0, inf), "per_token_s = inf"),
        (lambda: ForwardTime(0.0, 0.0), "not both be 0"),
        (lambda: ChunkedWaste(INFERCEPT, 0), "saturation_tokens = 0"),
        (lambda: ReleasedWaste(INFERCEPT, 38.4), "saturation_tokens = 38.4"),
        (lambda: segments(1, 5, [], "some"), "'some' is not next or all"),
        (lambda: segments(1, 5, [(4, 1.0, 0), (2, 1.0, 0)]), "out of order"),
        (lambda: segments(1, 5, [(6, 1.0, 0)]), "out of order"),
    ],
)
def test_bad_arguments(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


# --- memory over time --------------------------------------------------------------------------

lengths = st.integers(0, 300)
cases = st.builds(
    lambda p, g, t, s, h, share: Segment(p, g, t, s, h, int(p * share)),
    st.integers(1, 900),
    lengths,
    seconds,
    lengths,
    lengths,
    st.sampled_from([0.0, 0.5, 1.0]),
)


def test_areas_by_hand():
    """A forward pass is a second, so is a step; moving a token takes half a second."""
    second = ForwardTime(1.0, 0.0)
    segment = Segment(4, 2, 3.0, 2, 1)
    assert memory_time(segment, "preserve", second, 1.0, 0.5) == (2 + 5 + 6, 18, 7, 9)
    assert memory_time(segment, "discard", second, 1.0, 0.5) == (13, 0, 4, 9)
    assert memory_time(segment, "swap", second, 1.0, 0.5) == (13, 3 * 3 + 3 * 3, 7, 9)
    assert memory_time(segment, "preserve", second, 1.0, 0.5).total == 47
    assert memory_time(Segment(4, 2), "preserve", second, 1.0, 0.5) == (13, 0, 0, 0)


@given(cases, st.sampled_from(HANDLINGS), lines)
def test_area_is_the_sum_over_iterations(segment, handling, line):
    given_ = (segment, handling, line, 0.02, SWAP_S)
    closed = memory_time(*given_)
    assert min(closed) >= 0.0
    assert closed.total == pytest.approx(area(stretches(*given_)), rel=1e-9)
    # tokens that grow in linearly take half a slot less in each step
    grown = area(stretches(*given_, slot_from_start=False))
    made = segment.before_tokens + segment.after_tokens
    assert closed.total - grown == pytest.approx(0.02 * made / 2, abs=1e-6)


@given(cases, st.sampled_from(HANDLINGS), st.integers(1, 400))
def test_area_with_prefills_in_chunks(segment, handling, chunk):
    """The straight ramp is a lower bound, since the last, smaller chunk is the slowest a token."""
    constants = (0.02, SWAP_S)
    closed = memory_time(segment, handling, InChunks(INFERCEPT, chunk), *constants)
    exact = area(stretches(segment, handling, INFERCEPT, *constants, chunk_tokens=chunk))
    assert closed.total <= exact * (1 + 1e-9)
    parts = (segment.prompt_tokens - segment.cached_tokens, segment.returned_tokens)
    if handling == "discard":
        parts = (parts[0], segment.call_tokens + segment.returned_tokens)
    if not any(part % chunk for part in parts):
        assert closed.total == pytest.approx(exact, rel=1e-9)
    # a chunk at most is in the wrong place, for as long as the prefills last
    prefills = sum(InChunks(INFERCEPT, chunk)(part) for part in parts)
    assert exact - closed.total <= chunk * prefills


@given(cases)
def test_a_segment_lasts_as_long_as_its_work_and_its_call(segment):
    line = ForwardTime(0.01, 0.0)
    work_s = 0.02 * (segment.before_tokens + segment.after_tokens)
    work_s += line(segment.prompt_tokens - segment.cached_tokens)
    kept_s = work_s + segment.call_s + line(segment.returned_tokens)
    assert duration_s(stretches(segment, "preserve", line, 0.02, SWAP_S)) == pytest.approx(kept_s)
    again_s = work_s + segment.call_s + line(segment.call_tokens + segment.returned_tokens)
    assert duration_s(stretches(segment, "discard", line, 0.02, SWAP_S)) == pytest.approx(again_s)


@given(cases, st.sampled_from(HANDLINGS))
def test_what_follows_a_call_is_the_start_of_the_next_segment(segment, handling):
    areas = memory_time(segment, handling, INFERCEPT, 0.02, SWAP_S)
    context = segment.call_tokens + segment.returned_tokens
    cached = 0 if handling == "discard" else segment.call_tokens
    following = Segment(context, segment.after_tokens, cached_tokens=cached)
    next_ = memory_time(following, "preserve", INFERCEPT, 0.02, SWAP_S)
    assert areas.back + areas.after == pytest.approx(next_.total)


@given(st.integers(1, 2000), st.lists(st.integers(1, 2000), min_size=2, unique=True))
def test_without_calls_and_with_equal_prompts_the_order_is_by_output_length(prompt, outputs):
    def score(output: int) -> float:
        (only,) = segments(prompt, output, [])
        return memory_time(only, "preserve", INFERCEPT, 0.02, SWAP_S).total

    def released(output: int) -> float:
        return ReleasedScore().score(prompt, output, 0, 0.0, "preserve", batch_tokens=64)

    assert sorted(outputs, key=score) == sorted(outputs)
    by_length = [released(output) for output in sorted(outputs)]
    assert by_length == sorted(by_length)


def test_a_long_call_ranks_a_short_request_last_unless_its_memory_is_freed():
    """60 tokens that keep 700 for 28 s cost more than 1,000 tokens without a call; not if
    discarded. Every length-based rank has it the other way round."""
    step_s = INFERCEPT(100)
    short = Segment(640, 60, 28.0, 20, 0)
    plain = memory_time(Segment(100, 1000), "preserve", INFERCEPT, step_s, SWAP_S).total
    scores = {
        handling: memory_time(short, handling, INFERCEPT, step_s, SWAP_S).total
        for handling in HANDLINGS
    }
    assert scores["preserve"] > plain
    assert scores["discard"] < 0.15 * plain
    assert scores["swap"] < 0.15 * plain


def test_segments_accumulate_the_context():
    calls = [(10, 1.0, 5), (10, 2.0, 3), (40, 3.0, 0)]
    assert segments(100, 40, calls) == [
        Segment(100, 10, 1.0, 5, 0),
        Segment(115, 0, 2.0, 3, 30),
        Segment(118, 30, 3.0, 0, 0),
        Segment(148, 0),
    ]
    assert [part.after_tokens for part in segments(100, 40, calls, "all")] == [30, 30, 0, 0]


@given(
    st.integers(1, 500),
    st.lists(st.tuples(lengths, seconds, lengths, st.sampled_from(HANDLINGS)), max_size=4),
    lengths,
)
def test_area_of_a_request_is_the_sum_over_its_iterations(prompt, pieces, last):
    calls, made = [], 0
    for grown, call_s, returned, _ in pieces:
        made += grown
        calls.append((made, call_s, returned))
    handlings = [piece[3] for piece in pieces]
    parts = segments(prompt, made + last, calls)
    constants = (INFERCEPT, 0.02, SWAP_S)
    expected = area(stretches(parts[0]._replace(call_s=0.0, returned_tokens=0, after_tokens=0),
                              "preserve", *constants))  # fmt: skip
    for part, handling in zip(parts, handlings, strict=False):
        # all of its prompt is there and nothing is made: from the call on
        from_call = Segment(part.call_tokens, 0, *part[2:5], cached_tokens=part.call_tokens)
        expected += area(stretches(from_call, handling, *constants))
    assert request_area(parts, handlings, *constants) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ((400, 120, 20, 8e-5), (61.998, 139.392, 102.452)),
        ((934, 180, 57, 0.72), (999.808, 387.2, 332.44)),
        ((112, 112, 40, 28.2), (7250.176, 61.952, 41.796)),
    ],
)
def test_released_score(case, expected):
    found = [
        ReleasedScore().score(*case, handling, batch_tokens=64)
        for handling in ("preserve", "discard", "swap")
    ]
    assert found == pytest.approx(expected, abs=5e-4)


def test_released_score_once_the_call_is_over():
    """What is left by hand: 46.464 for 9 blocks in two chunks of 320, 15.488 for 3 in one."""

    def left(handling: str) -> float:
        score = ReleasedScore()
        return score.score(400, 120, 20, 8e-5, handling, batch_tokens=64, returned=True)

    assert left("discard") == pytest.approx(92.928)
    assert left("swap") == pytest.approx(81 / 4 + 15.488)
    assert left("preserve") == pytest.approx(15.488)


# --- durations ---------------------------------------------------------------------------------


def settings(path: str) -> dict:
    """A shipped configuration file as it stands."""
    from omegaconf import OmegaConf

    file = Path(__file__).parents[1] / "configs" / f"{path}.yaml"
    return OmegaConf.to_container(OmegaConf.load(file))


def test_duration_predictors():
    rng = np.random.default_rng(1)
    assert OracleDuration().predict("qa", 0.7, rng) == 0.7
    means = ClassMeanDuration({"qa": 0.69, "math": 0})
    assert means.predict("qa", 5.0, rng) == 0.69
    assert means.predict("math", 5.0, rng) == 0.0
    with pytest.raises(ConfigError, match=r"kind 'poetry'; there are math, qa; add it"):
        means.predict("poetry", 5.0, rng)
    assert ClassMeanDuration({}, default_s=2.0).predict("poetry", 5.0, rng) == 2.0
    assert NoisyDuration(0.0).predict("qa", 0.7, rng) == 0.7


def test_noise_has_the_stated_moments():
    """error 0.2: no draw of these is cut at 0. error 2: cut at 0, mean by the folded normal."""
    rng = np.random.default_rng(2)
    mild = [NoisyDuration(0.2).predict("qa", 10.0, rng) for _ in range(20_000)]
    assert np.mean(mild) == pytest.approx(10.0, abs=4 * 2.0 / 20_000**0.5)
    assert np.std(mild) == pytest.approx(2.0, rel=0.03)
    wild = [NoisyDuration(2.0).predict("qa", 10.0, rng) for _ in range(20_000)]
    assert min(wild) == 0.0
    # E max(0, 10 + 20 Z) = 10 Phi(0.5) + 20 phi(0.5)
    assert np.mean(wild) == pytest.approx(10 * 0.69146 + 20 * 0.35207, rel=0.03)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NoisyDuration(-0.1), r"call_predictor\.error: -0.1"),
        (lambda: ClassMeanDuration({"qa": -1.0}), r"call_predictor\.mean_s\.qa: -1.0"),
        (lambda: ClassMeanDuration({"qa": "long"}), r"call_predictor\.mean_s\.qa: 'long'"),
        (lambda: ClassMeanDuration({}, default_s=inf), r"call_predictor\.default_s: inf"),
    ],
)
def test_bad_predictors(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize("name", ["oracle", "class_mean", "noisy"])
def test_shipped_predictors(name):
    predictor = instantiate("call_predictor", settings(f"call_predictor/{name}"))
    assert predictor.predict("image", 20.0, np.random.default_rng(3)) >= 0.0


@pytest.mark.skipif("ORRERY_DATA" not in os.environ, reason="ORRERY_DATA names no data folder")
def test_every_kind_of_the_released_requests_has_a_mean():
    predictor = instantiate("call_predictor", settings("call_predictor/class_mean"))
    path = Path(os.environ["ORRERY_DATA"]) / "augmented_requests.jsonl"
    kinds = {json.loads(line)["kind"] for line in path.read_text().splitlines()}
    assert kinds <= set(predictor.mean_s)


# --- profiled lines ----------------------------------------------------------------------------

PROFILES = {
    "gptj-6b-a100": (0.010, 4.63e-5, 1),
    "gptj-6b-a100-lamps": (0.01692, 4.08e-5, 1),
    "vicuna-13b-2xa100": (0.0154, 2.79e-5, 2),
}


def composed(profile: str, *more: str):
    fixed = ("workload=fixed", "workload.count=3", "arrivals=evenly", "arrivals.rate_rps=0.01")
    lengths = ("workload.prompt.tokens=800", "workload.output.tokens=5")
    return compose(["experiment=profiled", f"profile={profile}", *fixed, *lengths, *more])


@pytest.mark.parametrize("profile", PROFILES)
def test_a_request_on_an_empty_profiled_replica_by_hand(profile):
    """Two full chunks and one of 32 tokens, then a token at a time."""
    fixed_s, per_token_s, gpus = PROFILES[profile]
    line = ForwardTime(fixed_s, per_token_s)
    config = composed(profile)
    assert config.gpus_per_replica == gpus
    for mode in ("jump", "step"):
        config.mode = mode
        result = run(config)
        ttft_s = 2 * line(384) + line(32)
        assert result.number("serving.ttft_s.p50") == pytest.approx(ttft_s)
        e2e_s = ttft_s + 4 * line(1)
        assert result.number("serving.e2e_latency_s.p50") == pytest.approx(e2e_s)


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_agree_with_the_hardware_that_runs_them(profile):
    """Swapping a token takes as long over the node's links as the profile says, the weights and
    the cache fit into 0.9 x 40 GB a GPU, and the model's shape gives the bytes of a token."""
    config = composed(profile)
    model = instantiate("profile", config.profile)
    assert isinstance(model, ProfiledModel)
    link = config.node.host_link
    per_gpu = model.kv_bytes_per_token / model.gpus
    swap_s = per_gpu / (link.bandwidth_bytes_per_s * link.efficiency)
    assert swap_s == pytest.approx(model.swap_s_per_token, rel=2e-3)
    shape = instantiate("model", settings(f"model/{'-'.join(profile.split('-')[:2])}"))
    assert shape.kv_bytes_per_token("fp16") == model.kv_bytes_per_token
    assert shape.max_context_tokens == model.context_tokens
    used = shape.weight_bytes("fp16") + model.kv_tokens * model.kv_bytes_per_token
    free = 0.9 * 40e9 * model.gpus - used
    assert 0.5e9 * model.gpus < free < 1.5e9 * model.gpus


def test_the_engine_holds_50000_tokens_unless_the_profile_says_so():
    engine = instantiate("engine", compose(["engine=lamps"]).engine)
    assert engine.kv_blocks * engine.block_tokens == 50_000
    assert (engine.max_sequences, engine.max_batch_tokens) == (256, 384)
    assert engine.host_swap_bytes == 32 * 2**30
    config = composed("vicuna-13b-2xa100")
    assert config.engine.kv_blocks is None
    assert instantiate("profile", config.profile).kv_blocks(None, 16, 0.9, 0.0) == 53_700 // 16
    assert composed("gptj-6b-a100", "engine.kv_blocks=100").engine.kv_blocks == 100


def test_a_study_may_build_on_the_profiles(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - profiled\n"
        "  - override /profile: vicuna-13b-2xa100\n"
        "  - override /ordering: shortest_job_first\n"
    )
    config = compose(["experiment=mine"], config_dir=tmp_path)
    assert config.model.name == "Vicuna-13B (InferCept's profile)"
    assert config.systems.serving.served.gpus == config.tensor_parallel == 2
    assert "shortest_job_first" in config.ordering["_target_"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fixed_s": -1.0}, r"fixed_s = -1.0 must be finite and >= 0"),
        ({"per_token_s": 0.0}, r"per_token_s = 0.0 must be finite and > 0"),
        ({"kv_tokens": 1000.5}, r"kv_tokens is 1000.5; it must be a whole number"),
        ({"source": {}}, r"gpus = 1 has no entry in `source`"),
        ({"name": ""}, r"name is empty"),
    ],
)
def test_bad_profiles(change, says):
    profile = settings("profile/gptj-6b-a100") | change
    with pytest.raises(ConfigError, match=says):
        instantiate("profile", profile)


def test_a_cache_smaller_than_a_block():
    model = instantiate("profile", settings("profile/gptj-6b-a100") | {"kv_tokens": 10})
    with pytest.raises(CapacityError, match="kv_tokens = 10 hold no block of 16 tokens"):
        model.kv_blocks(None, 16, 0.9, 0.0)
