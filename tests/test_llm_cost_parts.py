"""Roofline, collectives, micro-batches, formula costs and constants, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.calibration import catalogue
from models.collectives import RingCollectives
from models.constant_cost import ConstantCost, LinearCost, ProportionalCost
from models.errors import ConfigError
from models.micro_batches import micro_batches
from models.roofline import Roofline, p_norm


def test_p_norm_joins_by_sum_and_by_maximum():
    assert p_norm(3.0, 4.0, 1.0) == pytest.approx(7.0)
    assert p_norm(3.0, 4.0, 2.0) == pytest.approx(5.0)
    assert p_norm(3.0, 4.0, 400.0) == pytest.approx(4.0)
    assert p_norm(0.0, 0.0, 2.0) == 0.0
    assert p_norm(1e-200, 1e-200, 2.0) == pytest.approx(2**0.5 * 1e-200)


def test_roofline_power_follows_what_bounds_it():
    line = Roofline(
        flops_per_s=1e12,
        bytes_per_s=1e9,
        exponent=50.0,
        kernel_s=1.0,
        power_compute=1.2,
        power_memory=0.5,
    )
    seconds, active = line.cost(4e12, 1e3)
    assert (seconds, active) == (pytest.approx(5.0), pytest.approx(4.0))  # clipped at full power
    seconds, active = line.cost(0.0, 2e9)
    assert (seconds, active) == (pytest.approx(3.0), pytest.approx(1.0))


def test_ring_collectives_by_hand():
    ring = RingCollectives(bandwidth_bytes_per_s=1e9, latency_s=1e-3, hop_s=1e-4)
    assert ring.all_reduce(4e6, 4) == pytest.approx(1e-3 + 6e-4 + 6e-3)
    assert ring.all_gather(4e6, 4) == pytest.approx(1e-3 + 3e-4 + 3e-3)
    assert ring.reduce_scatter(4e6, 4) == ring.all_gather(4e6, 4)
    assert ring.send(4e6) == pytest.approx(1.1e-3 + 4e-3)
    assert ring.all_reduce(4e6, 1) == 0.0
    with pytest.raises(ValueError, match="at least one peer"):
        ring.all_reduce(1.0, 0)
    with pytest.raises(ConfigError, match="bandwidth_bytes_per_s = 0"):
        RingCollectives(bandwidth_bytes_per_s=0)


def test_micro_batches_fill_the_smallest():
    assert micro_batches(7, (), 3) == [(3, []), (2, []), (2, [])]
    assert micro_batches(2, (), 4) == [(1, []), (1, [])]
    assert micro_batches(5, [(0, 3), (9, 100)], 2) == [(0, [(9, 100)]), (5, [(0, 3)])]
    with pytest.raises(ValueError, match="at least one sequence"):
        micro_batches(0, (), 4)


@settings(deadline=None)
@given(
    decodes=st.integers(0, 60),
    sizes=st.lists(st.integers(1, 200), max_size=8),
    stages=st.integers(1, 8),
)
def test_micro_batches_lose_nothing_and_leave_none_empty(decodes, sizes, stages):
    if not decodes and not sizes:
        return
    chunks = [(i, size) for i, size in enumerate(sizes)]
    parts = micro_batches(decodes, chunks, stages)
    assert len(parts) == min(stages, decodes + len(sizes))
    assert sum(part for part, _ in parts) == decodes
    assert sorted(c for _, held in parts for c in held) == sorted(chunks)
    tokens = [part + sum(size for _, size in held) for part, held in parts]
    assert min(tokens) > 0
    filled = [t for t, (part, _) in zip(tokens, parts, strict=True) if part]
    assert not filled or max(filled) <= min(tokens) + 1


def test_formula_costs():
    assert ConstantCost(0.5).step(9, 100, (), 9).total(4) == 2.0
    assert ProportionalCost(0.01).step(7, 100, [(5, 3)], 7).total(2) == pytest.approx(0.2)
    line = LinearCost(1.0, 0.1, 0.01).step(2, 10, [(20, 4)], 2)
    # Contexts 30, 36, 42 in turn.
    assert line.total(3) == pytest.approx(3 * 1.6 + 0.01 * (30 + 36 + 42))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ConstantCost(0.0), "seconds = 0.0"),
        (lambda: ConstantCost(float("nan")), "seconds = nan"),
        (lambda: ProportionalCost(0.0), "must not both be 0"),
        (lambda: LinearCost(-1.0), "base_s = -1.0"),
    ],
)
def test_formula_costs_refuse_impossible_numbers(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gemm_compute": 0.0}, r"gemm_compute = 0.0 must be in \(0, 1\]"),
        ({"link": 1.5}, "link = 1.5"),
        ({"host_s": -1.0}, "host_s = -1.0"),
        ({"roofline_exponent": 0.5}, "roofline_exponent = 0.5 must be >= 1"),
        ({"host_overlapped": 1}, "host_overlapped = 1"),
        ({"source": {}}, "no entry in `source`"),
    ],
)
def test_constants_out_of_range_are_refused_by_name(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(catalogue.efficiency("default"), **change)


@pytest.mark.parametrize(
    "path", sorted((catalogue.CONFIGS / "efficiency").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_set_of_constants_loads_under_its_own_name(path):
    assert catalogue.efficiency(path.stem).name == path.stem
