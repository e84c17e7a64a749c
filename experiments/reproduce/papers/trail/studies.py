"""The simulations, each shared by several claims."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.reproduce.claim import Study
from experiments.reproduce.papers.trail import toy
from experiments.reproduce.papers.trail.outcome import Figures, figures
from experiments.reproduce.papers.trail.settings import POLICIES, SYSTEMS, noisy, settings
from experiments.reproduce.runs import sweep
from experiments.reproduce.workers import Workers

#: Figures by policy (or setting) and rate, one for each seed; the rate is infinite in a burst.
Runs = dict[tuple[str, float], list[Figures]]

SEEDS = 8
RATES = (5.0, 10.0, 12.0, 14.0, 20.0, 30.0)
#: The rate at which policies are compared: half as much again as 48 slots serve.
LOADED = 20.0
BURST = float("inf")
#: Rates and requests of the runs with vLLM's 256 slots.
WIDE_RATES, WIDE_REQUESTS = (20.0, 30.0, 40.0, 60.0), 4000
LOCKS = (0.0, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0)
#: KV blocks of 16 tokens where memory is short: those of 48 requests hold 800 or so on average.
SHORT, SHORTER = 1000, 600
#: Mean absolute error in tokens of the noise on exact predictions, and its correlations.
NOISE, CORRELATIONS = 34.0, (1.0, 0.99, 0.9)
MARGINS = (0, 50)


def compare_rates(workers: Workers) -> Runs:
    """The paper's systems along the rates and in a burst, 48 slots; others at the loaded rate."""
    points: dict[tuple[str, float], list[str]] = {}
    for name in SYSTEMS:
        for rate in RATES:
            points[name, rate] = settings(POLICIES[name], rate)
        points[name, BURST] = settings(POLICIES[name], None)
    for name in POLICIES:
        points.setdefault((name, LOADED), settings(POLICIES[name], LOADED))
    return _run(points, workers)


def compare_wide(workers: Workers) -> Runs:
    """The paper's systems with 256 slots."""
    return _run(
        {
            (name, rate): settings(POLICIES[name], rate, slots=256, requests=WIDE_REQUESTS)
            for name in SYSTEMS
            for rate in WIDE_RATES
        },
        workers,
        SEEDS // 2,
    )


def lock(workers: Workers) -> Runs:
    """TRAIL by C at the loaded rate, KV as the card has it and short."""
    points = {}
    for name, blocks in (("ample", None), ("short", SHORT)):
        for share in LOCKS:
            policy = (*POLICIES["TRAIL"], f"ordering.lock_share={share}")
            points[f"{name}, C = {share:g}", LOADED] = settings(policy, LOADED, kv_blocks=blocks)
    return _run(points, workers)


def vary_noise(workers: Workers) -> Runs:
    """Exact predictions with noise, by how much it is alike from token to token."""
    return _run(
        {
            (f"correlation {correlation:g}", LOADED): settings(noisy(NOISE, correlation), LOADED)
            for correlation in CORRELATIONS
        },
        workers,
    )


def vary_ranks(workers: Workers) -> Runs:
    """The paper's and the release's rules of rank, and margins, with the release's predictor."""
    ways = {"paper": ("ordering=trail",)} | {
        f"release, margin {margin}": ("ordering=trail_release", f"ordering.margin_tokens={margin}")
        for margin in MARGINS
    }
    points = {
        (f"{way}, {name}", LOADED): settings(
            (*words, "predictor=trail_release"), LOADED, kv_blocks=blocks
        )
        for way, words in ways.items()
        for name, blocks in (("ample", None), ("shorter", SHORTER))
    }
    return _run(points, workers)


def serve_toy(workers: Workers) -> Runs:
    """The reference run of the toy server, above and below saturation."""
    return _run(
        {
            (name, rate): settings(
                policy, rate, slots=toy.SLOTS, requests=toy.REQUESTS, served=toy.SERVED
            )
            for name, policy in toy.POLICIES.items()
            for rate in (toy.RATE_RPS, toy.LIGHT_RPS)
        },
        workers,
    )


def _run(
    points: Mapping[tuple[str, float], list[str]], workers: Workers, seeds: int = SEEDS
) -> Runs:
    numbers = range(4 * seeds if workers.full else seeds)
    names = {f"{name} @ {rate}": (name, rate) for name, rate in points}
    found = sweep({name: points[at] for name, at in names.items()}, numbers, figures, workers)
    return {at: found[name] for name, at in names.items()}


BY_RATE = Study("rates", compare_rates)
WIDE = Study("256 slots", compare_wide)
BY_LOCK = Study("lock", lock)
BY_NOISE = Study("noise", vary_noise)
BY_RANK = Study("ranks", vary_ranks)
TOY = Study("toy", serve_toy)
