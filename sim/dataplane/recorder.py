"""Tables of a data path: its epochs and its plans."""

from __future__ import annotations

from sim.core.simulation import Simulation
from sim.dataplane.facts import EpochEnded, PlanDecided


class Recorder:
    """Writes each epoch and each plan as a row, the first among them: made before it is decided."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self._name = name
        results = simulation.results
        self._epochs = results.table(
            f"{name}_epochs",
            {
                "time_s": "float64",
                "offered_pps": "float64",
                "delivered_pps": "float64",
                "dropped_pps": "float64",
                "busy_cores": "float64",
                "cores": "int32",
                "offloaded": "int64",
            },
        )
        self._plans = results.table(
            f"{name}_plans",
            {
                "asked_s": "float64",
                "decided_s": "float64",
                "sides": "string",
                "offloaded": "float64",
                "nodes": "int64",
                "bound_by": "string",
            },
        )
        simulation.facts.subscribe(EpochEnded, self._epoch)
        simulation.facts.subscribe(PlanDecided, self._plan)

    def _epoch(self, fact: EpochEnded) -> None:
        if fact.system == self._name:
            self._epochs.append(fact[1:-1])
            self._epochs.flush_when_full()

    def _plan(self, fact: PlanDecided) -> None:
        plan = fact.plan
        if fact.system == self._name:
            times = fact.start_s, fact.end_s
            self._plans.append((*times, plan.sides, plan.offloaded, fact.nodes, fact.bound_by))
