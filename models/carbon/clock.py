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

    def check(self, what: object, key: str, site: str) -> None:
        """Raises ConfigError where something that goes by the hours of a run (its `clock_hour`) or
        by days of the week (its `first_weekday`) begins at others than these, a site's."""
        for name, own in (("clock_hour", self.hour), ("first_weekday", self.weekday)):
            given = getattr(what, name, own)
            if given != own:
                raise ConfigError(
                    f"{key}: goes by a {name} of {given:g}, but sites.{site} begins at {own:g}; "
                    f"set one by the other (starts, from_hour and first_weekday are the site's)"
                )
