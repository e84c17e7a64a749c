"""Times of a file as seconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.errors import ConfigError


class Stamps:
    """Reads times written in one zone.

    zone: of times that carry no offset: a name such as UTC or Europe/London. formats: of
    `strptime`, tried in order; none: ISO 8601. In the hour that daylight saving repeats, the first
    time a stamp comes it is the earlier one, the second time the later; so stamps are given in
    order of time. A time that daylight saving skips is none.
    """

    def __init__(self, zone: str = "UTC", formats: tuple[str, ...] = ()) -> None:
        try:
            self.zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError(
                f"zone is {zone!r}; it must be a name of the time zone database, such as UTC or "
                "Europe/London"
            ) from None
        self.formats = formats
        self._repeated: set[datetime] = set()

    def seconds(self, text: str) -> float | None:
        """Seconds since 1970; None for what is no time in this zone."""
        local = self._parse(text)
        if local is None:
            return None
        if local.tzinfo is not None:
            return local.timestamp()
        first = local.replace(tzinfo=self.zone, fold=0)
        second = local.replace(tzinfo=self.zone, fold=1)
        if first.utcoffset() == second.utcoffset():
            return first.timestamp()
        if first.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) != local:
            return None
        if local in self._repeated:
            return second.timestamp()
        self._repeated.add(local)
        return first.timestamp()

    def wanted(self, text: str) -> tuple[str, str]:
        """What a text that is no time would have to be, and a hint (see `TraceError`)."""
        if self._parse(text) is not None:
            return f"a time of {self.zone.key}, where daylight saving skips it", "see {key}zone"
        if self.formats:
            now = datetime(2020, 1, 31, 18)
            return f"a time such as {now.strftime(self.formats[0])}", ""
        says = "a time of ISO 8601, such as 2020-01-31T18:00 or 2020-01-31 18:00:00+01:00"
        return says, "of a CSV {key}time names the column of times"

    def _parse(self, text: str) -> datetime | None:
        if not self.formats:
            try:
                return datetime.fromisoformat(text)
            except ValueError:
                return None
        for form in self.formats:
            try:
                return datetime.strptime(text, form)
            except ValueError:
                continue
        return None


def day(text: str, zone: str = "UTC") -> float:
    """Seconds since 1970 of a date or time given in a setting. Raises ConfigError."""
    seconds = Stamps(zone).seconds(text) if isinstance(text, str) else None
    if seconds is None:
        raise ConfigError(
            f"starts is {text!r}; it must be a date or time such as 2020-01-31 or 2020-01-31T12:00"
        )
    return seconds


def stamp(time_s: float) -> str:
    """Seconds since 1970 as a date and time in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def weekday_and_hour(time_s: float, zone: str = "UTC") -> tuple[int, float]:
    """Day of the week (0 is Monday) and hour of the day, with its fraction, in a zone."""
    local = datetime.fromtimestamp(time_s, UTC).astimezone(Stamps(zone).zone)
    since = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    return local.weekday(), since.total_seconds() / 3600.0
