"""Closed-form bounds of what offloading gains."""

from __future__ import annotations

import pytest
from offload_kit import OFFLOAD

from experiments.reproduce.papers.neo.ceilings import ceilings
from experiments.reproduce.papers.neo.settings import a10g, t4_burst
from models.errors import ConfigError
from models.offload.bounds import Bounds, bounds


def test_ceilings_by_hand() -> None:
    found = Bounds(prefill_s=1.0, decode_s=3.0, host_s=2.0, pass_s=0.25, wide_pass_s=1.0)
    assert found.prefill_ceiling == 4.0
    assert found.host_ceiling == 3.0
    assert found.one_prefill_ceiling == pytest.approx(3.2)
    assert found.one_prefill_wide_ceiling == pytest.approx(2.0)


def test_a_small_model_by_hand() -> None:
    """8 requests of 100 + 100 / 2 tokens fill 1,200 tokens."""
    found = bounds(OFFLOAD, 100, 100, 1200)
    iteration_s = OFFLOAD.cost.step(8, 1200, (), 8).step(0)
    assert found.decode_s == pytest.approx(100 * iteration_s / 8)
    assert found.host_s == pytest.approx(
        100 * 150 * 3 * OFFLOAD.kv_bytes / OFFLOAD.host.read_bytes_per_s
    )
    second_s = OFFLOAD.linear_s(100) - OFFLOAD.linear_s(8)
    assert found.pass_s == pytest.approx(iteration_s + 3 * 1e-4)
    assert found.wide_pass_s == pytest.approx(found.pass_s + 3 * second_s)
    # A prompt beside many others costs less than one by itself, which also reads the weights.
    alone_s = 3 * (OFFLOAD.linear_s(100) + OFFLOAD.prefill_s(100))
    assert 0.0 < found.prefill_s < alone_s


@pytest.mark.parametrize(
    ("output", "decode_s", "host_s"),
    [(50, 0.085, 0.24), (100, 0.174, 0.49), (200, 0.364, 1.03), (300, 0.570, 1.62)],
)
def test_an_a10g_as_published_results_were_explained(
    output: int, decode_s: float, host_s: float
) -> None:
    """Figures of an iteration-level study of NEO's results, prompts of 1,000, 28 GB/s."""
    found = ceilings(a10g("NEO", "2xlarge", output), 1000, output)
    # There without attention, 9 ms, and without elementwise work.
    assert found.prefill_s == pytest.approx(0.285, rel=0.08)
    assert found.decode_s == pytest.approx(decode_s, rel=0.03)
    assert found.host_s == pytest.approx(host_s, rel=0.02)
    assert 0.045 < found.pass_s < 0.06


def test_the_t4_is_held_by_prompts() -> None:
    """The 7.5 of the abstract is a matter of prompts, not of the host."""
    found = ceilings(t4_burst("NEO", 372, 45, 1), 372, 45)
    assert 6.0 < found.prefill_ceiling < 8.0
    assert found.host_ceiling > found.prefill_ceiling


def test_longer_outputs_gain_more_from_prompts_and_less_from_the_host() -> None:
    found = [bounds(OFFLOAD, 100, output, 5000) for output in (10, 20, 40, 80)]
    prefill = [each.prefill_ceiling for each in found]
    assert prefill == sorted(prefill)
    # A host's work grows with the square, a GPU's share of an iteration with it.
    assert all(each.one_prefill_ceiling < each.prefill_ceiling for each in found)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((0, 10, 100), "prompt_tokens = 0 must be >= 1"),
        ((10, 0, 100), "output_tokens = 0 must be >= 1"),
        ((100, 10, 104), "gpu_kv_tokens = 104 holds no request of 105 tokens"),
    ],
)
def test_bad_lengths(lengths: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bounds(OFFLOAD, *lengths)
