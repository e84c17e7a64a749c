"""Embodied carbon over a device's life: written off evenly, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from models.carbon.signal import Floats
from models.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Life:
    """`embodied_g` written off evenly over `planned_s` of being deployed, busy or idle."""

    embodied_g: float
    planned_s: float

    def __post_init__(self) -> None:
        if not (self.embodied_g >= 0.0 and isfinite(self.embodied_g) and self.planned_s > 0.0):
            raise ConfigError(
                f"life: embodied_g = {self.embodied_g!r} must be >= 0 and planned_s = "
                f"{self.planned_s!r} > 0"
            )

    def book_g(self, age_s: float) -> float:
        """What is left to write off at an age; nothing beyond the plan."""
        if not age_s >= 0.0:
            raise ConfigError(f"life: an age of {age_s!r} s must be >= 0")
        return self.embodied_g * max(0.0, 1.0 - age_s / self.planned_s)

    def books_g(self, ages_s: Floats) -> Floats:
        """The same at many ages."""
        left: Floats = self.embodied_g * np.maximum(0.0, 1.0 - ages_s / self.planned_s)
        return left

    def accrued_g(self, from_s: float, to_s: float) -> float:
        """Written off between two ages."""
        if not from_s <= to_s:
            raise ConfigError(f"life: from {from_s!r} to {to_s!r} s goes backwards")
        return self.book_g(from_s) - self.book_g(to_s)

    @property
    def g_per_s(self) -> float:
        """While the plan lasts."""
        return self.embodied_g / self.planned_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One use of a device: deployed for `deployed_s` of `planned_s`. `carries`: at its end the
    book value goes on to the next stage (which spreads it over its own plan), instead of being
    expensed as early retirement, which makes the next use free."""

    name: str
    deployed_s: float
    planned_s: float
    carries: bool = False


EARLY = "early-retirement"


def write_off(embodied_g: float, stages: Sequence[Stage]) -> dict[str, float]:
    """Grams by stage, and what early retirement expenses; together `embodied_g`.

    Raises ConfigError for a last stage that carries on to nobody, or names that repeat.
    """
    names = [stage.name for stage in stages]
    if not names or len(set(names)) != len(names) or EARLY in names:
        raise ConfigError(f"stages {names} must be one or more, of different names, none {EARLY}")
    if stages[-1].carries:
        raise ConfigError(f"stage {names[-1]}: carries, but no stage follows")
    found: dict[str, float] = {}
    expensed = 0.0
    book = embodied_g
    for stage in stages:
        life = Life(book, stage.planned_s)
        left = life.book_g(stage.deployed_s)
        found[stage.name] = book - left
        if stage.carries:
            book = left
        else:
            expensed += left
            book = 0.0
    found[EARLY] = expensed
    return found
