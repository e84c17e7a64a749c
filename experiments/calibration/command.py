"""The command that compares the cost model, and whole runs, with measurements."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from experiments.calibration import catalogue, collectives, iterations, layers, profiles
from experiments.calibration.scoring import HEADINGS, score, table
from models.errors import ConfigError, OrreryError

#: Accepted errors of matrix operators on rows kept from the fit: median, 90th percentile.
A100_BOUNDS = (0.07, 0.20)
A40_MEDIAN = 0.09
#: Accepted median errors on rows kept from the fit: collectives, and time per token.
COLLECTIVE_MEDIAN = 0.10
TOKEN_MEDIAN = 0.10
CARDS = {"a100": "a100-80-sxm", "a40": "a40"}
STACK = "vllm_hopper_fp8"


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Exit code 0 where the errors are within their bounds, 1 where not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog=prog or "python -m experiments.calibration",
        description="Compare the cost model and whole runs with measurements: errors on rows that "
        "were kept from the fit. Exit code 0 where they are within their bounds, 1 where not.",
    )
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "layers": layers_command,
        "collectives": collectives_command,
        "iterations": iterations_command,
        "serving": serving_command,
    }
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"{', '.join(commands)} (default: all of them)"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="folder of the measurements (default: $ORRERY_DATA)"
    )
    parser.add_argument(
        "--fit", action="store_true", help="serving: fit the constants anew (some minutes)"
    )
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.what:
            if name not in commands:
                raise ConfigError(f"{name}: no such comparison; there are {', '.join(commands)}")
        chosen.data = profiles.data_folder(chosen.data)
        worst = 0
        for number, name in enumerate(chosen.what or commands):
            if len(chosen.what) != 1:
                print(f"{chr(10) if number else ''}#### {name}\n", flush=True)
            worst = max(worst, commands[name](chosen))
    except OrreryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return worst


def layers_command(chosen: argparse.Namespace) -> int:
    """Fit and judge the constants of matrix and element-wise operators."""
    rows = profiles.read_layers(chosen.data / profiles.LAYERS)
    cards = {key: catalogue.gpu(name) for key, name in CARDS.items()}
    models = {key: catalogue.model(name) for key, name in layers.MODELS.items()}
    start = catalogue.efficiency("a100_profiled")
    good = True
    for alternate, split in (
        (False, "fit on rows with an even number of tokens"),
        (True, "fit on every other row, sorted by (card, model, degree, tokens)"),
    ):
        found = layers.study(rows, cards, models, alternate)
        fitted = layers.fit(found, "a100", start)
        print(f"== {split}")
        print(
            f"of peak compute {fitted.gemm_compute}, of memory bandwidth {fitted.gemm_memory}, "
            f"{fitted.kernel_s * 1e6:.2f} us a kernel; p = {fitted.roofline_exponent}; "
            f"element-wise: of memory bandwidth {fitted.elementwise_memory}, "
            f"{fitted.elementwise_kernel_s * 1e6:.2f} us a kernel\n"
        )
        kept = layers.judge(
            found, fitted, lambda p: p.gpu == "a100" and not p.fit and p.operator in layers.MATRICES
        )
        other = layers.judge(
            found, fitted, lambda p: p.gpu == "a40" and p.operator in layers.MATRICES
        )
        median, p90 = A100_BOUNDS
        passed = kept.median <= median and kept.p90 <= p90 and other.median <= A40_MEDIAN
        good = good and passed and kept.refused == 0 and other.refused == 0
        print(
            table(
                ["matrix operators", *HEADINGS],
                [
                    ["A100, rows kept from the fit", *kept.cells()],
                    ["A40, all rows, from its data sheet", *other.cells()],
                ],
            )
        )
        print(
            f"bounds: A100 median {median:.0%}, p90 {p90:.0%}; A40 median {A40_MEDIAN:.0%}: "
            f"{'within' if passed else 'EXCEEDED'}\n"
        )
    print("== in detail, the last split: A100, rows kept from the fit")
    print(layers.report(found, fitted, "a100", rest=True))
    print("\n== A40, all rows, from its data sheet")
    print(layers.report(found, fitted, "a40", rest=False))
    return 0 if good else 1


def collectives_command(chosen: argparse.Namespace) -> int:
    """Fit and judge the collectives within a node."""
    rows = profiles.read_collectives(chosen.data / profiles.COLLECTIVES)
    card = catalogue.gpu(CARDS["a100"])
    part, rest = collectives.halves(collectives.within_node(rows, "all_reduce"))
    some, others = collectives.halves(collectives.within_node(rows, "send_recv"))
    fitted = collectives.fit(part, card, catalogue.efficiency("a100_profiled"))
    fitted = collectives.fit_sends(some, card, fitted)
    print(
        f"all-reduce: of link bandwidth {fitted.link}, {fitted.collective_s * 1e6:.1f} us and "
        f"{fitted.collective_hop_s * 1e6:.2f} us a ring step; message: {fitted.send_link}, "
        f"{fitted.send_s * 1e6:.1f} us; every other row, sorted by (peers, bytes)\n"
    )
    print("all-reduce within a node, rows kept from the fit")
    print(collectives.report(rest, collectives.collectives(card, fitted)))
    print("\nsend and receive within a node, rows kept from the fit")
    print(collectives.report(others, collectives.sends(card, fitted)))
    outside = sum(1 for row in rows if row.peers != row.per_node)
    print(f"\nnot used: {outside} rows across nodes (the network's bandwidth is not in the file)")
    medians = [
        score((collectives.seconds(model, row), row.seconds) for row in kept).median
        for kept, model in (
            (rest, collectives.collectives(card, fitted)),
            (others, collectives.sends(card, fitted)),
        )
    ]
    return _bound("all-reduce and message", max(medians), COLLECTIVE_MEDIAN)


def iterations_command(chosen: argparse.Namespace) -> int:
    """Check whole iterations, fit the host's launch time and the power shares."""
    rows = profiles.read_iterations(chosen.data / profiles.ITERATIONS)
    models = {key: catalogue.model(name) for key, name in iterations.MODELS.items()}
    found = iterations.study(rows, catalogue.gpu(CARDS["a100"]), models)
    fitted = iterations.fit(found, catalogue.efficiency("a100_host_bound"))
    print(
        f"host {fitted.launch_per_layer_s * 1e3:.3f} ms a layer; dynamic power: compute "
        f"{fitted.power_compute}, memory {fitted.power_memory}; "
        f"{found.refused} rows refused (no room for their KV cache)\n"
    )
    print("every other row, kept from the fit; sorted by (model, degree, prompt, sequences)")
    print(iterations.report(found, fitted, found.rest))
    tokens = score(
        (iterations.predict(found, fitted, row).token_s, row.token_s) for row in found.rest
    )
    return _bound("time per token", tokens.median, TOKEN_MEDIAN)


def serving_command(chosen: argparse.Namespace) -> int:
    """Simulate the client of a serving benchmark for every row of vLLM."""
    from experiments.calibration import serving, serving_report
    from experiments.calibration.benchmark_client import BenchmarkClient
    from experiments.calibration.serving_fit import with_constants

    rows = profiles.read_serving(chosen.data / profiles.SERVING)
    found = serving.study(rows, BenchmarkClient.load())
    stack = catalogue.efficiency(STACK)
    if chosen.fit:
        splits = serving_report.refit(found, stack)
        stack = splits[serving.INTERLEAVED]
    else:
        stored = serving.stored_splits()
        splits = {name: with_constants(stack, values) for name, values in stored.items()}
    return 0 if serving_report.report(found, stack, splits) else 1


def _bound(what: str, median: float, bound: float) -> int:
    within = median <= bound
    print(f"\nbound: {what}, median {bound:.0%}: {'within' if within else 'EXCEEDED'}")
    return 0 if within else 1
