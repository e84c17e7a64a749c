"""One run: clock, seed, random streams, facts, systems, observers."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import simpy

from sim.core.environment import NORMAL, SAMPLE, Environment, Moment
from sim.core.errors import ConfigError, Stalled
from sim.core.facts import Facts, Listener, Observer
from sim.core.result import Draft
from sim.core.streams import Streams

if TYPE_CHECKING:
    from sim.carbon.sites import Sites
    from sim.hardware.cluster import Cluster


class System(Protocol):
    """Something that runs on the clock: LLM serving, training, packets, ..."""

    name: str

    def start(self, simulation: Simulation) -> None:
        """Build what lives in time and schedule the first events."""
        ...

    def done(self) -> bool:
        """Whether nothing is left to do."""
        ...

    def snapshot(self) -> dict[str, object]:
        """Who waits for what, for `Stalled`."""
        ...

    def finish(self, results: Any) -> None:
        """The run has ended: put figures and tables into `results` (`sim.core.result.Draft`)."""
        ...


class Simulation:
    """One run. `cluster` is the hardware that the systems share, `sites` where it stands. Tables
    stream into `folder` (memory without one). `mode` is "jump" (exact jumps over unchanged steps)
    or "step" (every step an event: the reference). `over`: the run has ended.

    `until_s` ends the run at that time even if work is left; without it the run ends when every
    system is done, and `Stalled` is raised when events run out before. `idle_until_s`: a run whose
    systems are done before that time goes on to it, so that what stands there draws idle power as
    long in all runs that are compared.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        mode: Literal["jump", "step"] = "jump",
        until_s: float | None = None,
        idle_until_s: float | None = None,
        cluster: Cluster | None = None,
        folder: Path | None = None,
        sites: Sites | None = None,
    ) -> None:
        if mode not in ("jump", "step"):
            raise ConfigError(f"mode: {mode!r} is neither 'jump' nor 'step'")
        for key, time_s in (("until_s", until_s), ("idle_until_s", idle_until_s)):
            if time_s is None:
                continue
            number = isinstance(time_s, int | float) and not isinstance(time_s, bool)
            if not (number and 0.0 < time_s < inf):
                raise ConfigError(f"{key}: {time_s!r} is not a time > 0")
        if until_s is not None and idle_until_s is not None and until_s < idle_until_s:
            raise ConfigError(
                f"idle_until_s: {idle_until_s!r}, but until_s ends the run at {until_s!r} s"
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seed: {seed!r} is not a whole number >= 0")
        self.seed = seed
        self.mode = mode
        self.until_s = until_s
        self.idle_until_s = idle_until_s
        self.env = Environment()
        self.cluster = cluster
        self.sites = sites
        self.over = False
        self.results = Draft(folder)
        self.facts = Facts()
        self.systems: list[System] = []
        self.observers: list[Observer] = []
        self._streams = Streams(seed)
        self._samplers = 0
        self._on_started: list[Callable[[], None]] = []
        self._idle = False
        self._ended = self.env.event()

    @property
    def now(self) -> float:
        """Simulated time in seconds."""
        return self.env.now

    @property
    def stepwise(self) -> bool:
        """Whether every step is an event of its own (the reference mode)."""
        return self.mode == "step"

    def stream(self, name: str) -> np.random.Generator:
        """The random stream of that name."""
        return self._streams(name)

    def event(self) -> simpy.Event:
        """A new SimPy event; `succeed()` fires it at the present time."""
        return self.env.event()

    def at(
        self, time_s: float, callback: Callable[[simpy.Event], None], priority: float = NORMAL
    ) -> simpy.Event:
        """Call `callback` at an absolute time. Returns the event, for `cancel`."""
        moment = Moment(self.env, [callback])
        self.env.schedule_at(moment, time_s, priority)
        return moment

    @staticmethod
    def cancel(event: simpy.Event) -> None:
        """Forget what an event scheduled by `at` was to call."""
        if event.callbacks is not None:
            event.callbacks = []

    def every(self, interval_s: float, callback: Callable[[float], None]) -> None:
        """Call `callback(now)` at 0, interval, 2 * interval, ... after all else of the instant.

        For observers that sample: such events alone never keep a run alive.
        """
        if not interval_s > 0:
            raise ConfigError(f"a sampling interval is a time > 0, not {interval_s!r} s")
        start = self.now
        count = 0

        def sample(now_s: float) -> float:
            nonlocal count
            callback(now_s)
            count += 1
            return start + count * interval_s

        self.sample(start, sample)

    def sample(self, first_s: float, callback: Callable[[float], float | None]) -> None:
        """Call `callback(now)` at `first_s`, and again at each time that it returns, until that is
        None; like `every` after all else of the instant, and without keeping a run alive."""
        self._samplers += 1

        def ring(_: simpy.Event) -> None:
            next_s = callback(self.env.now)
            if next_s is not None and self.env.scheduled >= self._samplers:
                self.at(next_s, ring, SAMPLE)
            else:
                self._samplers -= 1

        self.at(first_s, ring, SAMPLE)

    def listeners(self, fact: type) -> list[Listener]:
        """The live list of listeners of a fact type."""
        return self.facts.listeners(fact)

    def observe(self, observer: Observer) -> None:
        """Attach an observer; before `run`."""
        self.observers.append(observer)
        observer.attach(self)

    def add(self, system: System) -> None:
        """Add a system; before `run`."""
        if any(other.name == system.name for other in self.systems):
            raise ConfigError(f"two systems are called {system.name!r}")
        self.systems.append(system)

    def check_done(self) -> None:
        """A system has finished something: end the run if all of them are done, and `idle_until_s`
        has come."""
        if self._ended.triggered or not all(system.done() for system in self.systems):
            return
        if self.idle_until_s is None or self.now >= self.idle_until_s:
            self._ended.succeed()
        elif not self._idle:
            self._idle = True
            self.at(self.idle_until_s, self._time_up, SAMPLE)

    def on_started(self, callback: Callable[[], None]) -> None:
        """Call `callback` when all systems have started, before the first event."""
        self._on_started.append(callback)

    def run(self) -> None:
        """Run until every system is done (or `until_s`), and to `idle_until_s` at least."""
        if not self.systems:
            raise ConfigError("systems: nothing to simulate")
        if self.cluster is None and self.sites is not None:
            raise ConfigError("sites: the run has no cluster, so nothing would stand at them")
        if self.cluster is not None:
            self.cluster.build(self)
            if self.sites is not None:
                self.sites.begin(self)
        for system in self.systems:
            system.start(self)
        for callback in self._on_started:
            callback()
        self.check_done()
        if self.until_s is not None:
            self.at(self.until_s, self._time_up, SAMPLE)
        if not self.env.run_until(self._ended):
            raise self._stalled()

    def finish(self) -> None:
        """Gather the figures of systems, hardware and observers."""
        self.over = True
        for system in self.systems:
            system.finish(self.results)
        self.results.figure("simulated_s", self.now)
        if self.cluster is not None and self.sites is not None:
            self.sites.close(self.now)
        if self.cluster is not None:
            self.results.figure("energy_j", self.cluster.energy_j(self.now))
        for observer in self.observers:
            observer.finish(self.results)

    def _time_up(self, _: simpy.Event) -> None:
        if not self._ended.triggered:
            self._ended.succeed()

    def _stalled(self) -> Stalled:
        snapshot = {s.name: s.snapshot() for s in self.systems if not s.done()}
        names = ", ".join(snapshot) or "none"
        return Stalled(
            f"events ran out at {self.now} s with work unfinished in: {names}; {snapshot}",
            dict(snapshot),
        )
