"""Fits the errors of TRAIL's predictors: `python -m experiments.calibration.predictors`.

The lengths are the outputs of `configs/workload/alpaca.yaml`, at even quantiles. A prompt
classifier is judged once for each request by its whole length, a refined one by the remaining
length at 16 even ages of each request, as TRAIL's release (harvard-cns/TRAIL-llm-scheduling)
samples it; shorter outputs at every age. Nothing is drawn but the errors of paths, from a fixed
seed: every call gives the same constants.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.scoring import table
from models.length_prediction import PromptClassifier, RefinedClassifier
from models.length_prediction.bin_classifier import BinClassifier
from models.prediction import Asked

Floats: TypeAlias = NDArray[np.float64]
C = TypeVar("C", bound=BinClassifier)

SAMPLES = 16
SEED = 0


@dataclass(frozen=True)
class Scores:
    """Share of right bins, mean absolute error and bias in tokens, and cross-entropy (nats)."""

    accuracy: float
    mae_tokens: float
    bias_tokens: float
    cross_entropy: float


#: TRAIL's release, validation set: DistilBERT on the prompt (its cross-entropy is not known), and
#: the layer-11 classifier on one step (its bias is not known).
PROMPT = Scores(0.517, 46.1, -4.6, float("nan"))
REFINED = Scores(0.624, 33.9, float("nan"), 0.94)
#: Mean absolute error of the prompt's predictor over that of the smoothed one (TRAIL, abstract).
PAPER_RATIO = 2.66


def alpaca_lengths(count: int) -> Floats:
    """Output tokens of TRAIL's workload at `count` even quantiles."""
    from experiments.compose import compose
    from sim.core.run import instantiate

    workload = instantiate("workload", compose(["workload=alpaca"]).workload)
    lengths: Floats = workload.output.at((np.arange(count) + 0.5) / count).astype(np.float64)
    return lengths


def sampled_ages(output_tokens: int) -> NDArray[np.int64]:
    """At most `SAMPLES` even ages of a request."""
    count = min(SAMPLES, output_tokens)
    return np.arange(count) * output_tokens // count


def remaining_lengths(lengths: Floats) -> Floats:
    """Remaining tokens at the sampled ages of all requests."""
    return np.concatenate([n - sampled_ages(int(n)) for n in lengths])


def scores(classifier: BinClassifier, lengths: Floats) -> Scores:
    """Of one look at each of `lengths`, over errors at 100 even quantiles."""
    from scipy.special import ndtr, ndtri

    width, top = classifier.width_tokens, classifier.bins - 1
    true = np.minimum(lengths // width, top).astype(np.int64)
    deviations = classifier.error_tokens + classifier.error_share * lengths
    lower = np.where(true == 0, -np.inf, (true * width - lengths) / deviations)
    upper = np.where(true == top, np.inf, ((true + 1) * width - lengths) / deviations)
    errors = ndtri((np.arange(100) + 0.5) / 100)
    weights = classifier.weights(classifier.seen(lengths, errors[:, None]))
    misses = classifier.expected(weights) - lengths
    right = weights[:, true, np.arange(len(lengths))] / weights.sum(axis=1)
    return Scores(
        float(np.mean(ndtr(upper) - ndtr(lower))),
        float(np.mean(np.abs(misses))),
        float(np.mean(misses)),
        float(-np.mean(np.log(np.maximum(right, 1e-300)))),
    )


def path_mae(predictor: RefinedClassifier, lengths: Floats, every_token: bool = False) -> float:
    """Mean absolute error of paths, in tokens, over the sampled ages or over all tokens."""
    asked = [Asked(number, 1, int(n), float(n)) for number, n in enumerate(lengths)]
    misses = []
    for request, path in zip(asked, predictor.paths(asked, SEED), strict=True):
        n = request.output_tokens
        ages = np.arange(n) if every_token else sampled_ages(n)
        misses.append(np.abs(np.array(path)[ages] - (n - ages)))
    return float(np.mean(np.concatenate(misses)))


def fit_prompt() -> PromptClassifier:
    """Accuracy, mean absolute error and bias of the release's prompt classifier, all met."""
    lengths = alpaca_lengths(800)

    def misses(values: Sequence[float]) -> list[float]:
        found = scores(_with(PromptClassifier(), values), lengths)
        return [
            (found.accuracy - PROMPT.accuracy) / 1e-2,
            found.mae_tokens - PROMPT.mae_tokens,
            found.bias_tokens - PROMPT.bias_tokens,
        ]

    return _with(PromptClassifier(), _least(misses, (50.0, 0.02, 60.0)))


def fit_release() -> RefinedClassifier:
    """Accuracy and mean absolute error of the release's refined classifier, unsmoothed, are met;
    of the constants that do, those whose cross-entropy comes nearest."""
    lengths = remaining_lengths(alpaca_lengths(200))

    def misses(values: Sequence[float]) -> list[float]:
        found = scores(_with(RefinedClassifier(), values), lengths)
        return [
            (found.accuracy - REFINED.accuracy) / 1e-4,
            (found.mae_tokens - REFINED.mae_tokens) / 1e-2,
            found.cross_entropy - REFINED.cross_entropy,
        ]

    return _with(RefinedClassifier(), _least(misses, (15.0, 0.15, 60.0)))


def fit_paper(release: RefinedClassifier) -> RefinedClassifier:
    """The release's classifier with all errors scaled until the smoothed error is the prompt's
    over `PAPER_RATIO`."""
    from scipy.optimize import brentq

    lengths = alpaca_lengths(2000)
    wanted = PROMPT.mae_tokens / PAPER_RATIO
    factor = brentq(
        lambda factor: path_mae(_scaled(release, factor), lengths) - wanted, 0.2, 1.0, xtol=1e-4
    )
    return _scaled(release, factor)


def _scaled(classifier: RefinedClassifier, factor: float) -> RefinedClassifier:
    return replace(
        classifier,
        error_tokens=factor * classifier.error_tokens,
        error_share=factor * classifier.error_share,
    )


def _with(classifier: C, values: Sequence[float]) -> C:
    error_tokens, error_share, spread_tokens = map(float, values)
    return replace(
        classifier,
        error_tokens=error_tokens,
        error_share=error_share,
        spread_tokens=spread_tokens,
    )


def _least(
    misses: Callable[[Sequence[float]], Sequence[float]], start: Sequence[float]
) -> list[float]:
    """Positive values with the least sum of squares, from `start`."""
    from scipy.optimize import least_squares

    found = least_squares(lambda logs: misses(np.exp(logs)), np.log(start), diff_step=1e-4)
    values: list[float] = np.exp(found.x).tolist()
    return values


def main() -> int:
    """Print the fitted constants and what they give."""
    prompt = fit_prompt()
    release = fit_release()
    paper = fit_paper(release)
    lengths = alpaca_lengths(500)
    remaining = remaining_lengths(lengths)
    print("one look; the release: 0.517, 46.1, -4.6 (prompt) and 0.624, 33.9, 0.94 (refined)\n")
    rows = []
    for name, classifier, sample in (
        ("prompt", prompt, lengths),
        ("refined, release", release, remaining),
        ("refined, paper", paper, remaining),
    ):
        found = scores(classifier, sample)
        rows.append(
            [
                name,
                f"{classifier.error_tokens:.3g}",
                f"{classifier.error_share:.3g}",
                f"{classifier.spread_tokens:.3g}",
                f"{found.accuracy:.3f}",
                f"{found.mae_tokens:.1f}",
                f"{found.bias_tokens:+.1f}",
                f"{found.cross_entropy:.2f}",
            ]
        )
    headings = ["error_tokens", "error_share", "spread_tokens"]
    print(table(["classifier", *headings, "accuracy", "MAE", "bias", "cross-entropy"], rows))
    print("\npaths: MAE at 16 ages a request, and how often it goes into the prompt's 46.1\n")
    lengths = alpaca_lengths(3000)
    rows = []
    for name, kept in (("release", release), ("paper", paper)):
        for how, predictor in (
            ("raw", replace(kept, smoothed=False)),
            ("smoothed", kept),
            ("smoothed, clipped", replace(kept, clipped=True)),
            ("smoothed, every 8", replace(kept, every=8)),
        ):
            mae = path_mae(predictor, lengths)
            whole = path_mae(predictor, lengths, every_token=True)
            rows.append(
                [f"{name}, {how}", f"{mae:.1f}", f"{PROMPT.mae_tokens / mae:.2f}", f"{whole:.1f}"]
            )
    print(table(["refined", "MAE", "ratio", "MAE of all tokens"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
