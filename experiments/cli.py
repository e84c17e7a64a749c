"""The console command `orrery`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.reproduce import command as reproduce_command
from experiments.study import check_command, collect_command, compare_command, sweep_command
from sim.core.errors import ConfigError, OrreryError

EPILOG = """\
examples:
  orrery run                                    chat traffic on one A100
  orrery run model=llama3-8b gpu=h100-sxm replicas=4 arrivals.rate_rps=20
  orrery run workload=azure workload.path=TRACE.csv arrivals=trace
  orrery run workload=table workload.path=MINE.csv arrivals=trace ordering=shortest_job_first \\
             predictor=oracle
  orrery list gpu                               the choices for gpu=
"""

MORE = """\
  orrery sweep arrivals.rate_rps=2,4,8 seed='range(0,4)' -o rates
  orrery collect rates                          one row a member
  orrery compare arrivals.rate_rps=8 -a ordering=fcfs \\
                 -b ordering=shortest_job_first predictor=oracle
  orrery check BASELINES                        compare with stored summaries

`orrery COMMAND --help` says more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    # A user's own policies may lie in the folder he works in; ours keep their place before it.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    arguments = _parse(argv)
    try:
        code: int = arguments.do(arguments)
    except OrreryError as error:
        print(f"orrery: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("orrery: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    return code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Arguments, with settings anywhere between the options (argparse takes one stretch alone).

    What follows `--` is settings, even behind an option that takes several values.
    """
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    arguments, rest = parser.parse_known_args(words[:end])
    if arguments.do is _validate:
        arguments.rest = rest
        return arguments
    rest += words[end + 1 :]
    unknown = [word for word in rest if word.startswith("-") or not hasattr(arguments, "settings")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        arguments.settings = [*arguments.settings, *rest]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orrery",
        description="A discrete-event simulator of AI clusters and serving systems.",
        epilog=EPILOG + MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="simulate one experiment and write its result and report",
        description="Simulate one experiment. Settings are Hydra overrides: group=choice picks a "
        "file of configs/group (see `orrery list`), key=value sets a value.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("settings", nargs="*", metavar="SETTING", help="group=choice or key=value")
    run.add_argument("-o", "--out", metavar="DIR", help="folder of the result (runs/DATE-TIME)")
    run.add_argument("--config-dir", metavar="DIR", help="folder of your own configuration groups")
    run.add_argument("--no-report", action="store_true", help="write no report.html")
    run.add_argument("--show", action="store_true", help="print the settings and stop")
    run.add_argument("--quiet", action="store_true", help="print the folder alone")
    run.set_defaults(do=_run)

    listing = commands.add_parser(
        "list",
        help="what there is to choose from, with a line each",
        description="Without GROUP: all groups with their choices. With GROUP: its choices. "
        "group@PLACE= is chosen at a place of the settings (see `orrery run --show`), such as "
        "carbon/pue@sites.sites.home.pue=temperature.",
    )
    listing.add_argument("group", nargs="?", metavar="GROUP", help="e.g. model, gpu, ordering")
    listing.add_argument("--config-dir", metavar="DIR", help="folder whose choices are listed too")
    listing.set_defaults(do=_list)

    validate = commands.add_parser(
        "validate",
        help="compare the cost model, and whole runs, with measurements",
        description="Compare with measured data in the folder that ORRERY_DATA (or --data) names; "
        "`orrery validate --help` lists the comparisons.",
        add_help=False,
    )
    validate.set_defaults(do=_validate, rest=[])

    report = commands.add_parser(
        "report",
        help="write the report of finished runs again",
        description="Write report.html into each run's folder, from what lies there alone.",
    )
    report.add_argument("folders", nargs="+", metavar="DIR", help="folders of finished runs")
    report.set_defaults(do=_report)

    studies = (sweep_command, collect_command, compare_command, check_command)
    for command in (*studies, reproduce_command):
        command.add_to(commands)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from experiments.compose import compose
    from sim.core.run import run

    config = compose(arguments.settings, config_dir=arguments.config_dir)
    if arguments.show:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(config), end="")
        return 0
    folder = Path(arguments.out) if arguments.out else _new_folder()
    progress = sys.stderr.isatty() and not arguments.quiet
    result = run(config, folder, overrides=arguments.settings, progress=progress)
    report = None
    if not arguments.no_report:
        from experiments.report import write_report

        report = write_report(folder)
    if arguments.quiet:
        print(folder)
        return 0
    from experiments.figures import headline

    print(headline(result))
    print(f"result: {folder}")
    if report is not None:
        print(f"report: {report}")
    timeline = folder / "timeline.json.gz"
    if timeline.is_file():
        print(f"timeline: {timeline} (open it at https://ui.perfetto.dev)")
    return 0


def _new_folder() -> Path:
    import time

    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / stamp
    count = 1
    while folder.exists():
        count += 1
        folder = Path("runs") / f"{stamp}-{count}"
    return folder


def _list(arguments: argparse.Namespace) -> int:
    from experiments.catalogue import print_catalogue

    return print_catalogue(arguments.group, arguments.config_dir)


def _validate(arguments: argparse.Namespace) -> int:
    from experiments.calibration import main as compare

    return compare(arguments.rest, "orrery validate")


def _report(arguments: argparse.Namespace) -> int:
    from experiments.report import write_report

    for folder in arguments.folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"{folder}: is not a folder")
        print(write_report(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
