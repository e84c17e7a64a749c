"""What became of claims, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from experiments.reproduce.verdict import Verdict, worse
from sim.core.errors import ConfigError


@dataclass(frozen=True)
class Outcome:
    """A verdict, with all that is shown of it. `entries`: label, published, simulated, verdict."""

    verdict: Verdict
    accepted: str
    simulated: str
    detail: str = ""
    entries: list[list[str]] = field(default_factory=list)


#: Outcomes by paper and claim.
Outcomes = dict[str, dict[str, Outcome]]


def read(path: Path) -> Outcomes:
    """The outcomes in a file; none where there is no file. Raises ConfigError."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            paper: {
                claim: Outcome(**{**cells, "verdict": Verdict(cells["verdict"])})
                for claim, cells in claims.items()
            }
            for paper, claims in found.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as verdicts ({error}); restore or delete it"
        ) from error


def text(outcomes: Mapping[str, Mapping[str, Outcome]]) -> str:
    """The outcomes as the file holds them: papers by name, claims as given."""
    plain = {
        paper: {claim: asdict(outcome) for claim, outcome in outcomes[paper].items()}
        for paper in sorted(outcomes)
    }
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def kept(now: Outcomes, before: Outcomes) -> Outcomes:
    """`now`, with earlier outcomes in place of claims that were not run, where the same was
    accepted then."""
    return {
        paper: {
            claim: _kept(outcome, before.get(paper, {}).get(claim))
            for claim, outcome in claims.items()
        }
        for paper, claims in now.items()
    }


def _kept(now: Outcome, before: Outcome | None) -> Outcome:
    if now.verdict is Verdict.NOT_RUN and before is not None and before.accepted == now.accepted:
        return before
    return now


def got_worse(now: Outcomes, before: Outcomes) -> list[str]:
    """A line for each claim whose verdict is worse than before."""
    lines = []
    for paper, claims in now.items():
        for claim, outcome in claims.items():
            old = before.get(paper, {}).get(claim)
            if old is not None and worse(outcome.verdict, old.verdict):
                lines.append(
                    f"{paper}/{claim}: {outcome.verdict} ({outcome.simulated}), "
                    f"was: {old.verdict} ({old.simulated})"
                )
    return lines
