"""Steps under a power cap: slower and at the cap's draw where they would draw more."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from models.step_cost import StepCost


@dataclass(frozen=True, slots=True)
class PowerLimit:
    """What a cap means to work on a device.

    share: of the dynamic power range that the cap leaves, in (0, 1). stretch: seconds that a second
    of a step takes longer for each unit of share that it would draw above that; so full draw takes
    1 + stretch x (1 - share), a draw below the cap costs nothing.
    """

    share: float
    stretch: float


class CappedCost(StepCost):
    """The iterations of `asked` on devices of `speed` under a limit, in seconds of their time.

    An iteration of duration T whose weighted seconds A at that speed exceed share x T takes
    T + stretch x (A - share x T), all of it at the limit's share; others stay as they are. As A and
    T are straight in the number of the iteration, so is the excess, and sums are closed forms.
    """

    __slots__ = ("_legs", "_saved", "_stretch", "asked")

    def __init__(self, asked: StepCost, limit: PowerLimit, speed: float) -> None:
        self.asked = asked
        self._stretch = limit.stretch
        # Weighted seconds less, for a unit of excess: share x stretch more time, one less in it.
        self._saved = (1.0 - limit.share * limit.stretch) / speed
        self._legs = _excess(asked, limit.share, speed)
        self.first = self.step(0)
        self.active_first = self.active_step(0)
        self.slope = self.floor = self.active_slope = 0.0
        self.flat = 0

    def step(self, j: int) -> float:
        return self.asked.step(j) + self._stretch * self._excess_of(j)

    def total(self, steps: int) -> float:
        return self.asked.total(steps) + self._stretch * self._excess_until(steps)

    def near(self, duration: float) -> int:
        """About `steps_within(duration)`: between none and those of `asked`, which are shorter."""
        low, high = 0, self.asked.near(duration) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.total(middle) <= duration:
                low = middle
            else:
                high = middle
        return low

    def active_step(self, j: int) -> float:
        return self.asked.active_step(j) - self._saved * self._excess_of(j)

    def active_total(self, steps: int) -> float:
        return self.asked.active_total(steps) - self._saved * self._excess_until(steps)

    def moment(self, steps: int) -> float:
        area = 0.0
        for low, high, first, slope in self._legs:
            n = min(steps, high) - low if high >= 0 else steps - low
            if n > 0:
                ones = n * (n - 1) // 2
                area += low * (n * first + slope * ones) + ones * (first + slope * (2 * n - 1) / 3)
        return self.asked.moment(steps) + self._stretch * area

    def _excess_of(self, j: int) -> float:
        for low, high, first, slope in self._legs:
            if low <= j and (j < high or high < 0):
                return first + slope * (j - low)
        return 0.0

    def _excess_until(self, steps: int) -> float:
        excess = 0.0
        for low, high, first, slope in self._legs:
            n = min(steps, high) - low if high >= 0 else steps - low
            if n > 0:
                excess += n * first + slope * (n * (n - 1) // 2)
        return excess


def _excess(asked: StepCost, share: float, speed: float) -> list[tuple[int, int, float, float]]:
    """Where A x speed - share x T is above 0, as straight pieces: from, to (-1: no end), its value
    in the first iteration, its slope."""
    legs = asked.legs()
    found = []
    for i, (low, seconds_slope, active_slope) in enumerate(legs):
        high = legs[i + 1][0] if i + 1 < len(legs) else -1
        value = speed * asked.active_step(low) - share * asked.step(low)
        slope = speed * active_slope - share * seconds_slope
        if value <= 0.0:
            # It may rise above 0 further on.
            if slope * 2**60 <= -value:
                continue
            skip = floor(-value / slope) + 1
            low, value = low + skip, value + slope * skip
        elif slope < 0.0:
            ends = low + ceil(value / -slope) if value < -slope * 2**60 else -1
            high = ends if high < 0 else high if ends < 0 else min(high, ends)
        if high < 0 or low < high:
            found.append((low, high, value, slope))
    return found
