"""Max-min fair rates against hand calculations, the definition and a linear programme."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from models.fair_share import max_min_rates, max_min_shares


def test_two_flows_halve_a_link():
    assert max_min_rates(["a", "a"], {"a": 10.0}) == [5.0, 5.0]


def test_three_links_by_hand():
    # One long flow over three links of 12, 10 and 8; one flow more on each; a second on the last.
    rates = max_min_rates(
        [["a", "b", "c"], ["a"], ["b"], ["c"], ["c"]], {"a": 12.0, "b": 10.0, "c": 9.0}
    )
    assert rates == [3.0, 9.0, 7.0, 3.0, 3.0]


def test_parking_lot_with_a_cap():
    rates = max_min_rates([["a", "b"], ["a"], ["b"]], {"a": 10.0, "b": 10.0}, caps=[2.0, inf, 3.0])
    assert rates == [2.0, 8.0, 3.0]


def test_weights_split_in_proportion():
    assert max_min_rates(["a", "a"], {"a": 12.0}, weights=[1.0, 3.0]) == [3.0, 9.0]


def test_nothing_flows_over_a_dead_link_and_it_holds_back_nobody():
    rates = max_min_rates([["dead", "a"], ["a"]], {"dead": 0.0, "a": 4.0})
    assert rates == [0.0, 4.0]


def test_dominant_resource_fairness_example():
    # Ghodsi et al. 2011, section 4.1: 9 cores, 18 GB; tasks of (1, 4) and (3, 1): 3 and 2 tasks.
    uses = [[("cpu", 1.0), ("memory", 4.0)], [("cpu", 3.0), ("memory", 1.0)]]
    weights = [18 / 4, 9 / 3]
    shares = max_min_shares(uses, {"cpu": 9.0, "memory": 18.0}, weights=weights)
    assert shares == pytest.approx([3.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[]], {}), "uses nothing and has no cap"),
        ((["a"], {"a": -1.0}), "capacity of 'a' is -1.0"),
        ((["a"], {}), "capacity of 'a' is None"),
        ((["a"], {"a": inf}), "capacity of 'a' is inf"),
        ((["a"], {"a": 1.0}, [-1.0]), "cap of activity 0 is -1.0"),
        ((["a"], {"a": 1.0}, None, [0.0]), "weight of activity 0 is 0.0"),
        ((["aa"], {"a": 1.0}), "names 'a' twice"),
        ((["a"], {"a": 1.0}, []), "1 activities, 0 caps"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        max_min_rates(*arguments)


@st.composite
def problems(draw):
    links = draw(st.integers(1, 5))
    flows = draw(st.integers(1, 8))
    number = st.floats(0.1, 100.0)
    paths = [
        draw(st.lists(st.integers(0, links - 1), min_size=1, max_size=links, unique=True))
        for _ in range(flows)
    ]
    uses = [
        [(link, draw(st.sampled_from([1.0, 1.0, 0.5, 3.0]))) for link in path] for path in paths
    ]
    capacities = {link: draw(st.one_of(number, st.just(0.0))) for link in range(links)}
    caps = [draw(st.one_of(number, st.just(inf), st.just(inf))) for _ in range(flows)]
    weights = [draw(st.sampled_from([1.0, 1.0, 2.0, 0.1, 7.0])) for _ in range(flows)]
    return uses, capacities, caps, weights


@settings(deadline=None, max_examples=120)
@given(problems())
def test_every_flow_has_a_bottleneck(problem):
    """The definition: no link over its capacity, and each flow is at its cap or crosses a full
    link on which no flow has a higher rate relative to its weight."""
    uses, capacities, caps, weights = problem
    rates = max_min_shares(uses, capacities, caps, weights)
    load = dict.fromkeys(capacities, 0.0)
    for rate, used in zip(rates, uses, strict=True):
        for link, factor in used:
            load[link] += rate * factor
    for link, capacity in capacities.items():
        assert load[link] <= capacity * (1 + 1e-12)
    for i, used in enumerate(uses):
        assert rates[i] <= caps[i]
        if rates[i] == caps[i]:
            continue
        level = rates[i] / weights[i]
        highest = {
            link: max(
                rates[j] / weights[j]
                for j, other in enumerate(uses)
                if link in [name for name, _ in other]
            )
            for link, _ in used
        }
        assert any(
            load[link] >= capacities[link] * (1 - 1e-9) and level >= highest[link] * (1 - 1e-9)
            for link, _ in used
        )


@settings(deadline=None, max_examples=40)
@given(problems())
def test_equals_iterated_linear_programmes(problem):
    """Raise the common level by a linear programme, fix who cannot go on, repeat."""
    uses, capacities, caps, weights = problem
    rates = max_min_shares(uses, capacities, caps, weights)
    n = len(uses)
    matrix = np.zeros((len(capacities), n))
    for i, used in enumerate(uses):
        for link, factor in used:
            matrix[link, i] = factor
    limits = np.array([capacities[link] for link in range(len(capacities))])
    fixed: dict[int, float] = {}
    while len(fixed) < n:
        open_ = [i for i in range(n) if i not in fixed]
        base = matrix @ np.array([fixed.get(i, 0.0) for i in range(n)])
        slope = matrix @ np.array([0.0 if i in fixed else weights[i] for i in range(n)])
        rows = np.concatenate([slope, [weights[i] for i in open_ if caps[i] < inf]])
        room = np.concatenate([limits - base, [caps[i] for i in open_ if caps[i] < inf]])
        room = np.maximum(room, 0.0)
        solved = linprog([-1.0], A_ub=rows[:, None], b_ub=room, bounds=[(0, None)])
        level = float(solved.x[0])
        load = base + slope * level
        stuck = [
            i
            for i in open_
            if weights[i] * level >= caps[i] - 1e-7
            or any(load[link] >= limits[link] - 1e-7 and matrix[link, i] > 0 for link in capacities)
        ]
        assert stuck
        for i in stuck:
            fixed[i] = weights[i] * level
    assert rates == pytest.approx([fixed[i] for i in range(n)], rel=1e-5, abs=1e-5)
