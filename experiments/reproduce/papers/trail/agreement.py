"""Agreement with a theory, within what sampling allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt

from experiments.reproduce.accepted import Judgement
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.verdict import Verdict, worst
from sim.core.errors import ConfigError

#: Standard errors by which a mean may be off whatever the tolerance.
MOST_ERRORS = 3.0


@dataclass(frozen=True)
class Agreement:
    """Many values of a theory by name, each met within the larger of `relative` x its size and
    three standard errors of the simulated mean. A standard error larger than the tolerance itself
    would let nearly anything pass: such a value is not resolved."""

    published: Mapping[str, float]
    relative: float

    def text(self, unit: str) -> str:
        return (
            f"each of {len(self.published)} within {100.0 * self.relative:g} % "
            f"or {MOST_ERRORS:g} standard errors"
        )

    def judge(self, measured: Mapping[str, Estimate], unit: str) -> Judgement:
        entries, verdicts, strays, errors = [], [], {}, {}
        for name, value in self.published.items():
            if name not in measured:
                raise ConfigError(f"no value for {name!r}; there are: {', '.join(measured)}")
            found = measured[name]
            error, tolerance = standard_error(found), self.relative * abs(value)
            off = abs(found.value - value)
            if off > max(tolerance, MOST_ERRORS * error):
                verdict = Verdict.MISSES
            else:
                verdict = Verdict.NOT_RESOLVED if error > tolerance else Verdict.HOLDS
            verdicts.append(verdict)
            entries.append([name, f"{value:g}", found.text(), str(verdict)])
            strays[name] = off / abs(value) if value else off
            errors[name] = error / abs(value) if value else error
        furthest = max(strays, key=strays.__getitem__)
        loosest = max(errors, key=errors.__getitem__)
        return Judgement(
            worst(verdicts),
            f"{verdicts.count(Verdict.HOLDS)} of {len(entries)} hold",
            f"furthest: {furthest}, by {100.0 * strays[furthest]:.2f} %; largest standard error: "
            f"{loosest}, {100.0 * errors[loosest]:.2f} %",
            entries,
        )


def standard_error(found: Estimate) -> float:
    """Of a mean of replications; 0 of what is exact."""
    samples = found.samples
    if len(samples) < 2:
        return 0.0
    mean = fsum(samples) / len(samples)
    squares = fsum((sample - mean) ** 2 for sample in samples)
    return sqrt(squares / (len(samples) - 1) / len(samples))
