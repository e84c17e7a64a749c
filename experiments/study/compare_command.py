"""`orrery compare`."""

from __future__ import annotations

import argparse
import sys
from math import ceil, floor, log10
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from experiments.study.compare import Comparison, Contrast
    from experiments.study.intervals import Interval
    from experiments.study.warm_up import WarmUp

EPILOG = """\
examples:
  orrery compare arrivals.rate_rps=8 -a ordering=fcfs \\
                 -b ordering=shortest_job_first predictor=oracle
  orrery compare -a replicas=2 -b replicas=3 -- arrivals.rate_rps=12 workload.count=500
  orrery compare -b engine.max_sequences=64 --replications 20 --metric ttft_s.p99 energy_j
  orrery compare -a ordering=fcfs -b ordering=shortest_job_first predictor=oracle --warm-up 0.1 \\
                 --detect 5%

Settings before -a, or after --, hold for both arms. Without -a, A has the defaults.
"""
#: Arms whose lengths differ by more, as a share of the longer, say so beside their totals.
_AS_LONG = 0.01


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "compare",
        help="two sets of settings over replications, with intervals",
        description="Run A and B with several seeds and say of each metric how far they differ: "
        "B minus A with its interval, whether that excludes 0, and how many seeds would resolve "
        "a difference of the size that --detect gives. Both arms use the same seeds (common "
        "random numbers, paired differences) unless --independent. Intervals: Student's t.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="for both arms")
    parser.add_argument("-a", nargs="*", default=[], metavar="SETTING", help="settings of A")
    parser.add_argument("-b", nargs="*", default=[], metavar="SETTING", help="settings of B")
    parser.add_argument(
        "-n", "--replications", type=int, default=10, metavar="N", help="seeds an arm (10)"
    )
    parser.add_argument(
        "--independent", action="store_true", help="other seeds for B than for A (Welch)"
    )
    parser.add_argument(
        "--warm-up",
        metavar="PART",
        help="requests left out of latencies: 0.1 or 10%% of them, by arrival, or 30s: those that "
        "arrive in the first 30 simulated seconds (none)",
    )
    parser.add_argument(
        "--metric", nargs="+", action="extend", metavar="NAME", help="e.g. ttft_s.p99 (a few)"
    )
    parser.add_argument("--all", action="store_true", help="print every metric")
    parser.add_argument(
        "--detect", default="2%", metavar="SHARE", help="difference to find, of A's mean (2%%)"
    )
    parser.add_argument(
        "--power", type=float, default=0.9, help="with this probability (%(default)s)"
    )
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals (%(default)s)")
    parser.add_argument("--out", metavar="FILE", help="write the table too: .csv or .parquet")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes (all cores)")
    parser.add_argument("--config-dir", metavar="DIR", help="folder of your configuration groups")
    parser.set_defaults(do=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from functools import partial

    from experiments.study.compare import compare
    from experiments.study.metrics import choose, headline
    from experiments.study.options import share_of, workers
    from experiments.study.replication import replicate
    from experiments.study.tables import check_table_path
    from experiments.study.warm_up import WarmUp

    if not arguments.a and not arguments.b:
        raise ConfigError("compare: give settings for A (-a), B (-b) or both")
    warm_up = WarmUp.read(arguments.warm_up) if arguments.warm_up else WarmUp()
    count, detect = arguments.replications, share_of("--detect", arguments.detect)
    if not 0.5 <= arguments.power < 1.0:
        raise ConfigError(f"--power: {arguments.power} is not in [0.5, 1)")
    if not 0.0 < arguments.level < 1.0:
        raise ConfigError(f"--level: {arguments.level} is not in (0, 1)")
    if arguments.out:
        check_table_path(Path(arguments.out))
    comparison = compare(
        arguments.a,
        arguments.b,
        arguments.settings,
        range(count),
        seeds_b=range(count, 2 * count) if arguments.independent else None,
        detect=detect,
        power=arguments.power,
        level=arguments.level,
        measure=partial(replicate, config_dir=arguments.config_dir, warm_up=warm_up),
        workers=workers(arguments.jobs),
        progress=sys.stderr.isatty(),
    )
    names = list(comparison.contrasts)
    shown = choose(arguments.metric, names) if arguments.metric else headline(names)
    shown = names if arguments.all else shown
    print("\n".join(_heading(arguments, comparison, warm_up)))
    unlike = _unlike(comparison)
    print(_table(comparison, shown, arguments.detect, bool(warm_up), bool(unlike)))
    if unlike:
        print(unlike)
    print("\n".join(_advice(comparison, shown, arguments, bool(warm_up))))
    if arguments.out:
        from experiments.study.tables import write_table

        write_table(comparison.frame(), Path(arguments.out))
        print(f"table: {arguments.out}")
    return 0


def _heading(arguments: argparse.Namespace, comparison: Comparison, warm_up: WarmUp) -> list[str]:
    seeds_a, seeds_b = comparison.seeds_a, comparison.seeds_b
    how = (
        f"seeds {seeds_a[0]} to {seeds_a[-1]} in both arms (common random numbers), paired "
        "differences"
        if comparison.paired
        else f"seeds {seeds_a[0]} to {seeds_a[-1]} for A, {seeds_b[0]} to {seeds_b[-1]} for B, "
        "Welch's interval"
    )
    return [
        f"A:    {' '.join(arguments.a) or '(the defaults)'}",
        f"B:    {' '.join(arguments.b) or '(the defaults)'}",
        f"both: {' '.join(arguments.settings) or '(the defaults)'}",
        f"{len(seeds_a)} replications an arm: {how}",
        f"intervals: {100 * arguments.level:g} %, Student's t",
        f"warm-up: {warm_up}",
        "",
    ]


def _unlike(comparison: Comparison) -> str:
    """What is to be known of totals where the arms' runs differ in length; nothing where they last
    about as long, seed by seed if they are paired."""
    from experiments.report.formats import seconds

    a, b = (
        [float(value) for value in comparison.values[arm].get("simulated_s", ()) if value]
        for arm in ("A", "B")
    )
    if not (a and b):
        return ""
    mean_a, mean_b = fmean(a), fmean(b)
    apart_s = abs(mean_b - mean_a)
    if comparison.paired:
        apart_s = fmean(abs(y - x) for x, y in zip(a, b, strict=True))
    if apart_s <= _AS_LONG * max(mean_a, mean_b):
        return ""
    return (
        f"#: a total over runs that do not last as long: A {seconds(mean_a)} on average, B "
        f"{seconds(mean_b)} (simulated_s), {seconds(apart_s)} apart. It counts what stands "
        "idle in the longer run, and rates are over its time; with "
        f"idle_until_s={ceil(max(*a, *b))} or more for both, all runs end together"
    )


def _table(comparison: Comparison, names: list[str], detect: str, warm: bool, unlike: bool) -> str:
    from experiments.study.tables import text_table

    headings = ["metric", "A", "B", "B - A", "of A", "resolved", f"seeds for {detect}"]
    rows = [_row(comparison[name], warm, unlike) for name in names]
    return text_table(headings, rows)


def _row(contrast: Contrast, warm: bool, unlike: bool) -> list[str]:
    from experiments.report.formats import DASH
    from experiments.study.metrics import is_total
    from experiments.study.warm_up import WarmUp

    name = contrast.metric
    if warm and not WarmUp.covers(name):
        name += " *"
    if unlike and is_total(contrast.metric):
        name += " #"
    if contrast.a is None or contrast.b is None or contrast.difference is None:
        return [name, contrast.why_not, *[DASH] * 5]
    share = contrast.share
    if contrast.difference.estimate == contrast.difference.half_width == 0.0:
        verdict = "equal"
    else:
        verdict = "yes" if contrast.resolved else "no"
    return [
        name,
        _with_half_width(contrast.a),
        _with_half_width(contrast.b),
        _with_half_width(contrast.difference, "+"),
        DASH if share is None else f"{share.estimate:+.2%} ± {share.half_width:.2%}",
        verdict,
        DASH if contrast.seeds is None else f"{contrast.seeds:,}",
    ]


def _with_half_width(interval: Interval, sign: str = "") -> str:
    """As many digits as the interval makes worth reading."""
    from experiments.report.formats import digits

    half = interval.half_width
    if half == 0.0:
        return f"{digits(interval.estimate, 4)} ± 0"
    places = min(max(0, 1 - floor(log10(half))), 12)
    return f"{interval.estimate:{sign},.{places}f} ± {half:,.{places}f}"


def _advice(
    comparison: Comparison, names: list[str], arguments: argparse.Namespace, warm: bool
) -> list[str]:
    """What the table means, and whether the replications were enough."""
    lines = [
        "resolved: the interval of B - A excludes 0 (as does that of about one in "
        f"{1 / (1 - arguments.level):.0f} metrics that do not differ)"
    ]
    if warm:
        lines.append("*: counts the whole run, warm-up included")
    wanted = {name: seeds for name in names if (seeds := comparison[name].seeds) is not None}
    if wanted:
        most = max(wanted, key=lambda name: wanted[name])
        need, have = wanted[most], len(comparison.seeds_a)
        lines.append(
            f"to resolve a difference of {arguments.detect} of A's mean in each metric above with "
            f"{100 * arguments.power:g} % power: {need:,} replications ({most} needs most); the "
            f"present {have} are {'enough' if have >= need else 'not enough'}"
        )
    return lines
