"""A progress bar."""

from __future__ import annotations

from typing import Any

from sim.core.simulation import Simulation


class Progress:
    """Shows simulated time and finished requests on the terminal while a run goes on."""

    def attach(self, simulation: Simulation) -> None:
        from tqdm import tqdm

        from sim.serving.facts import RequestFinished

        self._bar = tqdm(unit=" requests", desc="simulating", leave=False)
        self._simulation = simulation
        simulation.facts.subscribe(RequestFinished, self._finished)

    def _finished(self, fact: Any) -> None:
        if self._bar.update():
            self._bar.set_postfix_str(f"{fact.time_s:,.0f} s simulated", refresh=False)

    def finish(self, results: Any) -> None:
        self._bar.close()
