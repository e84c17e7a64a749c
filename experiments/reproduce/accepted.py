"""What is accepted of a measured value, and the verdict by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isfinite
from typing import Protocol, TypeVar

from experiments.reproduce.estimate import Estimate
from experiments.reproduce.runs import paired_interval
from experiments.reproduce.verdict import Verdict, worst
from sim.core.errors import ConfigError

M_contra = TypeVar("M_contra", contravariant=True)


@dataclass(frozen=True)
class Judgement:
    """A verdict, what it rests on, and the lines of a table where the claim has one: label,
    published, simulated, verdict."""

    verdict: Verdict
    simulated: str
    detail: str = ""
    entries: list[list[str]] = field(default_factory=list)


class Accepted(Protocol[M_contra]):
    """Judges what a claim's function measured. Raises ConfigError where that does not fit."""

    def text(self, unit: str) -> str:
        """What is accepted, for a reader."""

    def judge(self, measured: M_contra, unit: str) -> Judgement:
        """The verdict."""


@dataclass(frozen=True)
class Band:
    """One value in [low, high]: holds where its whole interval lies in the band, misses where all
    of it lies outside; at the edge where it straddles one end, not resolved where both."""

    low: float = -inf
    high: float = inf

    def __post_init__(self) -> None:
        if not self.low <= self.high or not (isfinite(self.low) or isfinite(self.high)):
            raise ConfigError(f"Band: {self.low} to {self.high} is no band")

    def text(self, unit: str) -> str:
        if self.low == self.high:
            return f"{self.low:g} {unit}".rstrip()
        if not isfinite(self.high):
            return f"at least {self.low:g} {unit}".rstrip()
        if not isfinite(self.low):
            return f"at most {self.high:g} {unit}".rstrip()
        return f"{self.low:g} to {self.high:g} {unit}".rstrip()

    def judge(self, measured: Estimate, unit: str) -> Judgement:
        return Judgement(self.verdict(measured), measured.text(unit), self._detail(measured))

    def verdict(self, measured: Estimate) -> Verdict:
        """The rule alone."""
        if measured.high < self.low or measured.low > self.high:
            return Verdict.MISSES
        below, above = measured.low < self.low, measured.high > self.high
        if below and above:
            return Verdict.NOT_RESOLVED
        return Verdict.AT_THE_EDGE if below or above else Verdict.HOLDS

    def _detail(self, measured: Estimate) -> str:
        verdict = self.verdict(measured)
        if verdict is Verdict.NOT_RESOLVED:
            return "the interval is wider than the band"
        if verdict is Verdict.AT_THE_EDGE:
            inside = self.low <= measured.value <= self.high
            return f"the value lies {'inside' if inside else 'outside'}, its interval on both sides"
        return ""


@dataclass(frozen=True)
class Order:
    """Values by name, the first the largest: each is above the next. Holds where every such
    difference's interval lies above 0, misses where one lies below 0 or is 0 exactly; otherwise
    not resolved."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if len(set(names)) < max(2, len(names)):
            raise ConfigError(f"Order: {', '.join(names) or 'no name'}; give two or more, all new")
        object.__setattr__(self, "names", names)

    def text(self, unit: str) -> str:
        return " > ".join(self.names)

    def judge(self, measured: Mapping[str, Estimate], unit: str) -> Judgement:
        _check_names(self.names, measured)
        steps = {
            f"{a} - {b}": difference(measured[a], measured[b]) for a, b in pairwise(self.names)
        }
        verdicts = [sign(step) for step in steps.values()]
        if all(verdict is Verdict.HOLDS for verdict in verdicts):
            detail = ""
        else:
            detail = "; ".join(f"{name} = {step.text(unit)}" for name, step in steps.items())
        ordered = {name: measured[name] for name in self.names}
        return Judgement(worst(verdicts), _list(ordered, unit), detail)


@dataclass(frozen=True)
class Trend:
    """Values along a sweep, in its order, rise (or fall). Holds where the last is beyond the first
    and no step goes the other way, both by the differences' intervals; `every_step`: where each
    step goes that way. Misses where the whole, or one step, goes the other way; otherwise not
    resolved."""

    over: str
    rises: bool = True
    every_step: bool = False

    def text(self, unit: str) -> str:
        step = " at every step" if self.every_step else ""
        return f"{'rises' if self.rises else 'falls'} with {self.over}{step}"

    def judge(self, measured: Mapping[str, Estimate], unit: str) -> Judgement:
        if len(measured) < 2:
            raise ConfigError(f"Trend: {len(measured)} points; give two or more")
        points = list(measured.items())[:: 1 if self.rises else -1]
        steps = {(a, b): difference(high, low) for (a, low), (b, high) in pairwise(points)}
        (first, low), (last, high) = points[0], points[-1]
        # Equal neighbours belong to a trend, unless every step is to go its way.
        against = {
            pair: step
            for pair, step in steps.items()
            if sign(step) is Verdict.MISSES and (self.every_step or step.value < 0.0)
        }
        open_steps = {
            pair: step for pair, step in steps.items() if sign(step) is Verdict.NOT_RESOLVED
        }
        whole = difference(high, low)
        if against or sign(whole) is Verdict.MISSES:
            verdict, shown = Verdict.MISSES, against or {(first, last): whole}
        elif sign(whole) is not Verdict.HOLDS:
            verdict, shown = Verdict.NOT_RESOLVED, {(first, last): whole}
        elif self.every_step and open_steps:
            verdict, shown = Verdict.NOT_RESOLVED, open_steps
        else:
            verdict, shown = Verdict.HOLDS, {}
        detail = "; ".join(f"{b} - {a} = {step.text(unit)}" for (a, b), step in shown.items())
        return Judgement(verdict, _list(measured, unit), detail)


@dataclass(frozen=True)
class Table:
    """Many published values by name, each accepted within the larger of `relative` x its size and
    `absolute` (of percentages: points); each is judged as a band, and the claim by its worst."""

    published: Mapping[str, float]
    relative: float = 0.0
    absolute: float = 0.0

    def __post_init__(self) -> None:
        if not (self.published and self.relative >= 0.0 and self.absolute >= 0.0):
            raise ConfigError(
                f"Table: {len(self.published)} values, relative = {self.relative}, absolute = "
                f"{self.absolute}; give one value or more, and tolerances >= 0"
            )

    def text(self, unit: str) -> str:
        parts = []
        if self.relative:
            parts.append(f"{100.0 * self.relative:g} %")
        if self.absolute or not self.relative:
            points = "point" if self.absolute == 1.0 else "points"
            parts.append(f"{self.absolute:g} {points if unit == '%' else unit}".rstrip())
        return f"each of {len(self.published)} within {' or '.join(parts)}"

    def judge(self, measured: Mapping[str, Estimate], unit: str) -> Judgement:
        _check_names(tuple(self.published), measured)
        entries, verdicts, strays = [], [], {}
        for name, value in self.published.items():
            found = measured[name]
            margin = max(self.relative * abs(value), self.absolute)
            verdict = Band(value - margin, value + margin).verdict(found)
            verdicts.append(verdict)
            entries.append([name, f"{value:g}", found.text(), str(verdict)])
            strays[name] = abs(found.value - value) / (margin or 1.0)
        counts = [f"{verdicts.count(Verdict.HOLDS)} of {len(verdicts)} hold"]
        counts += [
            f"{verdicts.count(verdict)} {'miss' if verdict is Verdict.MISSES else verdict}"
            for verdict in (Verdict.AT_THE_EDGE, Verdict.NOT_RESOLVED, Verdict.MISSES)
            if verdict in verdicts
        ]
        furthest = max(strays, key=lambda name: strays[name])
        detail = (
            f"furthest: {furthest}, {measured[furthest].text(unit)} "
            f"for {self.published[furthest]:g}"
        )
        return Judgement(worst(verdicts), ", ".join(counts), detail, entries)


@dataclass(frozen=True)
class Finding:
    """No target: reported, whatever it is."""

    def text(self, unit: str) -> str:
        return "a finding"

    def judge(self, measured: Estimate | Mapping[str, Estimate], unit: str) -> Judgement:
        if isinstance(measured, Estimate):
            return Judgement(Verdict.REPORTED, measured.text(unit))
        return Judgement(Verdict.REPORTED, _list(measured, unit))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b with its interval: by pairs where both are replicated. Raises ConfigError for two with
    intervals that have no samples, or not as many."""
    if a.samples and b.samples and len(a.samples) == len(b.samples):
        return paired_interval(a.samples, b.samples)
    if b.certain:
        return Estimate(a.value - b.value, a.low - b.value, a.high - b.value)
    if a.certain:
        return Estimate(a.value - b.value, a.value - b.high, a.value - b.low)
    raise ConfigError(
        f"two estimates of {len(a.samples)} and {len(b.samples)} samples cannot be compared; "
        "give both as many, of the same seeds"
    )


def sign(step: Estimate) -> Verdict:
    """Of a difference that should be above 0: holds, misses (below 0, or 0 exactly), or not
    resolved."""
    if step.low > 0.0:
        return Verdict.HOLDS
    return Verdict.MISSES if step.high < 0.0 or step.low == step.high else Verdict.NOT_RESOLVED


def _check_names(names: Sequence[str], measured: Mapping[str, Estimate]) -> None:
    missing = [name for name in names if name not in measured]
    if missing:
        raise ConfigError(f"no value for {missing[0]!r}; there are: {', '.join(measured)}")


def _list(measured: Mapping[str, Estimate], unit: str) -> str:
    values = "; ".join(f"{name}: {found.text()}" for name, found in measured.items())
    return f"{values} {unit}".rstrip()
