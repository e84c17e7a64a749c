"""Sites and the ledger against hand examples, and what bad input they refuse."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from carbon_kit import (
    CPU,
    GPU,
    GPU_G_PER_S,
    NODE_G_PER_S,
    PARTS,
    PUE,
    Given,
    accounted,
    always,
    catalogue,
    site,
    sites,
)
from serving_kit import IDLE_W, NODE_W, PEAK_W, Outcome, gpu_spec, node_spec, simulate

from experiments.embodied_catalogue import catalogue as made_anew
from models.carbon.battery import Battery, BatterySpec, Store
from models.carbon.catalogue import EmbodiedCatalogue
from models.carbon.clock import Clock
from models.carbon.hourly import Deployment, hourly_accounts
from models.carbon.lifetime import Life
from models.carbon.pue import ConstantPue, TemperaturePue
from models.carbon.signal import StepSignal
from models.carbon.supply import FarmEnergy
from models.errors import ConfigError, TraceError
from sim.carbon.ledger import Ledger
from sim.carbon.methods import Slot, attribute, redistributed
from sim.carbon.netting import SiteSettled
from sim.carbon.parts import Claim, Part
from sim.carbon.site import Farm
from sim.carbon.sites import Sites
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount

G_PER_J = PUE * 1e-3  # of the computers, on the kit's grid
BUSY_W = PEAK_W - IDLE_W

run = partial(simulate, log=False)


def books(outcome: Outcome) -> dict[tuple[str, str, str], list[float]]:
    """Energy, operational and embodied grams by part, tenant and account."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in outcome.table("carbon"):
        sums = found.setdefault((row["component"], row["tenant"], row["account"]), [0.0] * 3)
        for i, key in enumerate(("energy_j", "operational_g", "embodied_g")):
            sums[i] += row[key]
    return found


def test_a_run_by_hand() -> None:
    """Four tokens in four steps of a second at full power, on a GPU, a chassis and a processor."""
    outcome = run([(0.0, 1, 4)], **accounted())
    booked = books(outcome)
    assert booked["gpu", "serving", "work"] == pytest.approx([4 * BUSY_W, 4 * BUSY_W * G_PER_J, 0])
    idle = [4 * IDLE_W, 4 * IDLE_W * G_PER_J, 4 * GPU_G_PER_S]
    assert booked["gpu", "serving", "idle"] == pytest.approx(idle)
    host = [4 * NODE_W, 4 * NODE_W * G_PER_J, 4 * PARTS["host"][1] / PARTS["host"][3]]
    assert booked["host", "serving", "idle"] == pytest.approx(host)
    assert booked["cpu", "serving", "idle"] == pytest.approx([0, 0, 4 * CPU[1] / CPU[3]])
    assert booked["dram", "serving", "idle"] == pytest.approx([0, 0, 4 * 100.0 / 500.0])
    operational_g = 4 * (PEAK_W + NODE_W) * G_PER_J
    embodied_g = 4 * (NODE_G_PER_S + GPU_G_PER_S)
    figures = outcome.result
    assert figures["carbon.operational_g"] == pytest.approx(operational_g)
    assert figures["carbon.embodied_g"] == pytest.approx(embodied_g)
    assert figures["carbon_g"] == pytest.approx(operational_g + embodied_g)
    assert figures["serving.carbon_per_request_g"] == pytest.approx(operational_g + embodied_g)
    # One prompt token and four of output.
    per_1k = (operational_g + embodied_g) / 5 * 1000
    assert figures["serving.carbon_per_1k_tokens_g"] == pytest.approx(per_1k)
    assert figures["carbon.cue_kg_per_kwh"] == pytest.approx(PUE * 3.6)
    assert figures["carbon.tcdp_gs"] == pytest.approx(4 * (operational_g + embodied_g))
    assert figures["sites.home.energy_j"] == pytest.approx(PUE * figures.number("energy_j"))
    assert figures["facility_energy_j"] == figures["sites.home.energy_j"]


def test_intensity_counts_at_its_time() -> None:
    """A request from 1 to 3 s; the grid goes from 3,600 to 0 and to 7,200 g/kWh at 1.5 and 2.5."""
    signal = Given([0.0, 1.5, 2.5, 100.0], [3600.0, 0.0, 7200.0])
    outcome = run([(1.0, 1, 2)], **accounted(signal))
    by_step = [row for row in outcome.table("carbon") if row["component"] == "gpu"]
    work = [row["operational_g"] for row in by_step if row["account"] == "work"]
    assert work == pytest.approx([0.5 * BUSY_W * G_PER_J, 0.0, 0.5 * BUSY_W * 2 * G_PER_J])
    idle = [row["operational_g"] for row in by_step if row["account"] == "idle"]
    assert idle == pytest.approx([1.5 * IDLE_W * G_PER_J, 0.0, 0.5 * IDLE_W * 2 * G_PER_J])


def test_nested_shapley_by_hand() -> None:
    """Of four steps of a second one user has 8 W in the first, another 4 W in the last two; they
    stand by at a gram each. Flat: 4 / 3 x 4 twice for the one, (4 / 3 + 4) x 8 for the other; by
    spans of two steps 2 x 8 and (2 + 4) x 8."""
    slots = [Slot(1.0), Slot(1.0), Slot(1.0), Slot(1.0)]
    for slot, (user, watts) in zip(
        slots, [("peak", 8.0), ("", 0.0), ("flat", 4.0), ("flat", 4.0)], strict=True
    ):
        slot.hold("idle", 1.0)
        if watts:
            slot.work(user, watts, 0.0)
    found = attribute(slots, [2.0])
    assert found["shapley"] == pytest.approx({"peak": 3.2, "flat": 0.8, "idle": 0.0})
    assert found["shapley_nested"] == pytest.approx({"peak": 3.0, "flat": 1.0, "idle": 0.0})
    assert "shapley_nested" not in attribute(slots)
    # A part of nothing that rounding has left below 0 is nothing; more than that is an error.
    slots[0].split("peak", {"a": -1e-12, "b": 8.0}, {})
    assert attribute(slots)["usage"]["a"] == 0.0
    slots[2].split("flat", {"a": -1e-3, "b": 4.0}, {})
    with pytest.raises(ConfigError, match=r"share of a: -0\.001 must be >= 0"):
        attribute(slots)
    for spans_s in ([0.0], [4.0, 3.0], [4.0, 4.0], [float("inf")]):
        with pytest.raises(ConfigError, match=r"carbon\.shapley_spans_s"):
            Ledger(catalogue(), shapley_spans_s=spans_s)


def test_methods_by_hand_over_steps_of_any_length() -> None:
    """A user of 8 W for a second, one of 4 W for three; a gram stands by for the first, three for
    nobody. By power the first causes the peak: 2 + 4 against 2, times 8 J and 12 J."""
    first, second = Slot(1.0), Slot(3.0)
    first.work("peak", 8.0, 16.0)
    first.work("nothing", 0.0, 0.0)
    first.hold("peak", 1.0)
    second.work("flat", 12.0, 24.0)
    second.hold("idle", 3.0)
    found = attribute([first, second])
    peak_g = 4.0 * 48.0 / (48.0 + 24.0)
    wanted = {
        "usage_and_reservation": {"peak": 17.0, "flat": 24.0, "idle": 3.0},
        "spread": {"peak": 17.0 * 44.0 / 41.0, "flat": 24.0 * 44.0 / 41.0},
        "usage": {"peak": 17.0, "flat": 27.0},
        "equal": {"peak": 17.0, "flat": 27.0},
        "shapley": {"peak": 16.0 + peak_g, "flat": 28.0 - peak_g},
    }
    for method, accounts in wanted.items():
        own = {name: grams for name, grams in found[method].items() if name != "nothing"}
        assert own == pytest.approx(accounts), method
        assert found[method].get("nothing", 0.0) == 0.0


def test_rounding_is_no_user_of_a_step() -> None:
    """Else it would have half by the method of equal parts."""
    slot = Slot(1.0)
    slot.work("serving", 0.3, 6.0)
    slot.split("serving", {"serving/chat": 0.1 + 0.2 - 2e-16}, {})
    assert attribute([slot])["equal"] == {"serving/chat": 6.0}


def test_overheads_are_shared_out_in_a_second_pass() -> None:
    """What one tenant lost is his; idle and shared are everybody's in proportion."""
    accounts = {
        "serving/chat": 3.0, "serving": 1.0, "serving/lost": 4.0, "jobs": 8.0,
        "idle": 6.0, "shared": 2.0,
    }  # fmt: skip
    found = redistributed(accounts)
    assert found == pytest.approx({"serving/chat": 9.0, "serving": 3.0, "jobs": 12.0})
    assert redistributed({"idle": 5.0, "shared": 1.0}) == {"idle": 5.0, "shared": 1.0}
    alone = {"serving/lost": 4.0, "jobs": 8.0}
    assert redistributed(alone) == alone


def test_grams_of_prompts_and_answers_by_hand() -> None:
    """Two requests that share nothing: what each phase holds and draws, and idle by it."""
    outcome = run([(0.0, 1, 3), (10.0, 1, 5)], **accounted(requests=True))
    figures = outcome.result
    own = {
        account: sum(
            sums[1] + sums[2]
            for (_, tenant, name), sums in books(outcome).items()
            if (tenant, name) == ("serving", account)
        )
        for account in ("prefill", "decode", "idle")
    }
    assert min(own.values()) > 0.0
    # An iteration for each prompt, with its first token, and six more.
    assert own["prefill"] < own["decode"]
    whole = sum(own.values())
    prefill_g = whole * own["prefill"] / (own["prefill"] + own["decode"])
    per_1k = figures["serving.carbon_per_1k_prefill_tokens_g"]
    assert per_1k == pytest.approx(prefill_g / 2 * 1000)
    per_1k = figures["serving.carbon_per_1k_decode_tokens_g"]
    assert per_1k == pytest.approx((whole - prefill_g) / 8 * 1000)


def test_nothing_to_do_is_idle() -> None:
    outcome = run([(50.0, 1, 1)], until_s=10.0, **accounted())
    assert {account for _, _, account in books(outcome)} == {"idle"}
    assert outcome.result["carbon.operational_g"] == pytest.approx(600 * G_PER_J)
    assert outcome.result["carbon.embodied_g"] == pytest.approx(10 * (NODE_G_PER_S + GPU_G_PER_S))
    assert outcome.result["serving.carbon_per_request_g"] is None


def test_what_is_linear() -> None:
    def figures(**changes: Any) -> tuple[float, float]:
        outcome = run([(0.0, 3, 4), (1.0, 2, 9)], **accounted(**changes))
        return (
            outcome.result.number("carbon.operational_g"),
            outcome.result.number("carbon.embodied_g"),
        )

    operational_g, embodied_g = figures()
    assert figures(intensity=always(7200.0)) == pytest.approx((2 * operational_g, embodied_g))
    assert figures(pue=ConstantPue(3.0)) == pytest.approx((2 * operational_g, embodied_g))
    assert figures(level="high") == pytest.approx((operational_g, 2 * embodied_g))
    halved = catalogue(
        devices={name: [*row[:3], 2 * row[3]] for name, row in catalogue().devices.items()},
        parts={name: [*row[:3], 2 * row[3]] for name, row in PARTS.items()},
    )
    outcome = run([(0.0, 3, 4), (1.0, 2, 9)], sites=sites(), observers=[Ledger(halved)])
    assert outcome.result["carbon.embodied_g"] == pytest.approx(0.5 * embodied_g)
    assert figures(level="low")[0] == operational_g


def test_making_is_written_off_once() -> None:
    """Hardware at the end of its life costs nothing more."""
    old = Ledger(catalogue(), age_years=1.0)
    outcome = run([(0.0, 1, 4)], sites=sites(), observers=[old])
    assert outcome.result["carbon.embodied_g"] == 0.0
    longest_s = 3000.0
    whole = GPU[1] + CPU[1] + 100 * PARTS["dram"][1] + 10.0 + 10.0 + PARTS["host"][1]
    outcome = run([(0.0, 1, 1), (longest_s, 1, 1)], **accounted())
    assert outcome.result["carbon.embodied_g"] == pytest.approx(whole)


def test_a_gpu_that_nobody_has() -> None:
    """Two GPUs, a replica on one: half of the host and one GPU are nobody's."""
    nodes = [NodeCount(node_spec(2))]
    simulation = Simulation(cluster=Cluster(nodes), sites=sites())
    system = Holder([(0.0, 1, 10.0)])
    simulation.add(system)
    simulation.observe(Ledger(catalogue()))
    simulation.run()
    simulation.finish()
    rows = simulation.results.close({}, {})._tables["carbon"].to_pylist()
    made = {(row["component"], row["tenant"]): row["embodied_g"] for row in rows}
    assert made["gpu", "holder"] == made["gpu", "idle"] == pytest.approx(10 * GPU_G_PER_S)
    half = 5 * PARTS["host"][1] / PARTS["host"][3]
    assert made["host", "holder"] == made["host", "idle"] == pytest.approx(half)


class Holder:
    """A system that holds GPUs for a while: (from, how many, for seconds)."""

    name = "holder"

    def __init__(self, spans: list[tuple[float, int, float]]) -> None:
        self._spans = spans
        self._left = len(spans)

    def start(self, simulation: Simulation) -> None:
        self._simulation = simulation
        for start_s, gpus, lasts_s in self._spans:
            if start_s:
                simulation.at(start_s, lambda _, g=gpus, s=lasts_s: self._take(g, s))  # type: ignore[misc]
            else:
                self._take(gpus, lasts_s)

    def _take(self, gpus: int, lasts_s: float) -> None:
        cluster = self._simulation.cluster
        assert cluster is not None
        taken = cluster.allocate(gpus, tenant=self.name)
        now = self._simulation.now

        def give(_: object) -> None:
            cluster.release(taken)
            self._left -= 1
            self._simulation.check_done()

        self._simulation.at(now + lasts_s, give)

    def done(self) -> bool:
        return not self._left

    def snapshot(self) -> dict[str, object]:
        return {"left": self._left}

    def finish(self, results: Any) -> None:
        pass


def test_who_holds_a_gpu_may_change() -> None:
    simulation = Simulation(cluster=Cluster([NodeCount(node_spec(1))]), sites=sites())
    simulation.add(Holder([(2.0, 1, 3.0), (7.0, 1, 1.0)]))
    simulation.observe(Ledger(catalogue()))
    simulation.run()
    simulation.finish()
    rows = simulation.results.close({}, {})._tables["carbon"].to_pylist()
    held = [(row["start_s"], row["end_s"]) for row in rows if row["tenant"] == "holder"]
    assert set(held) == {(2.0, 5.0), (7.0, 8.0)}
    made = sum(r["embodied_g"] for r in rows if (r["component"], r["tenant"]) == ("gpu", "holder"))
    assert made == pytest.approx(4 * GPU_G_PER_S)


class Cores:
    """Two tenants' tasks on one host."""

    name = "cores"

    def start(self, simulation: Simulation) -> None:
        assert simulation.cluster is not None
        self._simulation = simulation
        cpu = simulation.cluster.nodes[0].cpu
        self._left = [
            cpu.task(core_seconds=3.0, cores_wanted=1.0, tenant="cores one"),
            cpu.task(core_seconds=6.0, cores_wanted=2.0, tenant="other"),
            cpu.task(core_seconds=2.0, cores_wanted=1.0),
        ]
        for task in self._left:
            task.callbacks.append(lambda _: simulation.check_done())

    def done(self) -> bool:
        return all(task.triggered for task in self._left)

    def snapshot(self) -> dict[str, object]:
        return {}

    def finish(self, results: Any) -> None:
        pass


def test_a_host_that_is_had_more_than_once_is_shared_in_proportion() -> None:
    """One tenant fills its cores, another its memory: 8 and 6 of 10 s; then 2 of 10 alone."""
    had = {10.0: (8.0, 6.0), 20.0: (10.0, 6.0)}

    def occupied(now_s: float) -> dict[Claim, float]:
        cores_s, memory_s = had.get(now_s, (0.0, 0.0))
        return {Claim("cores"): cores_s, Claim("memory"): memory_s}

    part = Part(0, "host", Life(100.0, 1000.0), lambda t: (t, 0.0), dict, occupied=occupied)
    assert part.step(10.0).held == pytest.approx({Claim("cores"): 8 / 14, Claim("memory"): 6 / 14})
    assert part.step(20.0).held == pytest.approx({Claim("cores"): 0.2, Claim("idle"): 0.8})


def test_a_hosts_work_goes_to_its_tenants() -> None:
    """A processor of 8 cores that draws up to 80 W over idle: a core-second is 10 J."""
    from dataclasses import replace

    spec = node_spec(1)
    spec = replace(spec, cpu=replace(spec.cpu, peak_w=80.0))
    simulation = Simulation(cluster=Cluster([NodeCount(spec)]), sites=sites())
    simulation.add(Cores())
    simulation.observe(Ledger(catalogue()))
    simulation.run()
    simulation.finish()
    rows = simulation.results.close({}, {})._tables["carbon"].to_pylist()
    work = {r["tenant"]: r["energy_j"] for r in rows if r["account"] == "work"}
    assert work == pytest.approx({"cores": 30.0, "other": 60.0, "shared": 20.0})


BATTERY = BatterySpec(
    name="test",
    charge=0.9,
    discharge=1.1,
    c_rate=1000.0,
    taper_h=0.0,
    upper=1.0,
    lower_h=0.0,
    lower=0.0,
    embodied_g_per_kwh=0.0001,
    cycles=10,
    life_years=1e6,
    source=dict.fromkeys(
        ("charge", "discharge", "c_rate", "taper_h", "upper", "lower_h", "lower", "cycles",
         "life_years", "embodied_g_per_kwh"), "made up for tests"
    ),
)  # fmt: skip


def test_farm_and_battery_by_hand() -> None:
    """Ten seconds of idling at 60 W, 90 W with PUE; a farm of 200 W blows for the first four."""
    farm = Farm(Given([0.0, 4.0, 100.0], [1.0, 0.0], "wind"), 200.0, 36.0)
    settled: list[SiteSettled] = []
    outcome = run(
        [(50.0, 1, 1)],
        until_s=10.0,
        sites=sites(farms=[farm], netting_s=4.0, battery=Battery(BATTERY, 1e6)),
        observers=[Ledger(catalogue()), Listener(settled)],
    )
    first, second, third = (fact.settled for fact in settled)
    assert (first.load_j, first.matched_j, first.charged_j) == pytest.approx((360.0, 360.0, 440.0))
    assert first.farm_g == pytest.approx(360.0 * 36.0 / 3.6e6)
    out_j = 0.9 * 440.0 / 1.1
    assert (second.discharged_j, second.grid_j) == pytest.approx((out_j, 0.0))
    assert (third.discharged_j, third.grid_j) == pytest.approx((0.0, 540.0 - out_j))
    # All that went in comes out, with what it cost to make.
    assert second.stored_g == pytest.approx(440.0 * 36.0 / 3.6e6)
    figures = outcome.result
    assert figures["sites.home.coverage"] == pytest.approx((360.0 + out_j) / 900.0)
    assert figures["sites.home.annual_share"] == pytest.approx(800.0 / 900.0)
    assert figures.number("sites.home.coverage") <= figures.number("sites.home.annual_share")
    assert figures["sites.home.location_g"] == pytest.approx(900.0 * 1e-3)
    assert figures["sites.home.annual_matching_g"] == pytest.approx(100.0 * 1e-3)
    assert figures["sites.home.battery.content_j"] == pytest.approx(0.0, abs=1e-9)
    grid_g = (540.0 - out_j) * 1e-3
    wear_g = BATTERY.worn_g(out_j)
    assert figures["sites.home.battery.wear_g"] == pytest.approx(wear_g)
    farm_g = 800.0 * 36.0 / 3.6e6
    assert figures["carbon.operational_g"] == pytest.approx(grid_g + farm_g + wear_g)


def test_what_the_grid_gives_has_the_intensity_of_the_loads_joules() -> None:
    """Four seconds of work and one idle at 3,600 g/kWh, five idle at 0; a farm gives a fifth of
    the load of these ten seconds."""
    work_j, idle_j = 4 * (PEAK_W + NODE_W) * PUE, (IDLE_W + NODE_W) * PUE
    load_j = work_j + 6 * idle_j
    outcome = run(
        [(0.0, 1, 4), (50.0, 1, 1)],
        until_s=10.0,
        sites=sites(
            Given([0.0, 5.0, 100.0], [3600.0, 0.0]),
            farms=[Farm(always(1.0, "wind"), load_j / 50.0, 0.0)],
            netting_s=10.0,
        ),
        observers=[Ledger(catalogue())],
    )
    per_j = 1e-3 * (work_j + idle_j) / load_j
    assert outcome.result["carbon.operational_g"] == pytest.approx(0.8 * load_j * per_j)
    assert outcome.result["sites.home.location_g"] == pytest.approx(load_j * per_j)


def test_more_than_the_load_is_matched_by_the_year_and_no_more() -> None:
    outcome = run(
        [(50.0, 1, 1)],
        until_s=10.0,
        sites=sites(farms=[Farm(Given([0.0, 5.0, 100.0], [1.0, 0.0]), 1e3, 0.0)], netting_s=5.0),
        observers=[Ledger(catalogue())],
    )
    assert outcome.result["sites.home.annual_share"] == 1.0
    assert outcome.result["sites.home.annual_matching_g"] == 0.0
    assert outcome.result["sites.home.coverage"] == pytest.approx(0.5)


#: A farm that gives more than idling takes and less than work.
FARM = Farm(always(1.0, "wind"), 150.0, 36.0)


def farmed(others: Any = None, **changes: Any) -> Outcome:
    """Two hours and a bit of few requests on a site with a farm and a battery, and maybe others."""
    own = site(farms=[FARM], battery=Battery(BATTERY, 1e4), nodes=["node0"], **changes)
    return run(
        [(0.0, 1, 500), (3590.0, 1, 9), (4000.0, 1, 700), (7700.0, 1, 100)],
        until_s=7800.0,
        replicas=2,
        sites=Sites({"home": own, "other": others or site()}),
        observers=[Ledger(catalogue(), requests=True)],
    )


def of_home(outcome: Outcome) -> dict[str, Any]:
    figures = outcome.result.summary.items()
    own = ("sites.home.", "serving.carbon.", "serving.carbon_g", "serving.carbon_per_request")
    return {key: value for key, value in figures if key.startswith(own)}


def test_netting_is_over_the_sites_own_hours() -> None:
    """Further edges of its own signal and another site's change nothing."""
    plain = of_home(farmed())
    assert 0.0 < plain["sites.home.coverage"] < plain["sites.home.annual_share"] <= 1.0
    often = [*np.arange(0.0, 7200.0, 60.0).tolist(), 1e9]
    ragged = Given(often, [3600.0] * (len(often) - 1))
    assert of_home(farmed(intensity=ragged)) == pytest.approx(plain, rel=1e-9, abs=1e-9)
    assert of_home(farmed(site(ragged))) == pytest.approx(plain, rel=1e-9, abs=1e-9)
    shorter = of_home(farmed(netting_s=60.0))
    assert shorter["sites.home.coverage"] < plain["sites.home.coverage"] - 0.01
    with pytest.raises(ConfigError, match=r"netting_s = 7200.0 must be > 0 and at most an hour"):
        site(netting_s=7200.0)
    with pytest.raises(ConfigError, match=r"netting_s is 60.0; this site has neither farms nor"):
        site(netting_s=60.0)


def test_netting_begins_with_the_hours_of_the_place() -> None:
    class Quarter(Given):
        clock = Clock(0, 12.25)

    late = farmed(intensity=Quarter([0.0, 1e9], [3600.0]))
    ends = {row["end_s"] for row in late.table("carbon") if row["site"] == "home"}
    assert ends == {2700.0, 6300.0, 7800.0}


def test_hand_overs_do_not_change_what_is_netted() -> None:
    def emitted(spans: list[tuple[float, int, float]]) -> float:
        simulation = Simulation(
            cluster=Cluster([NodeCount(node_spec(2))]),
            until_s=5000.0,
            sites=sites(Given([0.0, 1800.0, 1e9], [3600.0, 360.0]), farms=[FARM]),
        )
        simulation.add(Holder(spans))
        simulation.observe(Ledger(catalogue()))
        simulation.run()
        simulation.finish()
        return simulation.results.close({}, {}).number("carbon.operational_g")

    once = emitted([(0.0, 1, 4999.0)])
    often = [(100.0 * i, 1, 70.0) for i in range(40)]
    assert emitted([*often, (0.0, 1, 4999.0)]) == pytest.approx(once, rel=1e-9)


def test_a_battery_ages_unused() -> None:
    """It costs the larger of its cycles and its years, to a load that is there."""
    from dataclasses import replace

    spec = replace(BATTERY, embodied_g_per_kwh=1e6, life_years=1.0)
    battery = Battery(spec, 3.6e6)
    g_per_s = 1e6 / (365.0 * 86400.0)
    idle = accounted(battery=battery)
    outcome = run([(50.0, 1, 1)], until_s=10.0, **idle)
    assert outcome.result["sites.home.battery.wear_g"] == pytest.approx(10.0 * g_per_s)
    store = battery.write_off(Store(), 0.0, 10.0, True)
    assert store.written_g == pytest.approx(10.0 * g_per_s)
    # A full cycle's worth comes out: far more than ten seconds of its years.
    store = battery.write_off(store, 3.6e6 / 1.1, 10.0, True)
    assert store.written_g == pytest.approx(1e6 / 10)
    # Its cycles are ahead: nothing for a while; and nobody is there to charge.
    assert battery.write_off(store, 0.0, 86400.0, True).written_g == store.written_g
    waited = battery.write_off(Store(), 0.0, 10.0, False)
    assert waited.written_g == 0.0
    assert battery.write_off(waited, 0.0, 10.0, True).written_g == pytest.approx(20.0 * g_per_s)


class Listener:
    """Keeps what the sites tell."""

    def __init__(self, facts: list[SiteSettled]) -> None:
        self._facts = facts

    def attach(self, simulation: Simulation) -> None:
        simulation.facts.subscribe(SiteSettled, self._facts.append)

    def finish(self, results: Any) -> None:
        pass


def test_pue_follows_the_temperature() -> None:
    outside = Given([0.0, 2.0, 100.0], [8.0, 38.0], "outside")
    pue = TemperaturePue(0.1, 0.01, 18.0)
    outcome = run([(0.0, 1, 4)], **accounted(pue=pue, outside=outside))
    site_j = (PEAK_W + NODE_W) * (2 * 1.1 + 2 * 1.3)
    assert outcome.result["sites.home.energy_j"] == pytest.approx(site_j)


def test_two_sites() -> None:
    two = Sites(
        {
            "clean": site(always(360.0), nodes=["node1"]),
            "dirty": site(always(3600.0)),
        }
    )
    outcome = run(
        [(0.0, 1, 4), (0.0, 1, 4)], replicas=2, sites=two, observers=[Ledger(catalogue())]
    )
    operational = {key: outcome.result.number(f"sites.{key}.operational_g") for key in two._names}
    assert operational["dirty"] == pytest.approx(4 * (PEAK_W + NODE_W) * G_PER_J)
    assert operational["clean"] == pytest.approx(0.1 * operational["dirty"])
    assert two.site_of("node1").name == "clean"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"a": site(nodes=["node0"])}, "no site takes node node1; give it to one of a"),
        ({"a": site(), "b": site()}, "a, b all take the nodes that no other names"),
        ({"a": site(), "b": site(nodes=["nodeX"])}, "sites.b: has none of the cluster's 2 nodes"),
        ({}, "sites: name at least one"),
        ({"a": site(pue=TemperaturePue(0.1, 0.0, 18.0))}, "needs an outside temperature"),
    ],
)
def test_sites_that_cannot_be(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run([(0.0, 1, 1)], replicas=2, sites=Sites(given))


class Drawn:
    """A signal of one random value."""

    clock: Clock | None = None

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        return StepSignal([0.0, 1e9], [float(rng.uniform())])


def test_each_signal_has_a_stream_of_its_own() -> None:
    def values(**changes: Any) -> list[float]:
        own = site(Drawn(), farms=[Farm(Drawn(), 1.0, 0.0), Farm(Drawn(), 1.0, 0.0)], **changes)
        run([(0.0, 1, 1)], sites=Sites({"home": own}), seed=3)
        return [own.grid.at(0.0), *own.farms_w(0.0)]

    plain = values()
    assert len(set(plain)) == 3
    pue = TemperaturePue(0.1, 0.01, 18.0)
    assert values(marginal=Drawn(), outside=Drawn(), pue=pue) == plain


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"farms": [FARM, Farm(always(40.0, "w.csv"), 1.0, 0.0)]},
            r"farms\[1\].*w.csv has 4",
        ),
        ({"farms": [Farm(always(-0.1, "w.csv"), 1.0, 0.0)]}, r"sites.home.farms\[0\].*has -0.1"),
        ({"intensity": Given([0, 9, 99], [1, -5], "g.csv")}, r"intensity: g.csv has -5.0 at 9 s"),
    ],
)
def test_signals_that_cannot_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run([(0.0, 1, 1)], sites=sites(**changes))


def test_a_signal_that_ends_before_the_run() -> None:
    short = Given([0.0, 3.0], [100.0], "grid.csv")
    with pytest.raises(TraceError, match=r"sites.home: grid.csv ends at 3 s .* to 3 s or beyond"):
        run([(0.0, 1, 9)], **accounted(short))
    with pytest.raises(TraceError, match=r"sites.home: grid.csv ends at 3 s .* to 50 s"):
        run([(0.0, 1, 1)], until_s=50.0, **accounted(short))
    # To its very end it holds.
    assert run([(0.0, 1, 3)], **accounted(short)).result["simulated_s"] == 3.0
    late = Given([1.0, 9.0], [100.0], "grid.csv")
    with pytest.raises(TraceError, match=r"grid.csv: is known from 1.0 to 9.0 s; 0.0 s was asked"):
        run([(0.0, 1, 1)], **accounted(late))


def test_a_ledger_needs_sites_and_a_catalogue_that_knows_the_parts() -> None:
    with pytest.raises(ConfigError, match="carbon: needs sites"):
        run([(0.0, 1, 1)], observers=[Ledger(catalogue())])
    poor = catalogue(devices={"test-cpu": CPU})
    with pytest.raises(ConfigError, match=r"carbon.embodied.devices: has no test-gpu; give its"):
        run([(0.0, 1, 1)], sites=sites(), observers=[Ledger(poor)])
    with pytest.raises(ConfigError, match=r"devices.x is \[1.0\]; it must be \[low_g"):
        catalogue(devices={"x": [1.0]})
    with pytest.raises(ConfigError, match=r"carbon.embodied.devices.x: low = 3.0"):
        catalogue(devices={"x": [3.0, 2.0, 1.0, 10.0]})
    with pytest.raises(ConfigError, match=r"carbon.embodied.level is 'best'"):
        catalogue(level="best")
    with pytest.raises(ConfigError, match=r"carbon.age_years is -1"):
        Ledger(catalogue(), age_years=-1)


def test_part_of_a_server_has_part_of_its_making() -> None:
    from dataclasses import replace

    spec = replace(node_spec(1), cores=2)
    lives = catalogue().node(spec)
    assert lives["cpu"].embodied_g == CPU[1] / 4
    assert lives["host"].embodied_g == PARTS["host"][1] / 4
    assert lives["drives"].embodied_g == PARTS["drives"][1] / 4
    assert lives["dram"].embodied_g == 100 * PARTS["dram"][1]
    assert "smartnic" not in lives
    edge = catalogue(hosts={"test-node": [1.0, 2.0, 3.0, 10.0]})
    assert edge.node(spec)["host"].embodied_g == 0.5
    assert gpu_spec().name in catalogue().devices


def test_the_catalogues_file_is_its_bills_priced() -> None:
    """`python -m experiments.embodied_catalogue` has nothing to write."""
    from hydra.utils import instantiate

    from experiments.compose import compose

    composed = compose([]).carbon.embodied
    assert isinstance(instantiate(composed, _convert_="all"), EmbodiedCatalogue)
    anew = made_anew()
    assert composed.devices.keys() == anew["devices"].keys()
    for group in ("devices", "parts", "hosts"):
        for name, row in anew[group].items():
            assert np.allclose(composed[group][name], row, rtol=1e-6), name


def test_hourly_accounts_agree_with_events() -> None:
    """Two days with a request an hour, farm, battery, temperature, and a part at the end of its
    life: hour by hour from loads that are counted by hand."""
    hours = 48
    rng = np.random.default_rng(3)
    edges = [3600.0 * i for i in range(hours + 1)]
    grid, wind = rng.uniform(50.0, 400.0, hours), rng.uniform(0.0, 1.0, hours)
    outside_c = rng.uniform(5.0, 35.0, hours)
    pue = TemperaturePue(fixed=0.08, per_degree=0.006, free_below_c=18.0)
    long = {name: [g, g, g, 1e7] for name, (_, g, _, _) in PARTS.items()}
    long["drives"] = [9.0, 9.0, 9.0, 1e5]
    devices = {"test-gpu": [9.0, 9.0, 9.0, 1e6], "test-cpu": [7.0, 7.0, 7.0, 2e6]}
    battery = Battery(BATTERY, 2e5)
    settled: list[SiteSettled] = []
    tokens = rng.integers(1, 3000, hours)
    requests = [(3600.0 * at + 100.0, 1, count) for at, count in enumerate(tokens.tolist())]
    # The end of the run cuts one off after ten tokens.
    requests.append((edges[-1] - 10.0, 1, 400))
    tokens[-1] += 10
    outcome = run(
        requests,
        until_s=edges[-1],
        sites=sites(
            Given(edges, grid.tolist()),
            pue=pue,
            outside=Given(edges, outside_c.tolist()),
            farms=[Farm(Given(edges, wind.tolist()), 150.0, 12.0)],
            battery=battery,
        ),
        observers=[Ledger(catalogue(devices=devices, parts=long)), Listener(settled)],
    )
    by_hour = [fact.settled for fact in settled]
    assert len(by_hour) == hours
    lives = {**catalogue(devices=devices, parts=long).node(node_spec(1))}
    lives["gpu"] = catalogue(devices=devices, parts=long).device("test-gpu")
    # A second at full power for each token.
    accounts = hourly_accounts(
        it_w=IDLE_W + NODE_W + BUSY_W * tokens / 3600.0,
        intensity_g_per_kwh=grid,
        pue=np.array([pue.at(celsius) for celsius in outside_c.tolist()]),
        farms=[FarmEnergy(wind * 150.0 * 3600.0, 12.0)],
        battery=battery,
        devices=[Deployment(name=name, life=life, from_s=0.0) for name, life in lives.items()],
    )
    for figure in ("total_g", "load_j", "matched_j", "grid_j", "charged_j", "discharged_j"):
        events = [getattr(step, figure) for step in by_hour]
        assert getattr(accounts.supply, figure) == pytest.approx(events, rel=1e-6, abs=1e-6)
    content = [step.content_j for step in by_hour]
    assert accounts.supply.content_j == pytest.approx(content, rel=1e-6, abs=1e-6)
    made = np.zeros(hours)
    for row in outcome.table("carbon"):
        made[int(row["start_s"] // 3600.0)] += row["embodied_g"]
    assert accounts.embodied_g == pytest.approx(made, rel=1e-6)
    assert made[0] > made[-1]
    assert accounts.total_g.sum() == pytest.approx(outcome.result["carbon_g"], rel=1e-6)
    assert accounts.supply.charged_j.sum() > 0.0
    assert max(content) > 1e5
