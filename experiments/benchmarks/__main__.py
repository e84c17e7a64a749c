"""`python -m experiments.benchmarks [NAME...]`: print the tables."""

from __future__ import annotations

import argparse

from experiments.benchmarks.dataplane_speed import print_dataplane
from experiments.benchmarks.neo_speed import print_neo
from experiments.benchmarks.serving_scale import print_scale
from experiments.benchmarks.serving_speed import print_scaling, print_speed
from experiments.benchmarks.trail_speed import print_trail
from experiments.benchmarks.use_meter import print_use


def main() -> None:
    """Run the benchmarks named, or all of them."""
    benchmarks = {
        "speed": print_speed,
        "scaling": print_scaling,
        "scale": print_scale,
        "trail": print_trail,
        "neo": print_neo,
        "dataplane": print_dataplane,
        "use": print_use,
    }
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument("--repeats", type=int, default=5, help="runs of each; the median counts")
    arguments = parser.parse_args()
    for name in arguments.names or benchmarks:
        if name not in benchmarks:
            parser.error(f"{name}: no such benchmark; there are {', '.join(benchmarks)}")
        benchmarks[name](arguments.repeats)


if __name__ == "__main__":
    main()
