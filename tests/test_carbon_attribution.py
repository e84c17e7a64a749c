"""Whose carbon it is: no method loses a gram, and Shapley's closed form is Shapley's value."""

from __future__ import annotations

from itertools import permutations
from math import factorial, fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.carbon.attribution import sci
from models.carbon.attribution.batch import MarginalCost, StepWork, split_phases, split_step
from models.carbon.attribution.interference import by_use_alone, interference_factors
from models.carbon.attribution.shapley import (
    grouped_slot_carbon,
    nested_slot_carbon,
    peak_shares,
    slot_carbon,
)
from models.carbon.attribution.shares import (
    IDLE,
    Interval,
    by_occupation,
    by_use,
    by_use_and_reservation,
    equally,
    spread,
)
from models.carbon.lifetime import Life
from models.carbon.metrics import Footprint, c2ep, cdp, ce2p, cep
from models.carbon.operation import operational_g
from models.carbon.signal import StepSignal
from models.carbon.units import J_PER_KWH
from models.errors import ConfigError

AMOUNT = st.floats(0.0, 1e6)
PEAKS = st.lists(st.one_of(st.floats(0.0, 100.0), st.sampled_from([0.0, 1.0, 5.0])), min_size=1)


def by_all_orders(peaks):
    """Shapley value by its definition: mean marginal value over all orders of arrival."""
    value = np.zeros(len(peaks))
    for order in permutations(range(len(peaks))):
        highest = 0.0
        for player in order:
            value[player] += max(highest, peaks[player]) - highest
            highest = max(highest, peaks[player])
    return value / factorial(len(peaks))


def by_coalitions(peaks):
    """The same over coalitions, 2^n of them: quick enough for eight."""
    n = len(peaks)
    worth = [max([0.0, *(peaks[i] for i in range(n) if s >> i & 1)]) for s in range(1 << n)]
    value = np.zeros(n)
    for i in range(n):
        for s in range(1 << n):
            if not s >> i & 1:
                size = s.bit_count()
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                value[i] += weight * (worth[s | 1 << i] - worth[s])
    return value


@settings(max_examples=30)
@given(PEAKS.filter(lambda peaks: len(peaks) <= 8))
def test_closed_form_is_shapleys_value(peaks) -> None:
    expected = by_coalitions(peaks)
    if len(peaks) <= 5:
        assert by_all_orders(peaks) == pytest.approx(expected, abs=1e-9)
    assert peak_shares(peaks) == pytest.approx(expected, abs=1e-9)


@given(PEAKS)
def test_laws_of_the_closed_form(peaks) -> None:
    found = peak_shares(peaks)
    assert fsum(found) == pytest.approx(max(peaks), rel=1e-12, abs=1e-12)
    for i, one in enumerate(peaks):
        if one == 0.0:
            assert found[i] == 0.0
        for j, other in enumerate(peaks):
            if one == other:
                assert found[i] == pytest.approx(found[j], rel=1e-12)
    more = peak_shares([*peaks, 0.0])
    assert more[:-1] == pytest.approx(found)
    assert more[-1] == 0.0


def test_the_published_example() -> None:
    peaks, use = (4.0, 10.0, 6.0, 6.0), (8.0, 10.0, 6.0, 3.0)
    assert peak_shares(peaks) == pytest.approx([1.0, 17 / 3, 5 / 3, 5 / 3])
    expected = [10.042, 71.130, 12.552, 6.276]
    assert slot_carbon(100.0, peaks, use) == pytest.approx(expected, abs=5e-4)


@given(st.lists(st.floats(0.0, 100.0), min_size=24, max_size=24), AMOUNT)
def test_nested_levels_conserve(demand, grams) -> None:
    if max(demand) < 1e-6:
        return
    found = nested_slot_carbon(grams, np.array(demand), (2, 3, 4))
    assert fsum(found) == pytest.approx(grams, rel=1e-9, abs=1e-9)
    assert (found >= 0.0).all()
    flat = nested_slot_carbon(grams, np.array(demand), (24,))
    assert flat == pytest.approx(slot_carbon(grams, demand, demand), rel=1e-9, abs=1e-9)


def test_nested_levels_charge_the_day_of_the_peak() -> None:
    demand = np.array([1.0, 1.0, 1.0, 9.0])
    found = nested_slot_carbon(100.0, demand, (2, 2))
    # Days: peaks 1 and 9, use 2 and 10: shares 0.5 x 2 and 8.5 x 10.
    assert found[:2].sum() == pytest.approx(100.0 * 1.0 / 86.0)
    with pytest.raises(ConfigError, match="make 6 slots, there are 4"):
        nested_slot_carbon(1.0, demand, (2, 3))
    with pytest.raises(ConfigError, match="is 0 in all slots"):
        nested_slot_carbon(1.0, np.zeros(4), (2, 2))


@given(st.lists(st.tuples(st.floats(0.1, 9.0), st.floats(0.1, 9.0)), min_size=1, max_size=12))
def test_levels_of_slots_of_any_length(slots) -> None:
    """Two in a part, four in one above it, the last of each perhaps with fewer."""
    peaks, lasted = np.array(slots).T
    at = np.arange(peaks.size)
    found = grouped_slot_carbon(100.0, peaks, peaks * lasted, [at // 4, at // 2])
    assert fsum(found) == pytest.approx(100.0, rel=1e-9)

    def below(grams, own, width):
        """The same by recursion."""
        if width == 1:
            parts = [[i] for i in own]
        else:
            parts = [[i for i in own if i // width == n] for n in sorted({i // width for i in own})]
        highest = [max(peaks[i] for i in part) for part in parts]
        used = [sum(peaks[i] * lasted[i] for i in part) for part in parts]
        for share, part in zip(slot_carbon(grams, highest, used), parts, strict=True):
            if width == 1:
                assert found[part[0]] == pytest.approx(share, rel=1e-9)
            else:
                below(share, part, width // 2)

    below(100.0, at.tolist(), 4)


# ---- shares ----

TENANTS = st.dictionaries(st.sampled_from("abcde"), st.tuples(AMOUNT, AMOUNT), max_size=5)


@given(TENANTS, AMOUNT, AMOUNT, AMOUNT, st.booleans())
def test_no_method_loses_a_gram(tenants, dynamic, standing, spare, spread_idle) -> None:
    use = {name: pair[0] for name, pair in tenants.items()}
    reserved = {name: pair[1] for name, pair in tenants.items()}
    capacity = fsum(reserved.values()) + spare
    interval = Interval(dynamic, standing)
    total = pytest.approx(dynamic + standing, rel=1e-9, abs=1e-9)
    for accounts in (
        by_use_and_reservation(interval, use, reserved, capacity, spread_idle),
        by_use(interval, use),
        equally(interval, use),
    ):
        assert fsum(accounts.values()) == total
        assert min(accounts.values(), default=0.0) >= 0.0
    occupied = by_occupation(standing, reserved, capacity)
    assert fsum(occupied.values()) == pytest.approx(standing, rel=1e-9, abs=1e-9)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(1.0, 5000.0), st.floats(0.0, 700.0)), min_size=1, max_size=8),
    st.lists(st.floats(0.0, 900.0), min_size=12, max_size=12),
    TENANTS,
    st.floats(1.0, 1e6),
)
def test_what_is_shared_out_is_metered_power_and_accrued_embodied(
    powers, grid, tenants, embodied
) -> None:
    widths, watts = zip(*powers, strict=True)
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    power, intensity = StepSignal(edges, watts), StepSignal.regular(0.0, 3600.0, grid)
    end = float(edges[-1])
    idle_w = min(watts)
    standing = StepSignal([0.0, end], [idle_w])
    life = Life(embodied, 2.0 * end)
    total = operational_g(power, intensity, 0.0, end, 1.12) + life.accrued_g(0.0, end)
    idle_g = operational_g(standing, intensity, 0.0, end, 1.12)
    interval = Interval(total - embodied / 2.0 - idle_g, idle_g + life.accrued_g(0.0, end))
    use = {name: pair[0] for name, pair in tenants.items()}
    reserved = {name: pair[1] for name, pair in tenants.items()}
    capacity = 1.5 * fsum(reserved.values()) + 1.0
    slots = slot_carbon(total, [1.0, 3.0, 2.0], [1.0, 1.0, 2.0])
    for shared in (
        by_use_and_reservation(interval, use, reserved, capacity).values(),
        by_use(interval, use).values(),
        equally(interval, use).values(),
        slots,
    ):
        assert fsum(shared) == pytest.approx(total, rel=1e-9)


def test_idle_servers_are_the_idle_account_alone() -> None:
    assert by_use_and_reservation(Interval(0.0, 70.0), {}, {}, 8.0) == {IDLE: 70.0}
    assert by_use(Interval(0.0, 70.0), {"a": 0.0}) == {"a": 0.0, IDLE: 70.0}
    kept = spread({IDLE: 5.0, "a": 0.0}, [IDLE])
    assert kept == {IDLE: 5.0, "a": 0.0}


def test_use_and_reservation_by_hand() -> None:
    interval = Interval(60.0, 100.0)
    use, reserved = {"a": 1.0, "b": 2.0}, {"a": 5.0, "b": 3.0}
    found = by_use_and_reservation(interval, use, reserved, 10.0)
    assert found == pytest.approx({"a": 20.0 + 50.0, "b": 40.0 + 30.0, IDLE: 20.0})
    again = by_use_and_reservation(interval, use, reserved, 10.0, spread_idle=True)
    assert again == pytest.approx({"a": 80.0, "b": 80.0})
    with pytest.raises(ConfigError, match=r"reservations of 8\.0 exceed the capacity of 7\.0"):
        by_use_and_reservation(interval, use, reserved, 7.0)
    with pytest.raises(ConfigError, match="no tenant may be named idle"):
        by_use_and_reservation(interval, {IDLE: 1.0}, {}, 7.0)
    with pytest.raises(ConfigError, match="no account network"):
        spread(found, ["network"])
    with pytest.raises(ConfigError, match=r"share of a: -1\.0"):
        by_use(interval, {"a": -1.0})


@given(st.dictionaries(st.sampled_from("abcd"), AMOUNT, min_size=1), AMOUNT, AMOUNT)
def test_the_second_pass_conserves(accounts, failed, network) -> None:
    whole = {**accounts, "failed work": failed, "network": network}
    found = spread(whole, ["failed work", "network"])
    assert fsum(found.values()) == pytest.approx(fsum(whole.values()), rel=1e-9, abs=1e-9)


# ---- inside a batch ----

COST = MarginalCost(prefill_s_per_token=1e-4, decode_s_per_token=2e-4, s_per_kv_byte=1e-12)
WORKS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        StepWork,
        prefill_tokens=st.integers(0, 1000),
        decode_tokens=st.integers(0, 4),
        kv_bytes=st.floats(0.0, 1e9),
    ),
)


@given(WORKS, AMOUNT)
def test_a_batch_conserves_and_charges_for_length(works, grams) -> None:
    found = split_step(grams, works, COST)
    assert fsum(found.values()) == pytest.approx(grams, rel=1e-9, abs=1e-9)
    if sum(COST.seconds(work) for work in works.values()) > 0.0:
        assert sum(split_phases(grams, works, COST)) == pytest.approx(grams, rel=1e-12)


def test_a_long_context_pays_more_than_a_short_one() -> None:
    works = {
        "prompt": StepWork(prefill_tokens=10),
        "short": StepWork(decode_tokens=1, kv_bytes=1e8),
        "long": StepWork(decode_tokens=1, kv_bytes=9e8),
    }
    found = split_step(24.0, works, COST)
    assert found == pytest.approx({"prompt": 10.0, "short": 3.0, "long": 11.0})
    assert split_phases(24.0, works, COST) == pytest.approx((10.0, 14.0))
    assert split_step(3.0, {}, COST) == {IDLE: 3.0}


# ---- SCI and figures of merit ----


@given(st.floats(0.0, 1e12), st.floats(0.0, 1000.0), AMOUNT, st.floats(0.1, 1e6))
def test_sci_times_units_is_the_total(energy, grid, embodied, units) -> None:
    found = sci.intensity(energy, grid, embodied, units)
    total = energy * grid / J_PER_KWH + embodied
    assert found * units == pytest.approx(total, rel=1e-12)


def test_sci_share_by_hand() -> None:
    assert sci.embodied_share_g(1000.0, 1.0, 4.0, 2.0, 8.0) == pytest.approx(62.5)
    with pytest.raises(ConfigError):
        sci.embodied_share_g(1000.0, 5.0, 4.0, 2.0, 8.0)
    with pytest.raises(ConfigError):
        sci.intensity(1.0, 1.0, 1.0, 0.0)


def test_figures_of_merit_by_hand() -> None:
    found = Footprint(
        operational_g=1.12 * 400.0,
        embodied_g=52.0,
        it_energy_j=J_PER_KWH,
        requests=10,
        prefill_tokens=1500,
        decode_tokens=500,
    )
    assert found.cue_kg_per_kwh == pytest.approx(1.12 * 0.4)
    assert found.g_per_request == pytest.approx(50.0)
    assert found.g_per_1k_tokens == pytest.approx(250.0)
    assert found.g_per_1k_by_phase(300.0) == pytest.approx((200.0, 400.0))
    assert found.embodied_share == pytest.approx(0.104)
    assert found.tcdp(2.0) == pytest.approx(1000.0)
    assert found.work_per_g(1000.0) == pytest.approx(2.0)
    assert (cdp(2.0, 3.0), cep(2.0, 3.0), c2ep(2.0, 3.0), ce2p(2.0, 3.0)) == (6, 6, 12, 18)
    nothing = Footprint(operational_g=1.0, embodied_g=1.0, it_energy_j=0.0)
    for figure in ("g_per_request", "g_per_1k_tokens", "cue_kg_per_kwh"):
        with pytest.raises(ConfigError, match="needs more than 0"):
            getattr(nothing, figure)


# ---- interference ----


def test_interference_by_hand() -> None:
    """a slows b by 60 % and suffers 10 %: a pays for 1.35 of its use, b for as much of its own; by
    what each measures a would pay for 1.1 and b for 1.6."""
    ratios = {"a": {"b": 1.1}, "b": {"a": 1.6}}
    assert interference_factors(ratios) == pytest.approx({"a": 1.35, "b": 1.35})
    third = {"a": {"b": 1.1, "c": 1.3}, "b": {"a": 1.6}, "c": {"a": 2.0}}
    assert interference_factors(third) == pytest.approx({"a": 1.5, "b": 1.35, "c": 1.65})
    found = by_use_alone(
        Interval(100.0, 50.0), {"a": 1.0, "b": 1.0}, {"a": 3.0, "b": 2.0}, {}, third
    )
    assert found["a"] == pytest.approx(100.0 * 1.5 / 2.85 + 30.0)
    with pytest.raises(ConfigError, match=r"interference: a beside b: 0\.0 must be > 0"):
        interference_factors({"a": {"b": 0.0}})


def pair_shapley(alone, ratios, names):
    """Shapley values where tenants share machines in pairs at random: over all partners, what one
    takes beside it and what it adds to it."""
    return {
        name: sum(
            alone[name] * ratios[name][other] + alone[other] * (ratios[other][name] - 1.0)
            for other in names
            if other != name
        )
        for name in names
    }


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_interference_loses_nothing_and_treats_equals_alike(seed, count, dynamic, standing):
    rng = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(count)]
    loud, meek = rng.uniform(0.0, 0.8, count), rng.uniform(0.0, 0.8, count)
    loud[1], meek[1] = loud[0], meek[0]
    ratios = {
        a: {b: 1.0 + meek[i] + loud[j] for j, b in enumerate(names) if i != j}
        for i, a in enumerate(names)
    }
    alone = dict.fromkeys(names, 1.0)
    found = by_use_alone(Interval(dynamic, standing), alone, alone, ratios, ratios)
    assert fsum(found.values()) == pytest.approx(dynamic + standing, rel=1e-9, abs=1e-9)
    assert found["t0"] == pytest.approx(found["t1"])


def test_interference_comes_nearer_to_shapley_than_measured_use() -> None:
    """In pairs drawn at random, of tenants that are loud, meek, both or neither."""
    rng = np.random.default_rng(5)
    names = [f"t{i}" for i in range(12)]
    loud, meek = rng.uniform(0.0, 0.8, 12), rng.uniform(0.0, 0.8, 12)
    ratios = {
        a: {b: 1.0 + meek[i] * loud[j] for j, b in enumerate(names) if i != j}
        for i, a in enumerate(names)
    }
    alone = dict.fromkeys(names, 1.0)
    pairs = dict(zip(names, [*names[6:], *names[:6]], strict=True))
    used = {name: ratios[name][pairs[name]] for name in names}
    truth = pair_shapley(alone, ratios, names)
    by_measured = by_use(Interval(100.0, 0.0), used)
    adjusted = by_use_alone(Interval(100.0, 0.0), alone, alone, ratios, ratios)
    fair = {name: 100.0 * value / sum(truth.values()) for name, value in truth.items()}
    off = [
        max(abs(shares[name] / fair[name] - 1.0) for name in names)
        for shares in (by_measured, adjusted)
    ]
    assert off[1] < 0.5 * off[0]
