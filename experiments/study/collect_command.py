"""`orrery collect`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

EPILOG = """\
examples:
  orrery collect rates                                writes rates/sweep.parquet, prints a table
  orrery collect rates --out rates.csv --out rates.parquet
  orrery collect rates --metric ttft_s.p99 serving.preemptions
"""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "collect",
        help="the members of a sweep as one table, a row each",
        description="Put the finished runs in DIR into one table: settings, and every metric. "
        "Exit code 0, 1 where members of the sweep are missing (they are named, the table holds "
        "the others), 2 for bad input.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="folder of a sweep, or of any runs")
    parser.add_argument(
        "--out",
        action="append",
        metavar="FILE",
        help=".parquet or .csv; may be given twice (DIR/sweep.parquet)",
    )
    parser.add_argument(
        "--metric",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="metrics to print, e.g. ttft_s.p99 (a few); the file holds all",
    )
    parser.set_defaults(do=_collect)


def _collect(arguments: argparse.Namespace) -> int:
    from experiments.report.formats import plural
    from experiments.study.collect import collect, missing
    from experiments.study.metrics import choose, headline
    from experiments.study.tables import check_table_path, write_table

    folder = Path(arguments.folder)
    files = [Path(out) for out in arguments.out or [folder / "sweep.parquet"]]
    absent = missing(folder)
    for path in files:
        check_table_path(path)
    frame = collect(folder)
    settings = frame.attrs["settings"]
    metrics = [name for name in frame.columns[1:] if name not in settings]
    shown = choose(arguments.metric, metrics) if arguments.metric else headline(metrics)
    for path in files:
        write_table(frame, path)
    print(_text(frame, settings, shown))
    print(f"{plural(len(frame), 'run')}, {plural(len(metrics), 'metric')} each")
    for path in files:
        print(f"table: {path}")
    for name in absent:
        print(f"orrery: missing: {name}", file=sys.stderr)
    if absent:
        print(f"orrery: {plural(len(absent), 'member')} of the sweep not finished", file=sys.stderr)
    return 1 if absent else 0


def _text(frame: pd.DataFrame, settings: list[str], metrics: list[str]) -> str:
    """A row a run: the settings that vary, then the metrics."""
    from experiments.study.tables import text_table

    varied = [key for key in settings if frame[key].nunique(dropna=False) > 1]
    same = [f"{key}={frame[key].iloc[0]}" for key in settings if key not in varied]
    rows = [
        [*(str(row[key]) for key in varied), *(_shown(row[key]) for key in metrics)]
        for row in frame.to_dict("records")
    ]
    table = text_table([*varied, *metrics], rows, left=len(varied))
    return "\n".join([*([f"all with {' '.join(same)}"] if same else []), table])


def _shown(value: object) -> str:
    from experiments.report.formats import number

    return value if isinstance(value, str) else number(value)
