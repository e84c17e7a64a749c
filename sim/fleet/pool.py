"""Equal devices in one region, by make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.carbon.battery import Battery
from models.carbon.calendar import Calendar
from models.carbon.generations import DeviceClass
from models.carbon.hourly import Deployment
from models.carbon.lifetime import Life
from models.carbon.signal import Floats
from models.carbon.supply import FarmEnergy
from models.carbon.units import S_PER_YEAR
from models.carbon.wear import Odometer, fit_for_second_life
from models.errors import ConfigError
from policies.refresh.contract import Refresh


@dataclass(frozen=True, slots=True)
class SecondUse:
    """What a pool does with devices from elsewhere.

    years: that they are planned to last. draw: power relative to what they drew elsewhere for the
    same work; failures: their rate relative to a device of their age elsewhere. survival: chance
    to last the plan that is asked of them. carries: what is not written off of their making comes
    along; else it is expensed where they come from.
    """

    years: float
    draw: float = 1.0
    failures: float = 1.0
    survival: float = 0.0
    carries: bool = True

    def __post_init__(self) -> None:
        for key, least in (("years", 0.0), ("draw", 0.0), ("failures", -1.0)):
            if not getattr(self, key) > least:
                raise ConfigError(f"second use: {key} = {getattr(self, key)!r} must be > {least:g}")
        if not 0.0 <= self.survival <= 1.0:
            raise ConfigError(f"second use: survival = {self.survival!r} must be in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A device class in a region, its work, and its supply.

    devices: that the work needs in year 0, by age in years; growth: of the work each year. use:
    mean utilisation of a device; shape: relative to that, by hour of a year. intensity, pue, farms:
    by hour of a year or of all. refresh: when devices are replaced. second: how those from
    elsewhere go on here; None: it takes none.
    """

    name: str
    device: DeviceClass
    refresh: Refresh
    devices: Sequence[tuple[float, float]]
    use: float
    intensity_g_per_kwh: Floats | float
    pue: Floats | float = 1.0
    growth: float = 0.0
    shape: Floats | None = None
    farms: Sequence[FarmEnergy[Floats]] = ()
    battery: Battery | None = None
    second: SecondUse | None = None

    def __post_init__(self) -> None:
        where = f"pool {self.name}:"
        if not (self.devices and all(age >= 0.0 and n >= 0.0 for age, n in self.devices)):
            raise ConfigError(f"{where} devices = {self.devices!r} must be (age >= 0, number >= 0)")
        if not (0.0 <= self.use <= 1.0 and self.growth > -1.0):
            raise ConfigError(
                f"{where} use = {self.use!r} must be in [0, 1] and growth = {self.growth!r} > -1"
            )

    def hourly(self, values: Floats | float, calendar: Calendar) -> Floats:
        """A constant, a year or all years, by hour of all years."""
        if np.ndim(values) == 0:
            return np.full(calendar.hours, float(values))
        found = np.asarray(values, dtype=np.float64)
        return found if len(found) == calendar.hours else calendar.repeated(found)


@dataclass(slots=True)
class Cohort:
    """Devices of one make that came to a pool together.

    number: still there. made_s: when they were bought; from_s: came here, with a making of `life`
    left to write off. draw, failures: relative to new ones of their make.
    """

    device: DeviceClass
    number: float
    made_s: float
    from_s: float
    life: Life
    odometer: Odometer
    draw: float = 1.0
    failures: float = 1.0

    @classmethod
    def bought(cls, device: DeviceClass, number: float, now_s: float, age_s: float = 0.0) -> Cohort:
        """New ones, or ones that have served for some time."""
        made_s = now_s - age_s
        life = Life(device.embodied_g, device.life_s)
        return cls(device, number, made_s, made_s, life, device.after(Odometer(), age_s))

    def power(self) -> float:
        """Draw of all, in devices of the make of time 0."""
        return float(self.number * self.draw * self.device.draw(self.made_s))

    def watts(self, use: float) -> float:
        """Mean power of one."""
        return self.draw * self.device.power_w(use, self.made_s)

    def book_g(self, now_s: float) -> float:
        """Of one, what is not written off."""
        return self.life.book_g(now_s - self.from_s)

    def leave(self, number: float, now_s: float, name: str, carries: bool = False) -> Deployment:
        """So many go."""
        self.number -= number
        return self.deployment(name, number, now_s, carries)

    def deployment(
        self, name: str, number: float, to_s: float, carries: bool = False
    ) -> Deployment:
        """The stay of so many, for the accounts."""
        return Deployment(
            name=name, life=self.life, from_s=self.from_s, to_s=to_s, count=number,
            carries=carries,
        )  # fmt: skip

    def serve(self, seconds: float) -> float:
        """Time passes; returns how many fail in it, on average."""
        survive = self.device.failures.survives(self.odometer.on_s, seconds, self.failures)
        self.odometer = self.device.after(self.odometer, seconds)
        return float(self.number * (1.0 - survive))

    def fit(self, second: SecondUse) -> bool:
        """Whether its wear, and what fails there, let it have a second life."""
        return fit_for_second_life(
            self.odometer, self.device.limits, self.device.failures, second.years * S_PER_YEAR,
            second.survival, self.failures * second.failures,
        )  # fmt: skip

    def serves_s(self, second: SecondUse) -> float:
        """How long one works of the plan of a second life, on average."""
        return self.device.failures.serves_s(
            self.odometer.on_s, second.years * S_PER_YEAR, self.failures * second.failures
        )

    def moved(self, number: float, now_s: float, second: SecondUse) -> Cohort:
        """So many of them at the beginning of a second life."""
        book_g = self.book_g(now_s) if second.carries else 0.0
        return replace(
            self,
            number=number,
            from_s=now_s,
            life=Life(book_g, second.years * S_PER_YEAR),
            draw=self.draw * second.draw,
            failures=self.failures * second.failures,
        )


@dataclass(slots=True)
class Stock:
    """What a pool has: its devices, the stays that have ended, and by quarter the draw of all, in
    devices of the make of time 0."""

    pool: Pool
    cohorts: list[Cohort] = field(default_factory=list)
    ended: list[Deployment] = field(default_factory=list)
    draws: list[float] = field(default_factory=list)
    bought: list[tuple[float, float]] = field(default_factory=list)

    @property
    def number(self) -> float:
        return sum(cohort.number for cohort in self.cohorts)
