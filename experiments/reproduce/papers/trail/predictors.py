"""Study: the predictors of the shipped configurations on the lengths of the shipped workload."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.compose import compose
from experiments.reproduce.accepted import Band, Finding, Order
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from models.prediction import Asked
from sim.core.run import instantiate

REQUESTS, SEEDS = 2000, 8
#: Ages of a request at which its path is judged, as the release samples them.
AGES = 16
NAMES = ("prompt_classifier", "trail_paper", "trail_release")
REFINED = "trail_paper"
#: Tokens at which answers are cut off.
CAP = 512

#: Mean absolute error in tokens of each seed, by predictor and "smoothed" or "raw"; and mean
#: predictions for answers that reach the cap.
Errors = dict[str, list[float]]


def simulate(workers: Workers) -> Errors:
    """All seeds."""
    found = workers.map(errors, range(SEEDS * (5 if workers.full else 1)))
    return {name: [one[name] for one in found] for name in found[0]}


def errors(seed: int) -> dict[str, float]:
    """Mean absolute errors in tokens: of the prompt's classifier once for each request, of a
    refined one over even ages. And the mean remainder predicted for answers that reach the cap,
    on arrival and after a token."""
    rng = np.random.default_rng(seed)
    workload = instantiate("workload", compose(["workload=alpaca"]).workload)
    lengths = workload.output.sample(rng, REQUESTS).tolist()
    prompt = _predictor("prompt_classifier")
    first = [prompt.predict(1, n, rng) for n in lengths]
    capped = [i for i, n in enumerate(lengths) if n == CAP]
    found = {
        "prompt": float(np.mean(np.abs(np.subtract(first, lengths)))),
        "capped, on arrival": float(np.mean([first[i] for i in capped])),
    }
    asked = [Asked(i, 1, n, r) for i, (n, r) in enumerate(zip(lengths, first, strict=True))]
    for name in NAMES[1:]:
        for how, smoothed in (("raw", False), ("smoothed", True)):
            predictor = _predictor(name, f"predictor.smoothed={smoothed}", "predictor.every=1")
            paths = predictor.paths(asked, seed)
            found[f"{name}, {how}"] = _path_error(asked, paths)
            if (name, how) == (REFINED, "smoothed"):
                looks = [paths[i][1] for i in capped]
                found["capped, after a token"] = float(np.mean(looks))
    return found


def _predictor(name: str, *settings: str) -> Any:
    return instantiate("predictor", compose([f"predictor={name}", *settings]).predictor)


def _path_error(asked: list[Asked], paths: list[Any]) -> float:
    misses = []
    for request, path in zip(asked, paths, strict=True):
        n = request.output_tokens
        count = min(AGES, n)
        ages = np.arange(count) * n // count
        misses.append(np.abs(np.asarray(path)[ages] - (n - ages)))
    return float(np.mean(np.concatenate(misses)))


def ratio(found: Errors) -> Estimate:
    """Error of the prompt's classifier over the smoothed one's."""
    pairs = zip(found["prompt"], found["trail_paper, smoothed"], strict=True)
    return mean_interval([a / b for a, b in pairs])


def by_smoothing(found: Errors, name: str) -> dict[str, Estimate]:
    return {how: mean_interval(found[f"{name}, {how}"]) for how in ("raw", "smoothed")}


PREDICTION = Study("predictors", simulate)

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="error-ratio",
        where="abstract",
        what="mean absolute error of the prompt's classifier over that of the smoothed refined one "
        "(predictor=trail_paper)",
        published="2.66",
        accepted=Band(2.2, 3.1),
        study=PREDICTION,
        measure=ratio,
        note="The errors of trail_paper are scaled to this ratio, so it is a check of the model "
        "against its own calibration, over other seeds, and no prediction",
    ),
    Claim(
        id="smoothing-helps",
        where="section 3",
        what="mean absolute error of the refined classifier (predictor=trail_paper)",
        published="smoothing lowers it",
        accepted=Order("raw", "smoothed"),
        study=PREDICTION,
        measure=lambda found: by_smoothing(found, "trail_paper"),
        unit="tokens",
    ),
    Claim(
        id="smoothing-helps-release",
        where="release",
        what="mean absolute error of the refined classifier as released (predictor=trail_release, "
        "a look at every token)",
        published="33.9 without smoothing",
        accepted=Order("raw", "smoothed"),
        study=PREDICTION,
        measure=lambda found: by_smoothing(found, "trail_release"),
        unit="tokens",
    ),
    Claim(
        id="prompt-error",
        where="release",
        what="mean absolute error of the prompt's classifier",
        published="46.1",
        accepted=Finding(),
        study=PREDICTION,
        measure=lambda found: mean_interval(found["prompt"]),
        unit="tokens",
    ),
    Claim(
        id="first-look",
        where="-",
        what="mean remainder predicted for answers that reach the cap of 512 tokens, on arrival by "
        "the prompt's classifier and after the first token by the refined one",
        published="-",
        accepted=Order("after a token", "on arrival"),
        study=PREDICTION,
        measure=lambda found: {
            when: mean_interval(found[f"capped, {when}"])
            for when in ("after a token", "on arrival")
        },
        unit="tokens",
        note="A long answer that has just begun looks longer than one that waits, which then takes "
        "its slot: under load every long request gets its first token soon, and then waits",
    ),
]
