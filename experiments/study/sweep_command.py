"""`orrery sweep`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

EPILOG = """\
examples:
  orrery sweep arrivals.rate_rps=1,2,3 ordering=fcfs,shortest_job_first predictor=oracle \\
               seed='range(0,4)' -o rates            24 members, as many at a time as cores
  orrery collect rates                               their table
  orrery sweep workload.count=100,1000 hydra/launcher=joblib -o counts
                                                     by a launcher of Hydra's, if installed

Each member has a folder DIR/NAME that follows from its settings. Finished ones are kept: the same
command after a crash, a kill or Ctrl-C runs the rest, and a longer list runs what is new.
"""


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "sweep",
        help="run every combination of lists of settings, on all cores, resumable",
        description="Run every combination of the lists among the settings: key=1,2,3, "
        "key=range(0,4), key=choice(a,b), group=a,b or group=glob(*). Exit code 0 when every "
        "member is finished, 2 when one failed (the others are finished) or for bad settings.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="as for run, with lists")
    parser.add_argument("-o", "--out", metavar="DIR", help="folder (runs/sweep-DATE-TIME)")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes (all cores)")
    parser.add_argument("--config-dir", metavar="DIR", help="folder of your configuration groups")
    parser.add_argument("--show", action="store_true", help="print the members and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress, print the folder alone")
    parser.set_defaults(do=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    from experiments.study.options import workers
    from experiments.study.sweep import finished_members, sweep

    if arguments.show:
        return _show(arguments.settings)
    count = workers(arguments.jobs)
    folder = Path(arguments.out or f"runs/sweep-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        report = sweep(
            arguments.settings,
            folder,
            config_dir=arguments.config_dir,
            workers=count,
            progress=sys.stderr.isatty() and not arguments.quiet,
        )
    except KeyboardInterrupt:
        done = finished_members(folder)
        print(
            f"orrery: interrupted; {done} finished in {folder}, the same command runs the rest"
            if done
            else "orrery: interrupted; no member is finished",
            file=sys.stderr,
        )
        return 130
    for name, error in report.failed.items():
        print(f"orrery: {name}: {error}", file=sys.stderr)
    print(folder if arguments.quiet else f"{report}\nresult: {folder}")
    return 2 if report.failed else 0


def _show(settings: list[str]) -> int:
    from experiments.study.expansion import expand

    for name in expand([word for word in settings if not word.startswith(("hydra/", "hydra."))]):
        print(name)
    return 0
