"""Verdicts as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

from experiments.reproduce.claim import Paper
from experiments.reproduce.outcome import Outcome
from experiments.reproduce.verdict import Verdict

_HEADINGS = ("claim", "where", "published", "accepted", "simulated (95 % interval)", "verdict")
#: Shares of the width that columns are given at most.
_SHARES = (0.17, 0.12, 0.17, 0.17, 0.25, 0.12)
_GAP = 2


def table(paper: Paper, outcomes: Mapping[str, Outcome], width: int = 120) -> str:
    """A paper's claims, cells wrapped so that lines have no more than `width` characters where
    words allow; below it what verdicts other than "holds" rest on."""
    rows = []
    for claim in paper.claims:
        found = outcomes[claim.id]
        rows.append(
            [
                claim.id,
                claim.where,
                claim.published,
                found.accepted,
                found.simulated,
                found.verdict,
            ]
        )
    lines = [f"{paper.name}: {paper.title}", "", *_columns([_HEADINGS, *rows], width)]
    for claim in paper.claims:
        found = outcomes[claim.id]
        remarks = [found.detail, "" if found.verdict is Verdict.HOLDS else claim.reason]
        if found.verdict is Verdict.HOLDS and claim.reason:
            remarks.append("it holds: the reason given for a miss is out of date")
        said = ". ".join(remark for remark in remarks if remark)
        if said:
            lines += wrap(f"{claim.id}: {said}", width, subsequent_indent="  ")
    return "\n".join(lines)


def summary(outcomes: Iterable[Outcome]) -> str:
    """How many claims came to which verdict."""
    verdicts = [outcome.verdict for outcome in outcomes]
    counts = [(verdicts.count(verdict), verdict) for verdict in Verdict]
    return ", ".join(f"{count} {_plural(verdict, count)}" for count, verdict in counts if count)


def _plural(verdict: Verdict, count: int) -> str:
    several = {Verdict.HOLDS: "hold", Verdict.MISSES: "miss"}
    return str(verdict) if count == 1 else several.get(verdict, str(verdict))


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    room = width - _GAP * (len(_SHARES) - 1)
    widest = [max(len(row[i]) for row in rows) for i in range(len(_SHARES))]
    widths = [
        min(most, max(8, int(share * room))) for most, share in zip(widest, _SHARES, strict=True)
    ]
    lines = []
    for number, row in enumerate(rows):
        cells = [wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for i in range(max(len(cell) for cell in cells)):
            parts = [
                (cell[i] if i < len(cell) else "").ljust(size)
                for cell, size in zip(cells, widths, strict=True)
            ]
            lines.append((" " * _GAP).join(parts).rstrip())
        if not number:
            lines.append("-" * (sum(widths) + _GAP * (len(widths) - 1)))
    return lines
