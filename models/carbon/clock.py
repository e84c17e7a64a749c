"""The time of day and of the week at a place when a run begins."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Clock:
    """At 0 of the run's clock: the day of the week (0 is a Monday) and the hour of the day.

    date_s: seconds since 1970 then, None for a day of no calendar.
    """

    weekday: int
    hour: float
    date_s: float | None = None

    def __post_init__(self) -> None:
        if not (self.weekday in range(7) and 0.0 <= self.hour < 24.0):
            raise ConfigError(
                f"clock: weekday = {self.weekday!r} must be 0 to 6 and hour = {self.hour!r} in "
                "[0, 24)"
            )
