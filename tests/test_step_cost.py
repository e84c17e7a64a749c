"""Closed forms of runs of steps against plain sums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.step_cost import StepCost, WithLast

numbers = st.floats(0.0, 10.0)
costs = st.builds(StepCost, st.floats(0.01, 10.0), numbers, numbers, numbers, numbers)


def check(cost: StepCost, steps: int) -> None:
    each = [cost.step(j) for j in range(steps)]
    assert cost.total(steps) == pytest.approx(sum(each))
    assert cost.moment(steps) == pytest.approx(sum(j * seconds for j, seconds in enumerate(each)))
    assert cost.active_total(steps) == pytest.approx(sum(cost.active_step(j) for j in range(steps)))


@given(costs, st.integers(0, 40))
def test_sums_over_steps(cost: StepCost, steps: int) -> None:
    check(cost, steps)


@given(costs, costs, st.integers(1, 20), st.data())
def test_sums_over_steps_with_another_last_one(
    start: StepCost, last: StepCost, turn: int, data: st.DataObject
) -> None:
    cost = WithLast(start, turn, last)
    check(cost, data.draw(st.integers(0, turn + 1)))
    assert cost.step(turn - 1) == start.step(turn - 1)
    assert cost.step(turn) == last.step(0)


@given(costs, costs, st.integers(1, 20), st.data())
def test_steps_within_a_time(
    start: StepCost, last: StepCost, turn: int, data: st.DataObject
) -> None:
    cost = WithLast(start, turn, last)
    for each in (start, cost):
        end = each.total(turn + 1)
        duration = data.draw(st.floats(0.0, end))
        steps = each.steps_within(duration)
        assert each.total(steps) <= duration
        assert duration < each.total(steps + 1) or duration == end
