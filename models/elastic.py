"""Work that runs on more or fewer GPUs: its speed on each number of them, and what they draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from models.errors import ConfigError
from models.hardware.sourced import check


class Level(NamedTuple):
    """A number of GPUs that work may run on.

    work_per_s: progress in a second, in seconds at the least number (1 there). power_share: of the
    dynamic power range of each GPU, while it works.
    """

    gpus: int
    work_per_s: float
    power_share: float


class Scaling(Protocol):
    """How work scales."""

    def levels(self, least: int, most: int) -> tuple[Level, ...]:
        """From the least number of GPUs to the most. Raises ConfigError where it knows nothing of
        them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Amdahl:
    """Throughput on k GPUs is k / (1 + serial_share (k - 1)) of that on one: linear with 0.

    power_share: of the dynamic power range, on every number.
    """

    name: str
    serial_share: float
    power_share: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("scaling", self, may_be_zero=("serial_share",))
        for key in ("serial_share", "power_share"):
            if getattr(self, key) > 1.0:
                raise ConfigError(
                    f"scaling {self.name}: {key} = {getattr(self, key)!r} is at most 1"
                )

    def levels(self, least: int, most: int) -> tuple[Level, ...]:
        _check_range(least, most)

        def speed(gpus: int) -> float:
            return gpus / (1.0 + self.serial_share * (gpus - 1))

        return tuple(
            Level(gpus, speed(gpus) / speed(least), self.power_share)
            for gpus in range(least, most + 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A profile: throughput in any unit, and share of the dynamic power range, by number of GPUs
    (rising; numbers between are not used)."""

    name: str
    gpus: Sequence[int]
    throughput: Sequence[float]
    power_share: Sequence[float]
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("scaling", self)
        rising = list(self.gpus) == sorted(set(self.gpus))
        if not (rising and len(self.gpus) == len(self.throughput) == len(self.power_share)):
            raise ConfigError(
                f"scaling {self.name}: gpus = {list(self.gpus)} must rise, with as many figures of "
                f"throughput ({len(self.throughput)}) and power_share ({len(self.power_share)})"
            )
        if list(self.throughput) != sorted(self.throughput) or max(self.power_share) > 1.0:
            raise ConfigError(
                f"scaling {self.name}: throughput must not fall and power_share be at most 1; they "
                f"are {list(self.throughput)}, {list(self.power_share)}"
            )

    def levels(self, least: int, most: int) -> tuple[Level, ...]:
        _check_range(least, most)
        if least not in self.gpus or most not in self.gpus:
            raise ConfigError(
                f"scaling {self.name}: knows {list(self.gpus)} GPUs; {least} to {most} are asked"
            )
        base = self.throughput[list(self.gpus).index(least)]
        rows = zip(self.gpus, self.throughput, self.power_share, strict=True)
        return tuple(
            Level(gpus, speed / base, share) for gpus, speed, share in rows if least <= gpus <= most
        )


def _check_range(least: int, most: int) -> None:
    if not 1 <= least <= most:
        raise ConfigError(
            f"scaling: least = {least!r} and most = {most!r} GPUs; 1 <= least <= most"
        )
