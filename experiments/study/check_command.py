"""`orrery check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from experiments.study.baselines import Change
    from experiments.study.check import Verdict

DEFAULT = Path("tests") / "baselines"
EPILOG = """\
examples:
  orrery check                        the baselines of this repository, in tests/baselines
  orrery check mine                   all .yaml files of your folder
  orrery check mine/slow.yaml --update

A baseline is a YAML file:

  # what it shows
  settings: [ordering=shortest_job_first, predictor=oracle, workload.count=200]
  tolerances:                         # patterns of names; the last that fits counts (1e-9)
    "*": {relative: 1.0e-6}
    "*.p99": {relative: 0.01, absolute: 0.001}
  metrics:                            # leave empty: `orrery check FILE --update` fills it

Exit code 0 when all agree (or were updated), 1 when one differs, 2 when one cannot be read or run.
"""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "check",
        help="run stored experiments again and compare their summaries",
        description="Run the experiments of stored baselines again and compare every metric with "
        "its stored value, within its tolerance.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "places", nargs="*", metavar="PATH", help=f"folders or files of baselines ({DEFAULT})"
    )
    parser.add_argument(
        "--update", action="store_true", help="write what differs into the files, for review"
    )
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes (all cores)")
    parser.add_argument("--config-dir", metavar="DIR", help="folder of your configuration groups")
    parser.set_defaults(do=_check)


def _check(arguments: argparse.Namespace) -> int:
    from experiments.study.check import check
    from experiments.study.options import workers

    verdicts = check(
        arguments.places or [_default()],
        update=arguments.update,
        config_dir=arguments.config_dir,
        workers=workers(arguments.jobs),
        progress=sys.stderr.isatty(),
    )
    changed = [verdict for verdict in verdicts if verdict.changes]
    failed = [verdict for verdict in verdicts if verdict.error]
    if changed:
        print(_table(changed))
    for verdict in failed:
        print(f"orrery: {verdict.baseline.path}: {verdict.error}", file=sys.stderr)
    print(_counts(verdicts, arguments.update))
    if failed:
        return 2
    return 0 if arguments.update or not changed else 1


def _default() -> Path:
    if not DEFAULT.is_dir():
        raise ConfigError(f"check: there is no folder {DEFAULT} here; name one of baselines")
    return DEFAULT


def _table(verdicts: list[Verdict]) -> str:
    from experiments.study.tables import text_table

    rows = []
    for verdict in verdicts:
        for change in verdict.changes:
            rows.append([verdict.baseline.path.stem, *_cells(change)])
    headings = ["baseline", "metric", "stored", "now", "change", "tolerance"]
    return text_table(headings, rows, left=2)


def _cells(change: Change) -> list[str]:
    stored, now = _text(change.stored), _text(change.now)
    how = change.kind
    if change.kind == "appeared":
        stored = ""
    elif change.kind == "disappeared":
        now = ""
    elif isinstance(change.stored, int | float) and isinstance(change.now, int | float):
        difference = change.now - change.stored
        how = f"{difference / abs(change.stored):+.2e}" if change.stored else f"{difference:+.3g}"
    return [change.metric, stored, now, how, str(change.tolerance)]


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _counts(verdicts: list[Verdict], updated: bool) -> str:
    from experiments.report.formats import plural

    changed = sum(1 for verdict in verdicts if verdict.changes)
    failed = sum(1 for verdict in verdicts if verdict.error)
    agree = len(verdicts) - changed - failed
    parts = [f"{agree} agree"]
    if changed:
        parts.append(f"{changed} {'updated' if updated else 'differ'}")
    if failed:
        parts.append(f"{failed} did not run")
    return f"{plural(len(verdicts), 'baseline')}: {', '.join(parts)}"
