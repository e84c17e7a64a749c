"""Carbon of running: power, PUE, step signals, mixes, the made-up grid, matching, batteries."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.reproduce.papers.carbon.settings import part
from models.carbon.battery import dispatch
from models.carbon.factors import FactorTable
from models.carbon.forecast import noisy_forecast
from models.carbon.matching import match, match_steps
from models.carbon.mix import Plant, average_intensity, merit_order
from models.carbon.operation import operational_g, pue_signal
from models.carbon.power import DeratedPower, ExponentPower, FanPower
from models.carbon.pue import ConstantPue, TemperaturePue
from models.carbon.signal import StepSignal, product_integral, together
from models.carbon.synthetic import PeakAndTrough
from models.carbon.units import J_PER_KWH, S_PER_HOUR, grams
from models.errors import ConfigError, TraceError

POSITIVE = st.floats(0.001, 1000.0)


@st.composite
def signals(draw, low=-100.0, high=1000.0):
    widths = draw(st.lists(st.floats(0.5, 5000.0), min_size=1, max_size=12))
    values = draw(st.lists(st.floats(low, high), min_size=len(widths), max_size=len(widths)))
    return StepSignal(np.concatenate([[0.0], np.cumsum(widths)]), values)


# ---- power and PUE ----


@given(st.floats(0.0, 1.0), st.floats(0.0, 100.0), st.floats(100.0, 1000.0))
def test_curves_stay_between_idle_and_peak(busy, idle, peak) -> None:
    curves = [
        ExponentPower(idle, peak),
        ExponentPower(idle, peak, 0.6),
        FanPower(idle, peak, 1.4),
    ]
    for curve in curves:
        assert curve.watts(0.0) == pytest.approx(idle)
        assert curve.watts(1.0) == pytest.approx(peak)
        assert idle - 1e-9 <= curve.watts(busy) <= peak + 1e-9
    assert curves[2].watts(busy) >= curves[0].watts(busy) - 1e-9


def test_power_by_hand() -> None:
    assert FanPower(100.0, 300.0, 1.4).watts(0.5) == pytest.approx(100 + 200 * (1 - 0.5**1.4))
    derated = part("carbon/power/greensku")(peak_w=200.0)
    assert isinstance(derated, DeratedPower)
    assert derated.watts(0.40) == pytest.approx(88.0)
    assert derated.watts(0.45) == pytest.approx(97.0)
    assert derated.watts(0.0) == pytest.approx(40.0)
    assert replace(derated, idle_w=50.0).watts(0.0) == pytest.approx(50.0)
    with pytest.raises(ConfigError, match=r"utilisation = 1\.5"):
        derated.watts(1.5)
    with pytest.raises(ConfigError, match="idle_w <= peak_w"):
        ExponentPower(10.0, 5.0)


def test_a_gpu_that_serves_draws_by_phase() -> None:
    gpu = part("carbon/phase_power/llm_gpu")(idle_w=70.0, peak_w=700.0)
    assert gpu.watts("off") == 0.0
    assert gpu.watts("idle") == 70.0
    assert gpu.watts("context") == pytest.approx(140.0)
    assert gpu.watts("prefill") == pytest.approx(665.0)
    assert gpu.watts("decode", 50) == pytest.approx(700 * 0.65)
    assert gpu.watts("decode", 1000) == pytest.approx(525.0)
    with pytest.raises(ConfigError, match="phase = 'sleep'"):
        gpu.watts("sleep")


def test_a_power_cap_has_its_best_inside() -> None:
    """Little embodied: cap hard; much: run fast; between them an optimum that is neither end."""
    cap = part("carbon/capped_speed/exponent")
    caps = np.linspace(0.5, 1.0, 501)
    best = {}
    # With P^(1-k) and e P^-k the optimum is at P = e k / (1 - k).
    for embodied in (0.0, 0.75 * 1.5, 10.0):
        costs = [cap.g_per_work(c, 1.0, 1.0, embodied) for c in caps]
        best[embodied] = caps[int(np.argmin(costs))]
    assert list(best.values()) == pytest.approx([0.5, 0.75, 1.0])
    with pytest.raises(ConfigError):
        cap.speed(0.4)


def test_pue() -> None:
    pue = TemperaturePue(0.08, 0.006, 18.0)
    assert pue.at(10.0) == pytest.approx(1.08)
    assert pue.at(28.0) == pytest.approx(1.14)
    with pytest.raises(ConfigError, match="needs an outside temperature"):
        pue.at(None)
    with pytest.raises(ConfigError, match="must be finite and >= 1"):
        ConstantPue(0.9)


# ---- signals ----


def test_a_task_across_the_hour_uses_both_hours() -> None:
    signal = StepSignal([0.0, 3600.0, 7200.0], [100.0, 300.0])
    assert signal.integral(3570.0, 3630.0) == pytest.approx(30 * 100 + 30 * 300)
    assert signal.mean(3570.0, 3630.0) == pytest.approx(200.0)
    assert signal.at(3600.0) == 300.0
    assert signal.next_edge_s(0.0) == 3600.0
    assert signal.mean(3600.0, 3600.0) == 300.0


@given(signals(), st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8))
def test_integrals_add_up_and_agree_with_sums_of_overlaps(signal, cuts) -> None:
    span = signal.end_s - signal.start_s
    times = sorted(signal.start_s + cut * span for cut in cuts)
    times = [min(time, signal.end_s) for time in times]
    parts = [signal.integral(a, b) for a, b in itertools.pairwise(times)]
    whole = signal.integral(times[0], times[-1])
    scale = 1000.0 * span
    assert sum(parts) == pytest.approx(whole, abs=1e-12 * scale)
    by_hand = sum(
        value * max(0.0, min(times[-1], b) - max(times[0], a))
        for a, b, value in zip(signal.edges_s, signal.edges_s[1:], signal.values, strict=False)
    )
    assert whole == pytest.approx(by_hand, abs=1e-12 * scale)


@given(signals(0.0), signals(0.0), st.floats(0.1, 10.0))
def test_carbon_is_linear_in_power_and_intensity(power, intensity, factor) -> None:
    end = min(power.end_s, intensity.end_s)
    once = product_integral(power, intensity, from_s=0.0, to_s=end)
    more = intensity.mapped(lambda values: factor * values)
    twice = product_integral(power, more, from_s=0.0, to_s=end)
    assert twice == pytest.approx(factor * once, rel=1e-9, abs=1e-9)
    half = product_integral(power, intensity, from_s=0.0, to_s=end / 2)
    rest = product_integral(power, intensity, from_s=end / 2, to_s=end)
    assert half + rest == pytest.approx(once, rel=1e-9, abs=1e-9)


def test_operation_by_hand_and_its_linearity() -> None:
    """An idle server of 100 W over two hours, the second dirtier and hotter."""
    power = StepSignal([0.0, 7200.0], [100.0])
    grid = StepSignal([0.0, 3600.0, 7200.0], [100.0, 300.0])
    heat = StepSignal([0.0, 1800.0, 7200.0], [10.0, 28.0])
    pue = pue_signal(TemperaturePue(0.08, 0.006, 18.0), heat)
    found = operational_g(power, grid, 0.0, 7200.0, pue)
    assert found == pytest.approx(0.1 * (0.5 * 100 * 1.08 + 0.5 * 100 * 1.14 + 300 * 1.14))
    once = operational_g(power, grid, 900.0, 7000.0)
    assert operational_g(power, grid, 900.0, 7000.0, 1.2) == pytest.approx(1.2 * once)
    double = grid.mapped(lambda values: 2.0 * values)
    assert operational_g(power, double, 900.0, 7000.0) == pytest.approx(2.0 * once)
    with pytest.raises(TraceError, match="was asked"):
        operational_g(power, grid, 0.0, 7201.0)


def test_a_signal_says_where_it_ends() -> None:
    signal = StepSignal.regular(0.0, 10.0, [1.0, 2.0], "GB")
    for ask in (
        lambda: signal.at(20.0),
        lambda: signal.at(-1.0),
        lambda: signal.integral(5.0, 20.5),
        lambda: signal.mean(-1.0, 3.0),
        lambda: signal.next_edge_s(20.0),
        lambda: signal.integral(3.0, 2.0),
    ):
        with pytest.raises(TraceError, match=r"GB: is known from 0.0 to 20.0 s; .* was asked"):
            ask()
    with pytest.raises(TraceError, match="no time in common"):
        together([signal, signal.shifted(100.0)])
    with pytest.raises(TraceError, match="not after the one before"):
        StepSignal([0.0, 2.0, 2.0], [1.0, 1.0])
    with pytest.raises(TraceError, match="not finite"):
        StepSignal([0.0, 1.0], [float("nan")])
    with pytest.raises(TraceError, match="as many steps"):
        StepSignal([0.0, 1.0], [1.0, 2.0])


# ---- mixes ----


def test_average_by_mix_with_imports() -> None:
    edges = np.array([0.0, 3600.0, 7200.0])
    factors = part("carbon/factors/supply_act")
    generation = {"coal": np.array([1.0, 0.0]), "wind": np.array([1.0, 3.0])}
    neighbour = StepSignal([0.0, 7200.0], [100.0], "neighbour")
    found = average_intensity(edges, generation, factors, [(np.array([2.0, 1.0]), neighbour)])
    assert found.values == pytest.approx([(820 + 11 + 200) / 4, (33 + 100) / 4])
    with pytest.raises(ConfigError, match="no 'tidal'"):
        average_intensity(edges, {"tidal": np.ones(2)}, factors)
    with pytest.raises(TraceError, match="nothing generates"):
        average_intensity(edges, {"coal": np.array([1.0, 0.0])}, factors)
    with pytest.raises(TraceError, match=r"coal is .*-1.0.* in step 1"):
        average_intensity(edges, {"coal": np.array([1.0, -1.0])}, factors)


def test_the_marginal_plant_is_the_next_one() -> None:
    plants = [Plant("wind", 11.0, 10.0), Plant("gas", 490.0, 10.0), Plant("coal", 820.0, 10.0)]
    assert merit_order(5.0, plants) == pytest.approx((11.0, 11.0))
    assert merit_order(10.0, plants) == pytest.approx((11.0, 490.0))
    assert merit_order(20.0, plants) == pytest.approx((250.5, 820.0))
    step = 1e-6
    emitted = [demand * merit_order(demand, plants)[0] for demand in (15.0, 15.0 + step)]
    assert (emitted[1] - emitted[0]) / step == pytest.approx(490.0, rel=1e-6)
    with pytest.raises(ConfigError, match="not served"):
        merit_order(30.0, plants)


def test_factors_of_authors_differ_and_are_named() -> None:
    assert part("carbon/factors/supply_act")["coal"] == 820.0
    assert part("carbon/factors/supply_ipcc2011")["coal"] == 1001.0
    with pytest.raises(ConfigError, match="has no entry in `source`"):
        FactorTable(name="mine", unit="g/kWh", values={"coal": 1.0}, source={"": "x"})


# ---- the made-up grid ----


def test_a_year_like_great_britain() -> None:
    grid = part("carbon/intensity/gb_like")
    means = []
    for seed in range(12):
        signal = grid.signal(np.random.default_rng(seed), 24 * 364, 1800.0)
        days = signal.values.reshape(-1, 7, 48)
        means.append(
            (
                signal.values.mean(),
                signal.values.std(),
                days[:, :5].mean(),
                days[:, 5:].mean(),
                signal.values.min(),
            )
        )
    mean, deviation, weekdays, weekend, least = np.mean(means, axis=0)
    assert mean == pytest.approx(213.0, rel=0.02)
    assert deviation == pytest.approx(65.3, rel=0.1)
    assert weekdays == pytest.approx(225.0, rel=0.02)
    assert weekend == pytest.approx(182.0, rel=0.03)
    assert least == pytest.approx(63.9)
    again = grid.signal(np.random.default_rng(0), 48, 1800.0)
    same = grid.signal(np.random.default_rng(0), 48, 1800.0)
    assert np.array_equal(again.values, same.values)


def test_day_shapes() -> None:
    day = PeakAndTrough(name="x", amplitude=0.15, peak_hour=18.5, trough_hour=3.0)
    hours = np.arange(0.0, 24.0, 0.01)
    levels = [day.at(hour) for hour in hours]
    assert hours[int(np.argmax(levels))] == pytest.approx(18.5)
    assert hours[int(np.argmin(levels))] == pytest.approx(3.0)
    assert np.mean(levels) == pytest.approx(0.0, abs=1e-4)
    duck = part("carbon/intensity/duck")
    noon = duck.mean_g_per_kwh * (1.0 + duck.day.at(19.5))
    night = duck.mean_g_per_kwh * (1.0 + duck.day.at(5.5))
    assert noon == pytest.approx(186.0, rel=0.02)
    assert night == pytest.approx(310.0, rel=0.02)
    with pytest.raises(ConfigError, match="are no steps"):
        duck.signal(np.random.default_rng(0), 1.0, 1700.0)


def test_made_up_wind_follows_its_law() -> None:
    farm = part("carbon/farm/wind")
    winds = np.concatenate(
        [farm.winds(np.random.default_rng(s).standard_normal(8760)) for s in range(10)]
    )
    assert winds.mean() == pytest.approx(8.0, rel=0.03)
    # Rayleigh: the median is 2 sqrt(log 2 / pi) of the mean.
    assert np.median(winds) == pytest.approx(8.0 * 2.0 * np.sqrt(np.log(2.0) / np.pi), rel=0.03)
    speeds = np.array([0.0, 3.0, 12.0, 24.9, 25.0])
    assert farm.share(speeds) == pytest.approx([0.0, 0.0, 1.0, 1.0, 0.0])
    output = farm.output(np.random.default_rng(1), 8760).values
    assert output.min() >= 0.0
    assert 0.25 < output.mean() < 0.5
    with pytest.raises(ConfigError, match="must rise"):
        replace(farm, cut_in_m_per_s=13.0)


def test_farms_of_a_region_have_the_weather_in_common() -> None:
    region = part("carbon/farm/wind_region")
    near = region.correlations()
    # Neighbours at 200 km; the far corners at 400 sqrt(2) km.
    assert near[0, 1] == pytest.approx(np.exp(-0.4))
    assert near[0, 8] == pytest.approx(np.exp(-0.8 * np.sqrt(2.0)))
    years = 20 * 8760
    rng = np.random.default_rng(4)
    one = region.farm.output(rng, years).values
    together = region.output(rng, years).values
    tight = replace(region, extent_km=1e-6).output(rng, years).values
    assert together.mean() == pytest.approx(one.mean(), rel=0.03)
    # All at one place are as one; spread out they are calm together less often.
    assert tight.std() == pytest.approx(one.std(), rel=0.03)
    assert together.std() < 0.9 * one.std()
    assert (together < 0.05).mean() < 0.7 * (one < 0.05).mean()
    with pytest.raises(ConfigError, match="hours = 0 must be >= 1"):
        region.output(rng, 0)


def test_forecast_errors_have_the_size_asked() -> None:
    truth = StepSignal.regular(0.0, 1.0, np.tile([100.0, 300.0], 25_000))
    seen = noisy_forecast(truth, 0.05, np.random.default_rng(3))
    assert np.std(seen.values - truth.values) == pytest.approx(10.0, rel=0.02)
    assert np.array_equal(noisy_forecast(truth, 0.0, np.random.default_rng(3)).values, truth.values)


# ---- matching ----

STEPS = st.lists(
    st.tuples(POSITIVE, st.floats(0.0, 1000.0), st.floats(0.0, 900.0)), min_size=1, max_size=20
)


@given(STEPS)
def test_matching_by_the_hour_is_never_more_than_by_the_year(steps) -> None:
    load, farm, grid = (np.array(column) for column in zip(*steps, strict=True))
    seconds = np.full(load.size, S_PER_HOUR)
    found = match_steps(seconds, load, farm, grid, 0.0)
    assert found.coverage <= found.annual_share + 1e-12
    assert found.hourly_g <= found.location_g + 1e-9
    surplus, deficit = (farm > load).any(), (farm < load).any()
    equal = found.coverage == pytest.approx(found.annual_share, rel=1e-12)
    # Surpluses of rounding size cannot be told from none.
    gap = np.abs(farm - load)
    if not (surplus and deficit):
        assert equal
    elif gap[farm > load].max() > 1e-6 and gap[farm < load].max() > 1e-6:
        assert found.coverage < found.annual_share


def test_matching_by_hand() -> None:
    edges = [0.0, 3600.0, 7200.0]
    load, farm = StepSignal(edges, [1000.0, 1000.0]), StepSignal(edges, [2000.0, 0.0])
    grid = StepSignal(edges, [100.0, 500.0])
    found = match(load, farm, grid, 50.0)
    assert found.coverage == pytest.approx(0.5)
    assert found.annual_share == 1.0
    assert found.annual_g == 0.0
    assert found.location_g == pytest.approx(600.0)
    assert found.hourly_g == pytest.approx(500.0 + 50.0)


# ---- battery ----


@given(STEPS, st.floats(0.1, 50.0), st.floats(0.0, 1.0), st.sampled_from([300.0, 3600.0]))
def test_laws_of_a_battery(steps, hours, start, step_s) -> None:
    spec = part("carbon/battery/carbon_explorer")
    load, farm, _ = (np.array(column) for column in zip(*steps, strict=True))
    capacity = hours * 100.0 * S_PER_HOUR
    run = dispatch(spec, capacity, step_s, load, farm, start * capacity)
    slack = 1e-9 * capacity
    assert (run.content_j >= -slack).all()
    assert (run.content_j <= capacity + slack).all()
    assert (run.charge_w * run.discharge_w == 0.0).all()
    into, out = run.charge_w.sum() * step_s, run.discharge_w.sum() * step_s
    gained = run.content_j[-1] - run.content_j[0]
    assert gained == pytest.approx(0.97 * into - 1.04 * out, abs=1e-6 * capacity)
    assert out <= (0.97 * into + start * capacity) / 1.04 + slack
    assert (run.charge_w <= np.maximum(farm - load, 0.0) + 1e-9).all()
    assert (run.discharge_w <= np.maximum(load - farm, 0.0) + 1e-9).all()
    assert (run.charge_w * 0.97 <= 3.0 * capacity / S_PER_HOUR + slack).all()
    assert (run.discharge_w * 1.04 <= 3.0 * capacity / S_PER_HOUR + slack).all()


def test_a_battery_never_lowers_coverage() -> None:
    rng = np.random.default_rng(5)
    load, farm = rng.uniform(50, 150, 500), rng.uniform(0, 250, 500)
    spec = part("carbon/battery/carbon_explorer")
    seconds = np.full(500, S_PER_HOUR)
    before = -1.0
    for hours in (0.0, 1.0, 2.0, 5.0, 20.0):
        run = dispatch(spec, hours * 100.0 * S_PER_HOUR, S_PER_HOUR, load, farm)
        served = farm - run.charge_w + run.discharge_w
        coverage = match_steps(seconds, load, served, np.zeros(500), 0.0).coverage
        assert coverage >= before - 1e-12
        before = coverage
    assert spec.embodied_g(J_PER_KWH) == 74_000.0
    assert spec.worn_g(3000 * J_PER_KWH / 1.04) == pytest.approx(74_000.0)
    with pytest.raises(ConfigError, match="content_j"):
        dispatch(spec, 1.0, 1.0, load, farm, 2.0)


def test_grams() -> None:
    assert grams(J_PER_KWH, 400.0) == 400.0
