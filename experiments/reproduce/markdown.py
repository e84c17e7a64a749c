"""REPRODUCTION.md: a section for each paper."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

from experiments.reproduce.claim import Claim, Paper
from experiments.reproduce.outcome import Outcome, Outcomes
from experiments.reproduce.table import summary
from experiments.reproduce.verdict import Verdict

_HEAD = """\
# Reproduction

What papers claim, and what Orrery gives. Written by `orrery reproduce`; do not edit by hand.

A claim **holds** where the simulated value's 95 % interval (in brackets; Student's t over
replications with different seeds) lies within what is accepted; it is **at the edge** where the
interval straddles an end of that, **not resolved** where the interval is too wide to tell, and it
**misses** where all of it lies outside; then the reason is given. An order or a trend holds where
the interval of every difference that it rests on, seed by seed, lies above 0. Findings are
**reported** without a target. What is **not run** needs data that are not part of Orrery. A value
without brackets is exact: no chance enters it.
"""
_MARK = re.compile(r"^<!-- paper: (\S+) -->\n", re.MULTILINE)


def sections(page: str) -> dict[str, str]:
    """The sections of a page by paper, as they stand."""
    parts = _MARK.split(page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def page(parts: Mapping[str, str], outcomes: Outcomes) -> str:
    """A page of sections by paper; `outcomes` of all papers for its overview."""
    rows = []
    for name in sorted(parts):
        found = outcomes.get(name, {}).values()
        rows.append([f"[{name}](#{_anchor(name)})", str(len(found)), summary(found)])
    overview = table(["paper", "claims", "verdicts"], rows)
    marked = [f"<!-- paper: {name} -->\n{parts[name].rstrip()}\n" for name in sorted(parts)]
    return "\n".join([_HEAD, overview, *marked])


def section(
    paper: Paper, outcomes: Mapping[str, Outcome], folder: str, drawn: Container[str]
) -> str:
    """A paper's section. `folder`: of its plots, from the page; `drawn`: the plots there are."""
    blocks = [f"## {paper.name}\n", f"**{paper.title}.** {paper.citation}\n"]
    if paper.about:
        blocks.append(f"{paper.about}\n")
    rows = []
    for claim in paper.claims:
        found = outcomes[claim.id]
        rows.append(
            [
                f"**{claim.id}**: {claim.what}",
                claim.where,
                claim.published,
                found.accepted,
                found.simulated,
                f"**{found.verdict}**",
            ]
        )
    heads = ["claim", "where", "published", "accepted", "simulated", "verdict"]
    blocks.append(table(heads, rows))
    remarks = [line for claim in paper.claims for line in _remarks(claim, outcomes[claim.id])]
    if remarks:
        blocks.append("\n".join(remarks) + "\n")
    for plot in paper.plots:
        if plot.name in drawn:
            blocks.append(f"![{plot.title}]({folder}/{plot.name}.png)\n\n{plot.caption}\n")
    for claim in paper.claims:
        if outcomes[claim.id].entries:
            blocks.append(_details(claim, outcomes[claim.id].entries))
    return "\n".join(blocks)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _remarks(claim: Claim[object, object], found: Outcome) -> list[str]:
    good = found.verdict in (Verdict.HOLDS, Verdict.REPORTED)
    said = [found.detail, "" if good else claim.reason, claim.note]
    text = " ".join(f"{_sentence(words)}" for words in said if words)
    return [f"- **{claim.id}** ({found.verdict}): {text}"] if text else []


def _details(claim: Claim[object, object], entries: Sequence[Sequence[str]]) -> str:
    unit = f" ({claim.unit})" if claim.unit else ""
    heads = ["", f"published{unit}", f"simulated{unit}", "verdict"]
    title = f"<summary>{claim.id}: all {len(entries)} values</summary>"
    return f"<details>{title}\n\n{table(heads, entries)}\n</details>\n"


def _sentence(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(".", "")
