"""Faults: slow-downs, failures and repairs of anything, at given times or at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import inf, prod
from typing import Any, Literal, Protocol

import simpy

from sim.core.errors import ConfigError, OrreryError
from sim.core.simulation import Simulation


class Down(OrreryError):
    """Work was on a device or link that failed; raised in whoever waits for it."""


class Faultable(Protocol):
    """What can break: devices, links, cables."""

    def set_speed(self, factor: float) -> None:
        """Run at `factor` times the specified speed from now on."""
        ...

    def fail(self) -> None:
        """Stop."""
        ...

    def repair(self) -> None:
        """Back at the specified speed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one target, or of all that a pattern like "node0/gpu*" matches.

    kind: "slow" (to `speed` times the specified speed), "fail", or "repair" (ends every fault of
    the target). duration_s: after that it ends by itself; None: it lasts until a "repair".
    """

    time_s: float
    target: str
    kind: Literal["slow", "fail", "repair"]
    speed: float | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        where = f"fault of {self.target} at {self.time_s} s:"
        if self.kind not in ("slow", "fail", "repair"):
            raise ConfigError(f"{where} kind = {self.kind!r} is none of slow, fail, repair")
        if not 0.0 <= self.time_s < inf:
            raise ConfigError(f"{where} time_s must be a time >= 0")
        if self.kind == "slow" and not (self.speed is not None and 0.0 < self.speed < inf):
            raise ConfigError(f"{where} speed = {self.speed!r} must be a factor > 0, like 0.5")
        if self.kind != "slow" and self.speed is not None:
            raise ConfigError(f"{where} speed = {self.speed!r} belongs to kind slow alone")
        if self.duration_s is not None and (self.kind == "repair" or not self.duration_s > 0.0):
            raise ConfigError(f"{where} duration_s = {self.duration_s!r}; a time > 0 of slow, fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFaults:
    """Each target breaks after exponential times of mean `mtbf_s` and is restored after
    exponential times of mean `mttr_s`, until `until_s`; a repair under way then still ends.

    targets: names, or patterns like "node*/gpu*" for all that match. kind, speed: as in `Fault`.
    Every target draws from a stream of its own, so that one more changes nothing for the others.
    """

    targets: Sequence[str]
    mtbf_s: float
    mttr_s: float
    until_s: float
    kind: Literal["slow", "fail"] = "fail"
    speed: float | None = None

    def __post_init__(self) -> None:
        for key in ("mtbf_s", "mttr_s", "until_s"):
            if not 0.0 < getattr(self, key) < inf:
                raise ConfigError(f"random faults: {key} = {getattr(self, key)!r} must be > 0")

    def draw(self, simulation: Simulation, targets: Sequence[str]) -> list[Fault]:
        """The faults of these targets in this run."""
        faults = []
        for target in targets:
            stream = simulation.stream(f"faults/{self.kind}/{target}")
            time_s = float(stream.exponential(self.mtbf_s))
            while time_s < self.until_s:
                lasts_s = float(stream.exponential(self.mttr_s))
                faults.append(
                    Fault(
                        time_s=time_s,
                        target=target,
                        kind=self.kind,
                        speed=self.speed,
                        duration_s=lasts_s,
                    )
                )
                time_s += lasts_s + float(stream.exponential(self.mtbf_s))
        return faults


class Faults:
    """The faults of a run: listed ones and random processes.

    Faults of one target that overlap add up: it is down while any failure lasts, and runs at the
    product of the slow-downs that last. As one of a run's systems it acts on the run's cluster.
    """

    name = "faults"

    def __init__(self, schedule: Sequence[Fault] = (), random: Sequence[RandomFaults] = ()) -> None:
        self.schedule = schedule
        self.random = random

    def start(self, simulation: Simulation, targets: Mapping[str, Faultable] | None = None) -> None:
        """Schedule all faults of `targets` (by default all that can break in the run's cluster).
        Raises ConfigError for a name or pattern that fits none."""
        if targets is None:
            if simulation.cluster is None:
                raise ConfigError("faults: the run has no cluster whose parts could break")
            targets = simulation.cluster.targets
        faults = [(name, f) for f in self.schedule for name in _matching(f.target, targets)]
        for process in self.random:
            names = [name for pattern in process.targets for name in _matching(pattern, targets)]
            faults += [(fault.target, fault) for fault in process.draw(simulation, names)]
        troubles: dict[str, _Troubles] = {}
        for name, fault in faults:
            trouble = troubles.get(name)
            if trouble is None:
                trouble = troubles[name] = _Troubles(targets[name])
            if fault.kind == "repair":
                simulation.at(fault.time_s, trouble.clear)
                continue
            begin, end = trouble.of(fault)
            simulation.at(fault.time_s, begin)
            if fault.duration_s is not None:
                simulation.at(fault.time_s + fault.duration_s, end)

    def done(self) -> bool:
        """Nobody waits for faults."""
        return True

    def snapshot(self) -> dict[str, object]:
        """Nothing waits."""
        return {}

    def finish(self, results: Any) -> None:
        """What broke is among the facts; there is nothing to add."""


def _matching(pattern: str, targets: Mapping[str, Faultable]) -> list[str]:
    """Names that a name or pattern stands for."""
    if pattern in targets:
        return [pattern]
    names = [name for name in targets if fnmatchcase(name, pattern)]
    if not names:
        near = get_close_matches(pattern, targets, 3) or sorted(targets)[:3]
        raise ConfigError(f"fault: nothing is called {pattern!r}; there is {', '.join(near)}")
    return names


class _Troubles:
    """The faults that one target has at present."""

    def __init__(self, target: Faultable) -> None:
        self.target = target
        self.now: dict[int, Fault] = {}
        self.known = 0
        self.down = False
        self.speed = 1.0

    def of(
        self, fault: Fault
    ) -> tuple[Callable[[simpy.Event], None], Callable[[simpy.Event], None]]:
        """What begins and what ends this fault."""
        key = self.known
        self.known += 1

        def begin(_: simpy.Event) -> None:
            self.now[key] = fault
            self.apply()

        def end(_: simpy.Event) -> None:
            if self.now.pop(key, None) is not None:
                self.apply()

        return begin, end

    def clear(self, _: simpy.Event) -> None:
        """All faults end."""
        self.now.clear()
        self.apply()

    def apply(self) -> None:
        """Bring the target to the state that its faults give."""
        down = any(fault.kind == "fail" for fault in self.now.values())
        speeds = [fault.speed for fault in self.now.values() if fault.speed is not None]
        speed = prod(speeds, start=1.0)
        if down and not self.down:
            self.target.fail()
        elif self.down and not down:
            self.target.repair()
            self.speed = 1.0
        self.down = down
        if not down and speed != self.speed:
            self.target.set_speed(speed)
            self.speed = speed
