"""The simulations, each shared by several claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.reproduce.claim import Study, data_file
from experiments.reproduce.papers.lamps.outcome import Figures, figures
from experiments.reproduce.papers.lamps.settings import VICUNA, settings
from experiments.reproduce.runs import sweep
from experiments.reproduce.workers import Workers

#: Figures by system (or setting) and rate, one for each seed.
Runs = dict[tuple[str, float], list[Figures]]

RATES = (3.0, 4.0, 5.0, 6.0)
#: Rates of the curve of normalised latency, by system.
CURVES = {
    "vLLM": (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0),
    "InferCept": (2.0, 3.0, 4.0, 5.0, 6.0),
}
COMPARED = ("InferCept", "LAMPS", "LAMPS as released")
PAIR = ("InferCept", "LAMPS as released")
KIND_RATES = (0.5, 2.0, 6.0)
CAPACITY_RATES = (1.0, 1.5, 2.0, 2.5, 3.0)
#: InferCept step by step, all of them with swap where they use it.
STEPS = (
    "vLLM",
    "improved discard",
    "preserve",
    "swap",
    "InferCept without discard",
    "InferCept without swap",
    "InferCept",
)
#: At 7 requests/s, more than LAMPS can serve: orders of admission under the same handling.
ORDERS = (
    "InferCept, durations known",
    "LAMPS without scheduling",
    "SJF",
    "SJF with calls",
    "LAMPS",
)
#: LAMPS as released, with one thing changed.
VARIANTS: dict[str, tuple[str, ...]] = {
    "LAMPS as released": (),
    "nobody starves": ("ordering.starvation_iterations=null",),
    "ranks made anew each 10 iterations": ("ordering.refresh_iterations=10",),
    "the release's score": (
        "ordering.released={_target_:models.tool_calls.released_score.ReleasedScore}",
    ),
}
FILE = "augmented_requests.jsonl"
_KINDS = "+observers.kinds={_target_:experiments.reproduce.papers.lamps.call_kinds.CallKinds}"


def compare_rates(workers: Workers) -> Runs:
    """The systems along the rates, generated mix, GPT-J, no swap, windows of 1,800 s."""
    rates: dict[str, tuple[float, ...]] = dict.fromkeys(
        ("LAMPS without scheduling", "LAMPS", "LAMPS as released"), RATES
    )
    rates |= CURVES
    rates["InferCept, durations known"] = (6.0,)
    points = [(system, rate) for system, each in rates.items() for rate in each]
    return _run({point: settings(*point) for point in points}, 3, workers)


def compare_vicuna(workers: Workers) -> Runs:
    """Vicuna-13B on two GPUs."""
    return _compare(workers, (6.0,), profile=VICUNA)


def compare_vicuna_single(workers: Workers) -> Runs:
    """Vicuna-13B on two GPUs, one call a request."""
    return _compare(workers, (6.0,), PAIR, profile=VICUNA, requests="mix, one call")


def compare_swap(workers: Workers) -> Runs:
    """KV may be swapped, hidden behind the iterations."""
    lamps = ("LAMPS without scheduling", "LAMPS as released")
    found = _compare(workers, (6.0,), ("InferCept", "LAMPS", *lamps), swap=True)
    return {**found, **_compare(workers, (8.0,), lamps, swap=True)}


def compare_steps(workers: Workers) -> Runs:
    """InferCept and what it improves on, step by step."""
    points = {}
    for system in STEPS:
        name = system.removesuffix(" without swap")
        points[system, 4.0] = settings(name, 4.0, window_s=600.0, swap=name == system)
    return _run(points, 3, workers)


def compare_overloaded(workers: Workers) -> Runs:
    """Orders of admission, and LAMPS as released with one thing changed, beyond capacity."""
    points = {(system, 7.0): settings(system, 7.0, window_s=900.0) for system in ORDERS}
    for name, extra in VARIANTS.items():
        points[name, 7.0] = settings("LAMPS as released", 7.0, window_s=900.0, extra=extra)
    return _run(points, 3, workers)


def compare_single(workers: Workers) -> Runs:
    """One call a request, generated."""
    return _compare(workers, (6.0, 16.0), PAIR, requests="mix, one call")


def compare_file(workers: Workers) -> Runs:
    """The released requests."""
    return _compare(workers, (6.0,), requests="file", path=str(data_file(FILE)))


def compare_file_single(workers: Workers) -> Runs:
    """The released requests, one call each."""
    path = str(data_file(FILE))
    return _compare(workers, (6.0,), PAIR, requests="file, one call", path=path)


def compare_waste(workers: Workers) -> Runs:
    """The releases' formula of waste."""
    return _compare(workers, (6.0,), released_waste=True)


def compare_kinds(workers: Workers) -> Runs:
    """What becomes of KV by kind, with the papers' equation and the releases' formula."""
    lamps = "LAMPS without scheduling"
    points = {}
    for name, system in (("InferCept",) * 2, (lamps,) * 2, (f"{lamps}, released waste", lamps)):
        for rate in KIND_RATES:
            points[name, rate] = settings(
                system, rate, window_s=600.0, released_waste=name != system, extra=(_KINDS,)
            )
    return _run(points, 3, workers)


def find_capacity(workers: Workers) -> Runs:
    """Preserving always, against discarding."""
    points = [("preserve", rate) for rate in CAPACITY_RATES]
    points.append(("improved discard", CAPACITY_RATES[-1]))
    return _run({point: settings(*point, window_s=900.0) for point in points}, 3, workers)


def predict(workers: Workers) -> Runs:
    """LAMPS as released under predictions, beyond its capacity."""
    rate = 7.0
    ways: dict[str, tuple[str, ...]] = {
        "oracle": (),
        "mean duration of the kind": ("call_predictor=class_mean",),
        "lengths in bins": ("predictor=lamps_bins",),
        "both": ("call_predictor=class_mean", "predictor=lamps_bins"),
    }
    points = {
        (name, rate): settings("LAMPS as released", rate, window_s=900.0, extra=extra)
        for name, extra in ways.items()
    }
    return _run(points, 3, workers)


def count_calls(workers: Workers) -> Runs:
    """Requests in calls, sampled each second."""
    extra = ("series_interval_s=1.0",)
    points = {
        ("LAMPS", rate): settings("LAMPS", rate, window_s=900.0, extra=extra) for rate in (1.0, 4.0)
    }
    return _run(points, 4, workers)


def _compare(
    workers: Workers,
    rates: Sequence[float],
    systems: Sequence[str] = COMPARED,
    **options: Any,
) -> Runs:
    window_s = 1800.0 if workers.full else 900.0
    points = {
        (system, rate): settings(system, rate, window_s=window_s, **options)
        for system in systems
        for rate in rates
    }
    return _run(points, 3, workers)


def _run(points: Mapping[tuple[str, float], list[str]], seeds: int, workers: Workers) -> Runs:
    numbers = range(3 * seeds if workers.full else seeds)
    names = {f"{system} @ {rate}": (system, rate) for system, rate in points}
    found = sweep({name: points[at] for name, at in names.items()}, numbers, figures, workers)
    return {at: found[name] for name, at in names.items()}


BY_RATE = Study("rates", compare_rates)
ON_VICUNA = Study("vicuna", compare_vicuna)
ON_VICUNA_ONE_CALL = Study("vicuna, one call", compare_vicuna_single)
WITH_SWAP = Study("swap", compare_swap)
BY_STEP = Study("steps", compare_steps)
OVERLOADED = Study("overloaded", compare_overloaded)
ONE_CALL = Study("one call", compare_single)
OF_FILE = Study("file", compare_file)
OF_FILE_ONE_CALL = Study("file, one call", compare_file_single)
RELEASED_WASTE = Study("released waste", compare_waste)
BY_KIND = Study("kinds", compare_kinds)
CAPACITY = Study("capacity", find_capacity)
PREDICTIONS = Study("predictions", predict)
IN_CALLS = Study("calls", count_calls)
