"""Settings that are not of the kind that what reads them wants."""

from __future__ import annotations

import re

import pytest

from experiments.compose import compose
from experiments.study.metrics import headline
from sim.core.errors import ConfigError
from sim.core.run import run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sites.sites.home.pue=0.9"], "sites.sites.home.pue is 0.9; it must have a _target_"),
        (
            ["experiment=carbon_jobs", "cluster=two_regions", "sites=two_regions"],
            "cluster.nodes.node is {'count': 4}; it must have a _target_",
        ),
        (
            ["sites=place", "sites.sites.home.intensity.place=[brazil]"],
            "sites.sites.home.intensity.place is ['brazil']; it must be text",
        ),
        (["cluster.nodes=3"], "cluster.nodes is 3; it must be settings with a _target_ each"),
        (["experiment=fleet", "years=2.5"], "years is 2.5; it must be a whole number"),
        (["carbon.shapley_spans_s=3600"], "carbon.shapley_spans_s is 3600; it must be a list"),
        (
            ["sites.sites.home.forecast_error=[0.1]"],
            "sites.sites.home.forecast_error is [0.1]; it must be a number",
        ),
        (
            ["experiment=cora", "~program._target_"],
            "program is {",
        ),
        (["experiment=cora", "~program.source"], "program.source: must be given"),
        (
            ["experiment=fleet", "sites=constant"],
            "sites: the run has no cluster, so nothing would stand at them",
        ),
    ],
)
def test_each_is_told_by_its_key(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        run(compose(words))


def test_a_fleet_is_compared_by_its_carbon() -> None:
    names = ["fleet.bought", "fleet.busy.carbon_g", "fleet.carbon_g", "fleet.energy_j"]
    assert headline(names) == names[1:]
