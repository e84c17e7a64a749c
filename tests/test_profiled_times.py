"""NEO's performance predictor: exact where it has measured, near between, honest beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from offload_kit import OFFLOAD, times

from experiments.compose import compose
from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes

BLOCK = 16


class Bilinear:
    """Times that a bilinear table gives back without error."""

    def linear_s(self, tokens: int) -> float:
        return 3e-6 * tokens

    prefill_s = attention_s = linear_s

    def host_attention_s(self, sequences: int, tokens: int) -> float:
        return 1e-4 + 2e-5 * sequences + 3e-8 * tokens


class Counting(Bilinear):
    """The same, keeping what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def host_attention_s(self, sequences: int, tokens: int) -> float:
        self.asked.append((sequences, tokens))
        return super().host_attention_s(sequences, tokens)


def covered(truth: Any = None, **changes: Any) -> ProfiledTimes:
    profile = times(truth, **{"max_sequences": 64, "max_batch_tokens": 1024} | changes)
    profile.cover(5000, 20_000, BLOCK)
    return profile


@pytest.fixture(scope="module")
def a10g() -> tuple[Any, ProfiledTimes]:
    """The real cost of the A10G and its profile."""
    config = compose(["experiment=neo_a10g"])
    profile = instantiate(config.batching)().times
    profile.cover(26_400, 457_763 // 16 * 16, BLOCK)
    return profile._truth, profile


def test_it_gives_back_what_was_measured() -> None:
    truth, profile = OFFLOAD, covered()
    for n in (1, 2, 100, 511, 512, 1024):
        assert profile.linear[n] == truth.linear_s(n)
    for p in (16, 24, 32, 48, 64, 96, 512, 768, 1024):
        assert profile.prefill[p] == truth.prefill_s(p)
    for n in (16, 24, 32, 48, 3072, 4096, 5000):
        assert profile.attention(n) == truth.attention_s(n)
    for x in (1, 2, 4, 64):
        for n in (1024, 2048, 8192, 16_384):
            assert profile.host_attention(x, n) == pytest.approx(
                truth.host_attention_s(x, n), rel=1e-12
            )


def test_between_two_points_it_is_a_line() -> None:
    profile = covered()
    assert profile.linear[700] == pytest.approx(
        profile.linear[512] + (700 - 512) / 512 * (profile.linear[1024] - profile.linear[512])
    )
    assert profile.prefill[20] == pytest.approx(0.5 * (profile.prefill[16] + profile.prefill[24]))
    assert profile.attention(28) == pytest.approx(
        0.5 * (profile.attention(24) + profile.attention(32))
    )


def test_no_work_takes_no_time() -> None:
    profile = covered()
    assert profile.linear[0] == profile.prefill[0] == profile.attention(0) == 0.0
    assert profile.host_attention(0, 0) == profile.host_attention(0, 5000) == 0.0


def test_it_is_within_five_per_cent_on_the_a10g(a10g: tuple[Any, ProfiledTimes]) -> None:
    truth, profile = a10g
    rng = np.random.default_rng(1)
    for n in (1, 5, 128, *map(int, rng.integers(1, 20_480, 200))):
        assert profile.linear[n] == pytest.approx(truth.linear_s(n), rel=0.05)
    for n in (16, 100, *map(int, rng.integers(16, 20_480, 200))):
        assert profile.prefill[n] == pytest.approx(truth.prefill_s(n), rel=0.05)
        assert profile.attention(n) == pytest.approx(truth.attention_s(n), rel=0.05)
    for _ in range(500):
        sequences = int(rng.integers(1, 1000))
        most = min(457_000, sequences * 8192)
        n = int(rng.integers(BLOCK * sequences, max(most, BLOCK * sequences + 1)))
        found = profile.host_attention(sequences, n)
        assert found == pytest.approx(truth.host_attention_s(sequences, n), rel=0.05)


@given(st.integers(1, 64), st.integers(1, 20_000), st.sampled_from([16, 300, 1 << 14]))
def test_where_nothing_can_be_measured_it_goes_on_by_parallelograms(
    sequences: int, tokens: int, longest: int
) -> None:
    """Exactly, where the truth is bilinear."""
    profile = PROFILES[longest]
    tokens = min(tokens, 64 * max(longest, 2 * BLOCK))
    expected = Bilinear().host_attention_s(sequences, tokens)
    assert profile.host_attention(sequences, tokens) == pytest.approx(expected, rel=1e-9)


PROFILES = {n: covered(Bilinear(), max_context_tokens=n) for n in (16, 300, 1 << 14)}


def test_only_what_can_be_is_measured() -> None:
    truth = Counting()
    profile = covered(truth, max_context_tokens=500)
    assert all(BLOCK * x <= n <= 500 * x for x, n in truth.asked)
    assert {x for x, _ in truth.asked} == {1, 2, 4, 8, 16, 32, 64}
    asked = len(truth.asked)
    profile.cover(5000, 20_000, BLOCK)
    assert len(truth.asked) == asked
    profile.cover(5000, 40_000, BLOCK)
    assert len(truth.asked) > asked


def test_a_bias_is_a_factor_on_its_operator() -> None:
    plain, high = covered(), covered(bias={"host_attention": 1.3, "prefill": 0.8})
    assert high.linear == plain.linear
    assert high.attention(777) == plain.attention(777)
    assert high.prefill[300] == pytest.approx(0.8 * plain.prefill[300])
    assert high.host_attention(5, 3000) == pytest.approx(1.3 * plain.host_attention(5, 3000))


def test_noise_is_of_the_mean_of_three_measurements_and_repeats_with_its_seed() -> None:
    plain = covered()
    noisy, again, other = (covered(noise=0.1, seed=seed) for seed in (1, 1, 2))
    assert noisy.linear == again.linear != other.linear
    assert noisy.host_attention(3, 999) == again.host_attention(3, 999)
    off = np.array(noisy.linear[1:512]) / np.array(plain.linear[1:512]) - 1.0
    assert abs(off.mean()) < 0.01
    assert off.std() == pytest.approx(0.1 / 3**0.5, rel=0.1)
    assert noisy.linear[0] == 0.0


def test_a_line_is_a_cell_of_the_table() -> None:
    """What the scheduler goes along by itself."""
    profile = covered()
    for tokens in (0, 1, 17, 32, 1000, 20_000):
        line = profile.host_line(tokens)
        for n in (1, 3, 64):
            for within in (tokens, min(line.high, 20_000)):
                assert line.fixed[n] + line.per_token[n] * within == pytest.approx(
                    profile.host_attention(n, int(within)), rel=1e-12
                )


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda p: p.attention(5001), "5001 KV tokens on the GPUs, and the profile covers 5000"),
        (lambda p: p.host_attention(1, 20_001), "20001 KV tokens in host memory"),
        (lambda p: p.host_attention(65, 5000), "65 requests, and the profile covers 64"),
    ],
)
def test_beyond_its_grid_it_refuses(ask: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        ask(covered())
    assert "raise max_sequences, max_batch_tokens or max_context_tokens" in str(error.value)


def test_before_it_covers_any_kv_it_knows_of_none() -> None:
    profile = times()
    assert profile.attention(0) == 0.0
    with pytest.raises(ConfigError, match="covers 0"):
        profile.attention(1)
    with pytest.raises(ConfigError, match="covers 0"):
        profile.host_attention(1, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"launch_s": -1.0}, "launch_s = -1.0 must be finite"),
        ({"launch_s": float("nan")}, "launch_s = nan"),
        ({"noise": float("inf")}, "noise = inf"),
        ({"bias": {"attn": 1.0}}, "bias.attn: no such operator; there are linear, prefill"),
        ({"bias": {"linear": 0.0}}, "bias.linear = 0.0 must be finite and > 0"),
        ({"max_sequences": 0}, "max_sequences = 0 is not a whole number"),
        ({"max_batch_tokens": True}, "max_batch_tokens = True"),
        ({"max_context_tokens": 1.5}, "max_context_tokens = 1.5"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        times(**changes)
