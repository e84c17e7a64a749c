"""The observer that checks laws while a run goes on (`laws=check`)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import Scenario, scenarios

from sim.core.errors import LawBroken
from sim.core.simulation import Simulation
from sim.serving.facts import Iterations
from sim.serving.law_check import LawCheck


@given(scenarios(), st.sampled_from(["jump", "step"]))
def test_it_finds_nothing_in_a_sound_run(scenario: Scenario, mode: str) -> None:
    """And counts as the run does: it raises where its own sums differ from the run's."""
    scenario.run(mode, observers=[LawCheck()])


class Meddler:
    """An observer that breaks a law after 3 s, as no observer may."""

    def __init__(self, meddle: Any) -> None:
        self._meddle = meddle

    def attach(self, simulation: Simulation) -> None:
        self._simulation = simulation
        simulation.facts.subscribe(Iterations, self._act)

    def _act(self, fact: Iterations) -> None:
        if fact.end_s > 3.0:
            self._meddle(self._simulation.systems[0])

    def finish(self, results: Any) -> None:
        """Nothing to add."""


def _lose_a_block(serving: Any) -> None:
    serving.replicas[0].pool.take(1)


def _unbalance_the_pool(serving: Any) -> None:
    serving.replicas[0].pool.free -= 1


def _make_a_token_twice(serving: Any) -> None:
    serving.replicas[0].tally.output_tokens += 1


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (_lose_a_block, "requests hold"),
        (_unbalance_the_pool, "blocks: "),
        (_make_a_token_twice, "tokens made = tokens asked"),
    ],
)
def test_it_finds_what_is_broken(meddle: Any, said: str) -> None:
    scenario = Scenario(requests=((0.0, 4, 60),), kv_blocks=40)
    with pytest.raises(LawBroken, match=said):
        scenario.run("step", observers=[Meddler(meddle), LawCheck()])
