"""The command `orrery reproduce`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.reproduce.claim import Paper
    from experiments.reproduce.outcome import Outcomes

PAGE = "REPRODUCTION.md"
FOLDER = "docs/reproduction"
VERDICTS = f"{FOLDER}/verdicts.json"
#: Seconds that all studies of a paper should take at most, on two cores and without --full.
LONGEST_S = 360.0

_DESCRIPTION = f"""\
Run the studies of papers, judge each paper's claims, print a table and write {PAGE} with its
plots and verdicts beside it (in {FOLDER}). Without PAPER: all of them; a paper of your own is
given as module:attribute. Exit code 1, and nothing is written, where a verdict is worse than the
one kept in {VERDICTS}; --update writes it all the same."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "reproduce",
        help="check papers' claims by simulation",
        description=_DESCRIPTION,
    )
    parser.add_argument("papers", nargs="*", metavar="PAPER", help="names (see --list)")
    parser.add_argument("--list", action="store_true", help="name the papers and stop")
    parser.add_argument(
        "--full",
        action="store_true",
        help="more replications and longer runs; written with --out alone",
    )
    parser.add_argument(
        "-o", "--out", metavar="DIR", help=f"folder for {PAGE} (Orrery's checkout, or this one)"
    )
    parser.add_argument(
        "--update", action="store_true", help="accept verdicts that are worse than before"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes side by side (all cores)"
    )
    parser.set_defaults(do=reproduce)


def reproduce(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 1 where a verdict got worse. Raises ConfigError for bad input, and for a
    claim that misses without a reason."""
    from experiments.reproduce import papers
    from experiments.reproduce.outcome import got_worse, kept, read
    from experiments.reproduce.studies import Studies
    from experiments.reproduce.table import summary, table
    from experiments.reproduce.workers import Workers

    chosen = [papers.paper(name) for name in dict.fromkeys(arguments.papers or papers.names())]
    if not chosen:
        print("no paper is registered yet")
        return 0
    if arguments.list:
        for paper in chosen:
            print(f"{paper.name:12}  {len(paper.claims):3} claims  {paper.title}")
        return 0
    home = _checkout()
    out = Path(arguments.out) if arguments.out else home or Path()
    before = read((home or out) / VERDICTS)
    width = max(80, shutil.get_terminal_size((120, 0)).columns)
    now: Outcomes = {}
    pictures: dict[str, dict[str, bytes]] = {}
    progress = sys.stderr.isatty()
    with Workers(arguments.processes, full=arguments.full, progress=progress) as workers:
        studies = Studies(workers)
        for paper in chosen:
            now[paper.name] = studies.judge(paper)
            pictures[paper.name] = studies.draw(paper)
            print(table(paper, now[paper.name], width))
            print(f"{summary(now[paper.name].values())}\n", flush=True)
    _print_times(studies.seconds, full=arguments.full)
    _check_reasons(chosen, now)
    worse = got_worse(now, before)
    for line in worse:
        print(f"worse: {line}")
    keeps = (home or out).resolve() == out.resolve()
    if worse and keeps and not arguments.update:
        print(f"nothing was written; --update accepts what is worse, into {out / VERDICTS}")
    elif arguments.full and not arguments.out:
        print("nothing was written; with --full, --out DIR says where to")
    else:
        whole = kept(now, before)
        for name, claims in whole.items():
            for claim, outcome in claims.items():
                if outcome is not now[name][claim]:
                    print(f"not run, kept as it was: {name}/{claim}: {outcome.verdict}")
        _write(out, chosen, whole, pictures)
        print(f"written: {out / PAGE}")
    return 1 if worse and not arguments.update else 0


def _checkout() -> Path | None:
    """Folder of the checkout that Orrery runs from; None where it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def _check_reasons(chosen: Sequence[Paper], now: Outcomes) -> None:
    from experiments.reproduce.verdict import Verdict
    from sim.core.errors import ConfigError

    bare = [
        f"{paper.name}/{claim.id}"
        for paper in chosen
        for claim in paper.claims
        if now[paper.name][claim.id].verdict is Verdict.MISSES and not claim.reason.strip()
    ]
    if bare:
        raise ConfigError(
            f"{', '.join(bare)}: misses without a reason; find out why and say it in the claim's "
            "`reason`. Nothing was written"
        )


def _write(
    out: Path, chosen: Sequence[Paper], now: Outcomes, pictures: Mapping[str, Mapping[str, bytes]]
) -> None:
    """Write page, verdicts and plots; what there is of other papers stays."""
    from experiments.reproduce import markdown
    from experiments.reproduce.outcome import read, text
    from sim.core.errors import ConfigError

    target = out / PAGE
    everything = {**read(out / VERDICTS), **now}
    try:
        parts = markdown.sections(target.read_text(encoding="utf-8")) if target.is_file() else {}
        for paper in chosen:
            folder = out / FOLDER / paper.name
            if paper.plots:
                folder.mkdir(parents=True, exist_ok=True)
            for name, drawn in pictures[paper.name].items():
                (folder / f"{name}.png").write_bytes(drawn)
            there = {plot.name for plot in paper.plots if (folder / f"{plot.name}.png").is_file()}
            link = f"{FOLDER}/{paper.name}"
            parts[paper.name] = markdown.section(paper, now[paper.name], link, there)
        (out / VERDICTS).parent.mkdir(parents=True, exist_ok=True)
        (out / VERDICTS).write_text(text(everything), encoding="utf-8")
        target.write_text(markdown.page(parts, everything), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}") from error


def _print_times(seconds: Mapping[tuple[str, str], float], *, full: bool) -> None:
    """Wall time of studies, on stderr alone: what is written is the same on every machine."""
    totals: dict[str, float] = {}
    for (paper, study), spent in seconds.items():
        totals[paper] = totals.get(paper, 0.0) + spent
        print(f"time: {paper}: {study}: {spent:.1f} s", file=sys.stderr)
    for paper, total in totals.items():
        if total > LONGEST_S and not full:
            print(
                f"time: {paper}: {total:.0f} s in all; should be at most {LONGEST_S:.0f}",
                file=sys.stderr,
            )
