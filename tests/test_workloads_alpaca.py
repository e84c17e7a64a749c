"""The Alpaca-like mix of configs/workload against the statistics of TRAIL's release."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

CONFIG = Path(__file__).parents[1] / "configs" / "workload" / "alpaca.yaml"


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """Prompt and output tokens, shape (requests, 2)."""
    endless = instantiate(OmegaConf.merge(OmegaConf.load(CONFIG), {"count": None}))
    assert not endless.finite
    demands = islice(endless.demands(np.random.default_rng(5)), 200_000)
    return np.array([(d.prompt_tokens, d.output_tokens) for d in demands])


def test_outputs_have_the_moments_and_the_share_at_the_cap(drawn: np.ndarray) -> None:
    output = drawn[:, 1]
    assert output.mean() == pytest.approx(257, rel=0.01)
    assert output.std() == pytest.approx(191, rel=0.01)
    assert output.var() / output.mean() ** 2 == pytest.approx(0.55, abs=0.01)
    assert output.max() == 512
    assert (output == 512).mean() == pytest.approx(0.21, abs=0.005)


def test_outputs_have_the_percentiles(drawn: np.ndarray) -> None:
    output = drawn[:, 1]
    for percent, tokens in {5: 16, 10: 25, 25: 66, 50: 227, 75: 477, 90: 512}.items():
        assert np.percentile(output, percent) == pytest.approx(tokens, rel=0.02)


def test_outputs_have_the_shares_of_ten_bins(drawn: np.ndarray) -> None:
    """Bins of 51.2 tokens, as TRAIL's classifier has them."""
    bins = np.bincount(np.minimum(drawn[:, 1] / 51.2, 9).astype(int), minlength=10)
    shares = [0.20, 0.125, 0.09, 0.05, 0.07, 0.045, 0.065, 0.035, 0.04, 0.28]
    assert bins / bins.sum() == pytest.approx(shares, abs=0.005)


def test_prompts_are_uniform_and_tell_nothing_of_the_output(drawn: np.ndarray) -> None:
    prompt, output = drawn.T
    assert (prompt.min(), prompt.max()) == (15 + 10, 60 + 10)
    assert prompt.mean() == pytest.approx(47.5, rel=0.01)
    assert np.corrcoef(prompt, output)[0, 1] == pytest.approx(0.0, abs=0.01)
