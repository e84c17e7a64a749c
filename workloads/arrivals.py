"""When requests arrive: processes that give each demand of an open loop its time in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count, repeat
from typing import Protocol

import numpy as np

from models.carbon.synthetic import DayShape
from models.carbon.units import S_PER_DAY
from models.errors import ConfigError
from workloads.checks import at_least, between, positive, whole
from workloads.demand import Demand
from workloads.draws import Floats, block_sizes, children

Arrival = tuple[float, Demand]


class Arrivals(Protocol):
    """An arrival process. Times are absolute, in seconds from the start, and never decrease."""

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        """Each demand with its time, one demand taken for each pair asked for."""
        ...


def _renewals(gaps: Callable[[int], Floats], rate_rps: float) -> Iterator[float]:
    """Times of a renewal process from gaps of mean 1.

    The sum runs in units of the mean gap, so that times at two rates differ by a factor alone.
    """
    elapsed = 0.0
    for size in block_sizes(None):
        ends = gaps(size)
        ends[0] += elapsed
        np.cumsum(ends, out=ends)
        elapsed = float(ends[-1])
        yield from (ends / rate_rps).tolist()


class Poisson:
    """Independent exponential gaps: `rate_rps` requests a second on average."""

    def __init__(self, rate_rps: float, source: Mapping[str, str] | None = None) -> None:
        self.rate_rps = positive("rate_rps", rate_rps)
        self.source = source

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        (own,) = children(rng, 1)
        return zip(_renewals(own.standard_exponential, self.rate_rps), demands, strict=False)


class Daily:
    """Independent arrivals at a rate that follows the hour of the day: `rate_rps` on average, the
    hours' shape by `day`, constant within each of `steps` equal parts of a day. The run begins at
    `from_hour`.
    """

    def __init__(
        self,
        rate_rps: float,
        day: DayShape,
        steps: int = 96,
        from_hour: float = 0.0,
        source: Mapping[str, str] | None = None,
    ) -> None:
        self.rate_rps = positive("rate_rps", rate_rps)
        self.day = day
        self.steps = whole("steps", steps)
        self.from_hour = between("from_hour", from_hour, 0.0, 24.0)
        self.source = source
        hours = (np.arange(self.steps) + 0.5) * 24.0 / self.steps
        rates = np.array([1.0 + day.at((hour + self.from_hour) % 24.0) for hour in hours.tolist()])
        if not (rates >= 0.0).all() or not rates.any():
            raise ConfigError(
                f"day: the rate falls to {rates.min():g} of its mean; it must be >= 0"
            )
        # Expected arrivals up to each edge of a day, in days of the mean rate.
        self._expected = np.concatenate(([0.0], np.cumsum(rates / rates.sum())))

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        (own,) = children(rng, 1)
        return zip(self._times(own), demands, strict=False)

    def _times(self, rng: np.random.Generator) -> Iterator[float]:
        """Where the expected number of arrivals meets a Poisson process of rate 1."""
        edges = np.linspace(0.0, S_PER_DAY, self.steps + 1)
        passed = 0.0
        for size in block_sizes(None):
            gaps = rng.standard_exponential(size)
            gaps[0] += passed
            np.cumsum(gaps, out=gaps)
            passed = float(gaps[-1])
            days, part = np.divmod(gaps / (self.rate_rps * S_PER_DAY), 1.0)
            yield from (days * S_PER_DAY + np.interp(part, self._expected, edges)).tolist()


class Gamma:
    """Independent gamma-distributed gaps of coefficient of variation `cv`.

    Above 1 is burstier than Poisson, 1 is Poisson, below 1 is more even.
    """

    def __init__(self, rate_rps: float, cv: float, source: Mapping[str, str] | None = None) -> None:
        self.rate_rps = positive("rate_rps", rate_rps)
        self.cv = between("cv", cv, 0.01, 100.0)
        self.source = source

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        (own,) = children(rng, 1)
        squared = self.cv**2

        def gaps(size: int) -> Floats:
            return squared * own.standard_gamma(1.0 / squared, size)

        return zip(_renewals(gaps, self.rate_rps), demands, strict=False)


class Evenly:
    """One request every 1 / `rate_rps` seconds, the first at 0."""

    def __init__(self, rate_rps: float, source: Mapping[str, str] | None = None) -> None:
        self.rate_rps = positive("rate_rps", rate_rps)
        self.source = source

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        rate = self.rate_rps
        return zip((n / rate for n in count()), demands, strict=False)


class Burst:
    """All requests at once, `at_s` seconds from the start; the workload must end."""

    def __init__(self, at_s: float = 0.0, source: Mapping[str, str] | None = None) -> None:
        self.at_s = at_least("at_s", at_s, 0.0)
        self.source = source

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        return zip(repeat(self.at_s), demands, strict=False)


class TraceTimes:
    """The times that the demands carry, divided by `speed`: 2 replays twice as fast.

    A demand without a time, or with one before that of the demand ahead, is a `ConfigError`.
    """

    def __init__(self, speed: float = 1.0, source: Mapping[str, str] | None = None) -> None:
        self.speed = positive("speed", speed)
        self.source = source

    def times(self, demands: Iterator[Demand], rng: np.random.Generator) -> Iterator[Arrival]:
        speed = self.speed
        before = 0.0
        for number, demand in enumerate(demands, 1):
            at = demand.arrival_s
            if at is None:
                raise ConfigError(
                    f"demand {number} has no arrival time to replay; take a workload with times, "
                    "or arrivals that make them (poisson, gamma, evenly, burst)"
                )
            if not at >= before:
                raise ConfigError(
                    f"demand {number} arrives at {at!r} s, after one at {before!r} s; times must "
                    "be at least 0 and never decrease"
                )
            before = at
            yield at / speed, demand
