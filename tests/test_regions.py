"""Replicas in two regions by hand: travel times, routing, and what bad input is told."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from carbon_kit import Given, always, catalogue, site
from hypothesis import given
from hypothesis import strategies as st
from serving_kit import CAPPED_SPEED, IDLE_W, PEAK_W, Listed, Outcome, build, node_spec, simulate

from experiments.compose import compose
from models.carbon.pue import ConstantPue
from models.constant_cost import ConstantCost, LinearCost
from policies.routing.carbon import Carbon
from policies.routing.nearest import Nearest
from sim.carbon.ledger import Ledger
from sim.carbon.sites import Sites
from sim.core.errors import ConfigError
from sim.core.run import run as run_config
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.faults import Fault
from sim.serving.clients import ClosedLoop, OpenLoop
from workloads.arrivals import TraceTimes
from workloads.demand import Demand
from workloads.lengths import UniformAround
from workloads.origins import FromRegions
from workloads.synthetic import Synthetic
from workloads.table import RequestTable

TRIPS = {"west": {"west": 0.0, "east": 0.5}, "east": {"west": 0.5, "east": 0.0}}
run = partial(simulate, log=False, replicas=2)


def two(
    west: Any = 100.0,
    east: Any = 100.0,
    trips: Any = TRIPS,
    *,
    west_keys: dict[str, Any] | None = None,
    east_keys: dict[str, Any] | None = None,
) -> Sites:
    """node0 in the west, node1 in the east."""
    signals = [each if isinstance(each, Given) else always(each) for each in (west, east)]
    return Sites(
        {
            "west": site(signals[0], nodes=["node0"], **(west_keys or {})),
            "east": site(signals[1], nodes=["node1"], **(east_keys or {})),
        },
        trips,
    )


def sent(*requests: tuple[float, int, int, str]) -> OpenLoop:
    """(time, prompt, output, origin)."""
    demands = [Demand(p, o, at, "", (), origin) for at, p, o, origin in requests]
    return OpenLoop(Listed(demands), TraceTimes())


def carbon(ttft_s: float = 100.0, tpot_s: float = 100.0, **keys: Any) -> Any:
    return partial(Carbon, ttft_s, tpot_s, keys.pop("prompt_tokens", 1), 4, **keys)


# ---- travel ----


def test_a_request_travels_there_and_its_tokens_back_by_hand() -> None:
    """A quarter of a second each way around steps of a second; at home none."""
    only_east = two(1000.0, 10.0)
    far = run(client=sent((0.0, 1, 3, "west")), sites=only_east, routing=carbon())
    (row,) = far.rows
    assert (row["replica"], row["scheduled_s"], row["first_token_s"], row["finish_s"]) == (
        1, 0.25, 1.5, 3.5,
    )  # fmt: skip
    assert (row["ttft_s"], row["tpot_s"], row["e2e_latency_s"]) == (1.5, 1.0, 3.5)
    assert (row["origin"], far.result["simulated_s"]) == ("west", 3.5)
    near = run(client=sent((0.0, 1, 3, "west")), sites=only_east, routing=Nearest)
    (row,) = near.rows
    assert (row["replica"], row["first_token_s"], row["finish_s"]) == (0, 1.0, 3.0)


def test_a_closed_loop_thinks_at_home() -> None:
    """The next is sent when the last token has come home, not when it was made."""
    demands = [Demand(1, 2, origin="west")] * 2
    outcome = run(client=ClosedLoop(Listed(demands), 1), sites=two(9.0, 1.0), routing=carbon())
    assert outcome.column("arrival_s") == [0.0, 2.5]
    assert outcome.column("finish_s") == [2.5, 5.0]


def test_an_end_of_the_run_finds_requests_under_way() -> None:
    """One on its way there, one on its way home: unfinished; no token is seen early."""
    client = sent((0.0, 1, 2, "west"), (2.0, 1, 2, "west"))
    outcome = run(client=client, sites=two(9.0, 1.0), routing=carbon(), until_s=2.125)
    assert outcome.column("status") == ["unfinished", "unfinished"]
    assert outcome.column("first_token_s") == [1.5, None]
    assert outcome["requests_unfinished"] == 2


def test_a_request_on_its_way_to_a_replica_that_fails_goes_elsewhere() -> None:
    """Under way to the east as that fails at 0.125 s: from the gateway to the west, at once."""
    fault = Fault(time_s=0.125, target="node1/gpu0", kind="fail", duration_s=50.0)
    client = sent((0.0, 1, 3, "west"))
    outcome = run(client=client, sites=two(9.0, 1.0), routing=carbon(), faults=[fault])
    (row,) = outcome.rows
    assert (row["replica"], row["scheduled_s"], row["finish_s"]) == (0, 0.125, 3.125)
    assert outcome["requests_rerouted"] == 1


def test_round_trips_of_zero_change_nothing() -> None:
    """As a run without sites, request by request."""
    none = {"west": {"west": 0.0, "east": 0.0}}
    requests = [(0.1 * n, 1 + n % 5, 1 + n % 7) for n in range(40)]
    client = sent(*((at, p, o, "west") for at, p, o in requests))
    with_sites = run(client=client, sites=two(trips=none))
    plain = run(requests)
    for row in with_sites.rows:
        assert row.pop("origin") == "west"
    assert with_sites.rows == plain.rows


# ---- routing ----


def test_carbon_follows_the_cleaner_grid_and_stays_home_where_equal() -> None:
    """East is cleaner until 10 s, then west, then neither."""
    west = Given([0.0, 10.0, 20.0, 1e9], [300.0, 100.0, 200.0])
    east = Given([0.0, 10.0, 20.0, 1e9], [200.0, 150.0, 200.0])
    client = sent((1.0, 1, 1, "west"), (11.0, 1, 1, "east"), (21.0, 1, 1, "east"))
    outcome = run(client=client, sites=two(west, east), routing=carbon())
    assert outcome.column("replica") == [1, 0, 1]


def test_effectiveness_counts() -> None:
    """200 g at a PUE of 1.2 is less than 180 g at 1.5."""
    sites = two(180.0, 200.0, east_keys={"pue": ConstantPue(1.2)})
    assert run(client=sent((0.0, 1, 1, "west")), sites=sites, routing=carbon()).column(
        "replica"
    ) == [1]


def test_the_marginal_signal_is_followed_where_asked() -> None:
    keys = {"west_keys": {"marginal": always(700.0)}, "east_keys": {"marginal": always(400.0)}}
    client = [(0.0, 1, 1, "west")]
    for signal, replica in (("average", 0), ("marginal", 1)):
        outcome = run(
            client=sent(*client), sites=two(100.0, 300.0, **keys), routing=carbon(signal=signal)
        )
        assert outcome.column("replica") == [replica]
    with pytest.raises(ConfigError, match=r"sites\.west has no marginal"):
        run(client=sent(*client), sites=two(), routing=carbon(signal="marginal"))


def test_energy_alone_is_blind_to_the_grids() -> None:
    """The west's grid is clean and its cooling bad."""
    sites = two(10.0, 500.0, west_keys={"pue": ConstantPue(1.6)})
    for signal, replica in (("average", 0), ("energy", 1)):
        outcome = run(client=sent((0.0, 1, 1, "west")), sites=sites, routing=carbon(signal=signal))
        assert outcome.column("replica") == [replica]


def test_the_network_may_count() -> None:
    """Two steps of 350 J above idle, a little cleaner in the east; five tokens of 300 J."""
    for joules, replica in ((0.0, 1), (300.0, 0)):
        outcome = run(
            client=sent((0.0, 1, 1, "west")),
            sites=two(351.0, 350.0),
            routing=carbon(network_j_per_token=joules),
        )
        assert outcome.column("replica") == [replica]


def test_prompts_travel_too() -> None:
    """A hundred prompt tokens of 350 J each, a gram in 351 cleaner in the east; 104 tokens of
    10 J on the way there cost more than that, four of them would not."""
    outcome = run(
        client=sent((0.0, 100, 4, "west")),
        sites=two(351.0, 350.0),
        routing=carbon(ttft_s=1000.0, network_j_per_token=10.0),
    )
    assert outcome.column("replica") == [0]


def test_energy_of_an_answer_is_its_share_of_a_batch() -> None:
    """Two prompt tokens of 350 J and four of an answer, each a fourth of the 350 J of a full
    batch's iteration: 1,050 J at home, and 6 x 25 J of network more in the east."""
    for west, replica in ((1100.0, 0), (1200.0, 1)):
        outcome = run(
            client=sent((0.0, 2, 4, "west")),
            sites=two(west, 1000.0),
            routing=carbon(tpot_s=2.0, network_j_per_token=25.0),
        )
        assert outcome.column("replica") == [replica]


def test_who_waits_waits_a_turn_and_not_a_batch() -> None:
    """Four requests keep 2 s a token: 1 s and 4 / 4 x 1 s of prefill; a place is free every 2 s, so
    the fifth has its first token after 3 s at home, and after 6 s in the east."""
    far = {"west": {"west": 0.0, "east": 5.0}, "east": {"west": 5.0, "east": 0.0}}
    outcome = run(
        client=sent(*((0.0, 1, 4, "west") for _ in range(5))),
        sites=two(900.0, 1.0, far),
        routing=carbon(ttft_s=1.2, tpot_s=2.0),
    )
    assert outcome.column("replica") == [0] * 5


def test_places_are_what_keeps_the_time_per_token() -> None:
    """Steps of 1 s + 0.25 s a token, four tokens of output: b requests take 1 + 0.25 b + b / 4 x
    1.25 s a token, so two keep 2.2 s and three do not."""
    served = {"cost": LinearCost(1.0, 0.25, 0.0), "sites": two(900.0, 1.0)}
    client = sent(*((0.0, 1, 4, "west") for _ in range(5)))
    outcome = run(client=client, routing=carbon(tpot_s=2.2), **served)
    # Two at the clean site, two at home, and one that waits where that takes least: at home.
    assert outcome.column("replica") == [1, 1, 0, 0, 0]
    ignoring = run(client=sent(*((0.0, 1, 4, "west") for _ in range(5))),
                   routing=carbon(tpot_s=2.2, capacity=False), **served)  # fmt: skip
    assert ignoring.column("replica") == [1] * 5


def test_a_site_too_far_for_the_objective_is_left_out() -> None:
    """1 s of prefill and half a second of travel."""
    for ttft_s, replica in ((1.4, 0), (1.5, 1)):
        outcome = run(
            client=sent((0.0, 1, 1, "west")), sites=two(900.0, 1.0), routing=carbon(ttft_s=ttft_s)
        )
        assert outcome.column("replica") == [replica]


def test_what_an_iteration_costs_is_seen() -> None:
    outcome = run([(0.0, 1, 1)], cost=ConstantCost(2.0))
    gateway = outcome.serving.gateway
    assert gateway.iteration(0, 3, 30, 0) == (2.0, 2.0 * (PEAK_W - IDLE_W))


def grams(outcome: Outcome) -> float:
    """Of work alone: what stands there draws the same whoever gets the requests."""
    rows = outcome.table("carbon")
    return sum(row["operational_g"] for row in rows if row["account"] == "work")


def traffic(seed: int, count: int = 60) -> list[tuple[float, int, int, str]]:
    """Short requests on the half seconds, so that none is under way as a signal changes."""
    rng = np.random.default_rng(seed)
    times = np.floor(np.cumsum(rng.exponential(2.0, count))) + 0.5
    return [
        (float(at), int(rng.integers(1, 9)), int(rng.integers(1, 9)), str(rng.choice(list(TRIPS))))
        for at in times
    ]


@given(st.integers(0, 50), st.lists(st.integers(1, 900), min_size=12, max_size=12))
def test_savings_are_never_negative_and_books_balance(seed: int, values: list[int]) -> None:
    """Signals that change every 20 s, no travel, equal hardware; the ledger holds every gram (or
    raises)."""
    edges = [*(20.0 * n for n in range(6)), 1e9]
    signals = [Given(edges, [float(v) for v in values[i::2]]) for i in (0, 1)]
    near, carbon_aware = (
        run(
            client=sent(*traffic(seed)),
            cost=ConstantCost(0.001),
            sites=two(*signals, trips=None),
            observers=[Ledger(catalogue())],
            routing=routing,
        )
        # Without distances the nearest is the least loaded.
        for routing in (Nearest, carbon())
    )
    assert near["requests_finished"] == carbon_aware["requests_finished"] == 60
    assert grams(carbon_aware) <= grams(near) * (1.0 + 1e-9)


@given(st.integers(0, 50))
def test_an_equal_constant_signal_saves_nothing(seed: int) -> None:
    near, carbon_aware = (
        run(client=sent(*traffic(seed)), sites=two(), observers=[Ledger(catalogue())], routing=each)
        for each in (Nearest, carbon())
    )
    assert carbon_aware.rows == near.rows
    assert grams(carbon_aware) == grams(near) > 0.0


# ---- origins ----


def test_shares_of_regions_change_no_lengths() -> None:
    inner = Synthetic(UniformAround(100, 0.5), UniformAround(50, 0.5), count=5000)
    drawn = [
        list(FromRegions(inner, shares).demands(np.random.default_rng(3)))
        for shares in ({"west": 1.0, "east": 3.0}, {"west": 1.0})
    ]
    assert [len(each) for each in drawn] == [5000, 5000]
    assert [d._replace(origin="") for d in drawn[0]] == [d._replace(origin="") for d in drawn[1]]
    assert np.mean([d.origin == "east" for d in drawn[0]]) == pytest.approx(0.75, abs=0.02)


def test_origins_of_a_table(tmp_path: Any) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt_tokens,output_tokens,origin\n3,4,west\n5,6,east\n")
    demands = list(RequestTable(path).demands(np.random.default_rng(0)))
    assert [demand.origin for demand in demands] == ["west", "east"]


# ---- bad input ----


@pytest.mark.parametrize(
    ("trips", "said"),
    [
        ({"west": {"west": 0.0}}, r"round_trips_s\.west: has no time to east"),
        ({"west": {"west": 0.0, "east": -1.0}}, r"round_trips_s\.west\.east = -1\.0"),
        ({"west": {"west": 0.0, "east": 0.1, "north": 1.0}}, r"west\.north: no such site"),
        ({"west": {"west": float("nan"), "east": 0.1}}, r"west\.west = nan"),
    ],
)
def test_gaps_in_the_distances(trips: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        two(trips=trips)


def test_an_unknown_origin() -> None:
    with pytest.raises(ConfigError, match=r"from region 'north', and .* from west, east alone"):
        run(client=sent((0.0, 1, 1, "north")), sites=two())
    with pytest.raises(ConfigError, match="comes from no region"):
        run([(0.0, 1, 1)], sites=two())


@pytest.mark.parametrize("sites", [None, Sites({"home": site()})])
def test_an_origin_where_there_is_one_place(sites: Sites | None) -> None:
    with pytest.raises(ConfigError, match=r"region 'west', but .* choose sites=two_regions"):
        run(client=sent((0.0, 1, 1, "west")), sites=sites)


def test_a_region_without_nodes() -> None:
    with pytest.raises(ConfigError, match=r"sites\.east: has none of the cluster's 1 nodes"):
        simulate(client=sent((0.0, 1, 1, "west")), sites=two())


def test_a_policy_that_asks_for_sites_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="asks for sites"):
        run([(0.0, 1, 1)], routing=carbon())


@pytest.mark.parametrize("routing", [carbon(), carbon(capacity=False), Nearest])
def test_a_policy_that_chooses_between_sites_where_all_replicas_are_alike(routing: Any) -> None:
    """Two on one site, one on one of two; capped GPUs are not like others."""

    def go(sites: Sites, replicas: int, cap: float | None = None) -> None:
        _, serving, _ = build(client=sent((0.0, 1, 1, "")), replicas=replicas, routing=routing)
        nodes = [NodeCount(node_spec(1)), NodeCount(node_spec(1), power_cap=cap)]
        simulation = Simulation(cluster=Cluster(nodes, capped_speed=CAPPED_SPEED), sites=sites)
        simulation.add(serving)
        simulation.run()

    said = r"^routing: (Carbon|Nearest) chooses between sites, and all replicas stand at "
    with pytest.raises(ConfigError, match=f"{said}home on like GPUs; choose cluster=two_regions"):
        go(Sites({"home": site()}), 2)
    with pytest.raises(ConfigError, match=f"{said}west"):
        go(two(trips=None), 1)
    go(Sites({"home": site()}), 2, 0.5)
    go(two(trips=None), 2)


def test_a_replica_over_two_sites() -> None:
    simulation = Simulation(cluster=Cluster([NodeCount(node_spec(1), 2)]), sites=two())
    _, serving, _ = build(client=sent((0.0, 1, 1, "west")), gpus=2, replicas=1, routing=carbon())
    simulation.add(serving)
    with pytest.raises(ConfigError, match="replica 0 stand at west and east"):
        simulation.run()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"ttft_s": 0.0}, "ttft_s = 0.0"),
        ({"tpot_s": float("nan")}, "tpot_s = nan"),
        ({"signal": "best"}, "signal = 'best'"),
        ({"network_j_per_token": -1.0}, "network_j_per_token = -1.0"),
        ({"prompt_tokens": 0}, "prompt_tokens = 0"),
    ],
)
def test_settings_of_carbon_routing_are_checked(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        carbon(**keys)()


# ---- configurations ----


@pytest.mark.parametrize("routing", ["nearest", "carbon", "cleanest", "least_energy"])
def test_the_shipped_two_regions_run(routing: str) -> None:
    words = ["cluster=two_regions", "sites=two_regions", "client=two_regions", "replicas=2"]
    result = run_config(compose([*words, "workload.count=20", f"routing={routing}"]))
    assert result["serving.requests_finished"] == 40
    requests = result.table("requests")
    assert set(requests.origin) == {"west", "east"}
    if routing == "nearest":
        assert (requests.ttft_s > 0.0025).all()


@pytest.mark.parametrize("both", [True, False])
def test_two_regions_from_files(tmp_path: Any, both: bool) -> None:
    """East begins when west does, unless it says so itself."""
    rows = [f"2020-01-0{d} {h:02d}:00:00,{100 + 10 * h}" for d in (1, 2) for h in range(24)]
    paths = {}
    for name in ("west", "east"):
        paths[name] = tmp_path / f"{name}.csv"
        paths[name].write_text("Time,Intensity\n" + "\n".join(rows) + "\n")
    words = ["cluster=two_regions", "sites=two_files", "client=two_regions", "replicas=2"]
    words += [f"sites.sites.{name}.intensity.path={path}" for name, path in paths.items()]
    with pytest.raises(ConfigError, match=r"sites\.sites\.west\.intensity\.starts: must be given"):
        run_config(compose(words))
    for name in ("west", "east") if both else ("west",):
        words.append(f"sites.sites.{name}.intensity.starts=2020-01-01")
    result = run_config(compose([*words, "workload.count=20", "routing=carbon"]))
    assert result["sites.west.intensity_g_per_kwh.mean"] == 100.0


def test_replicas_stand_at_the_sites_in_turn() -> None:
    """Six of one GPU on two nodes of four, which would fill the first node first."""
    _, serving, _ = build(replicas=6)
    cluster = Cluster([NodeCount(node_spec(4), 2)])
    simulation = Simulation(cluster=cluster, sites=two())
    simulation.add(serving)
    simulation.run()
    names = [replica.group.devices[0].name.split("/")[0] for replica in serving.replicas]
    assert names == ["node0", "node1"] * 3
