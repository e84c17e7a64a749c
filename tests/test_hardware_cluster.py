"""Clusters: names, wiring, allocation, faults of everything by name, energy."""

from __future__ import annotations

import dataclasses

import pytest
from hydra.utils import instantiate
from test_hardware_catalogue import part

from models.errors import CapacityError, ConfigError, LawBroken
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.faults import Fault, Faults
from sim.hardware.topology import TwoTier


@pytest.fixture(scope="module")
def dgx():
    return part("node/dgx-a100")


def build(nodes, network=None):
    simulation = Simulation()
    return simulation, Cluster(nodes=nodes, network=network).build(simulation)


def hops(cluster, source, target):
    return [link.name for link in cluster.network.route(source, target).links]


def test_parts_have_their_names(dgx):
    _, cluster = build([NodeCount(dgx, 2)])
    assert [node.name for node in cluster.nodes] == ["node0", "node1"]
    assert len(cluster.gpus) == 16
    assert cluster.gpus[11].name == "node1/gpu3"
    assert cluster.node_of(cluster.gpus[11]) is cluster.nodes[1]
    assert cluster.nodes[0].cpu.name == "node0/cpu"
    assert cluster.nodes[0].cpu.spec.cores == 128
    assert cluster.nodes[0].memory.capacity_bytes == 2 * 2**40


def test_kinds_give_their_names(dgx):
    kinds = {"prefill": NodeCount(dgx), "decode": NodeCount(part("node/a100-server"), 2)}
    _, cluster = build(kinds)
    assert [node.name for node in cluster.nodes] == ["prefill0", "decode0", "decode1"]


def test_wiring_of_a_dgx(dgx):
    _, cluster = build([NodeCount(dgx, 2)])
    assert hops(cluster, "node0/gpu0", "node0/gpu7") == [
        "node0/gpu0->node0/nvlink",
        "node0/nvlink->node0/gpu7",
    ]
    assert hops(cluster, "node0/gpu3", "node0") == [
        "node0/gpu3->node0/pcie1",
        "node0/pcie1->node0",
    ]
    assert hops(cluster, "node0/gpu7", "node1/gpu0") == [
        "node0/gpu7->node0/pcie3",
        "node0/pcie3->switch",
        "switch->node1/pcie0",
        "node1/pcie0->node1/gpu0",
    ]
    assert hops(cluster, "node0", "node1") == ["node0->switch", "switch->node1"]
    nics = cluster.network.links["node0/pcie3->switch"].capacity_bytes_per_s
    assert nics == pytest.approx(2 * 25e9 * 0.97)


def test_copies_to_two_gpus_behind_one_pcie_switch_share_its_path(dgx):
    simulation, cluster = build([NodeCount(dgx)])
    done = {}
    rate = dgx.host_link.payload_bytes_per_s
    for gpu in (0, 1, 2):
        event = cluster.network.send(rate, "node0", f"node0/gpu{gpu}")
        event.callbacks.append(lambda _, gpu=gpu: done.__setitem__(gpu, simulation.now))
    simulation.env.run()
    latency = 2 * dgx.host_link.latency_s
    assert done == pytest.approx({0: 2.0 + latency, 1: 2.0 + latency, 2: 1.0 + latency})


def test_servers_without_switches_have_a_path_each():
    _, cluster = build(
        [NodeCount(part("node/g5.4xlarge"), 2)], TwoTier(1, part("link/ethernet-25g"))
    )
    assert hops(cluster, "node0/gpu0", "node1/gpu0") == [
        "node0/gpu0->node0",
        "node0->rack0",
        "rack0->core",
        "core->rack1",
        "rack1->node1",
        "node1->node1/gpu0",
    ]


def test_smartnic_takes_the_place_of_the_plain_interface(dgx):
    nic, fpga = part("smartnic/bluefield-2"), part("fpga/alveo-u280")
    spec = dataclasses.replace(part("node/a100-server"), smartnic=nic, fpga=fpga)
    _, cluster = build([NodeCount(spec), NodeCount(dgx)])
    assert hops(cluster, "node0", "node1") == [
        "node0->node0/nic",
        "node0/nic->switch",
        "switch->node1",
    ]
    assert hops(cluster, "node0/fpga", "node0") == ["node0/fpga->node0"]
    assert {"node0/nic", "node0/fpga", "node0/cpu"} <= set(cluster.targets)


def test_groups_stay_within_a_node_where_they_fit(dgx):
    _, cluster = build([NodeCount(dgx, 2)])
    first = cluster.allocate(gpus=6)
    assert {cluster.node_of(gpu).name for gpu in first} == {"node0"}
    assert {cluster.node_of(g).name for g in cluster.allocate(gpus=4)} == {"node1"}
    assert {cluster.node_of(g).name for g in cluster.allocate(gpus=2)} == {"node0"}
    cluster.release(first)
    assert cluster.free_gpus == 10
    across = cluster.allocate(gpus=8)
    assert [cluster.node_of(gpu).name for gpu in across] == ["node0"] * 6 + ["node1"] * 2
    with pytest.raises(CapacityError, match=r"3 GPUs asked, 2 are free; .* 2 nodes have 16 GPUs"):
        cluster.allocate(gpus=3)
    assert cluster.free_gpus == 2


def test_small_groups_fill_the_gaps(dgx):
    _, cluster = build([NodeCount(dgx, 2)])
    first = cluster.allocate(gpus=8)
    cluster.allocate(gpus=6)
    cluster.release(first[:4])
    assert {cluster.node_of(gpu).name for gpu in cluster.allocate(gpus=2)} == {"node1"}


def test_allocation_by_model_and_misuse(dgx):
    _, cluster = build([NodeCount(dgx), NodeCount(part("node/dgx-h100"))])
    chosen = cluster.allocate(gpus=2, model="h100-sxm")
    assert {gpu.spec.name for gpu in chosen} == {"h100-sxm"}
    with pytest.raises(CapacityError, match="1 GPUs of model t4 asked, 0 are free"):
        cluster.allocate(gpus=1, model="t4")
    cluster.release(chosen)
    with pytest.raises(LawBroken, match="node1/gpu0 is given back but was not handed out"):
        cluster.release(chosen)
    with pytest.raises(ValueError, match="allocate: 0 GPUs"):
        cluster.allocate(gpus=0)


def test_every_part_can_break_and_be_repaired(dgx):
    spec = dataclasses.replace(dgx, smartnic=part("smartnic/agilio-cx"), fpga=part("fpga/zcu102"))
    simulation, cluster = build([NodeCount(spec)])
    faults = [
        Fault(time_s=1.0, target=name, kind="fail", duration_s=1.0) for name in cluster.targets
    ]
    faults += [
        Fault(time_s=3.0, target=name, kind="slow", speed=0.5, duration_s=1.0)
        for name in cluster.targets
    ]
    Faults(faults).start(simulation, cluster.targets)
    simulation.env.run(1.5)
    assert not any(device.up for device in cluster.nodes[0].devices)
    assert not any(link.up for link in cluster.network.links.values())
    simulation.env.run(3.5)
    assert {device.speed for device in cluster.nodes[0].devices} == {0.5}
    simulation.env.run(5.0)
    targets = cluster.targets.values()
    assert all(target.speed == 1.0 and target.up for target in targets if hasattr(target, "up"))


def test_idle_energy_is_the_parts_idle_power(dgx):
    simulation, cluster = build([NodeCount(dgx, 2)])
    simulation.at(10.0, lambda _: None)
    simulation.env.run()
    links_w = sum(link.spec.idle_w * link.width for link in cluster.network.links.values())
    idle_w = 2 * (8 * 50 + 2 * 65 + dgx.base_w) + links_w
    assert cluster.energy_j(10.0) == pytest.approx(10.0 * idle_w)
    assert links_w == pytest.approx(2 * 2 * 9 * dgx.nic_link.idle_w)


def test_a_node_idles_where_public_telemetry_has_it(dgx):
    """An 8-GPU A100 server idles at 1.5 kW (5th percentile) in AcmeTrace."""
    simulation, cluster = build([NodeCount(dgx)])
    simulation.at(1.0, lambda _: None)
    simulation.env.run()
    assert cluster.nodes[0].energy_j(1.0) == pytest.approx(1512, rel=0.1)


def test_a_cluster_is_built_from_configuration(dgx):
    from hydra import compose, initialize_config_dir
    from test_hardware_catalogue import CONFIGS

    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(
            overrides=[
                "+hardware/node@cluster.nodes.big.spec=dgx-h100",
                "+hardware/node@cluster.nodes.small.spec=g5.2xlarge",
                "+cluster._target_=sim.hardware.cluster.Cluster",
                "+cluster.nodes.big._target_=sim.hardware.cluster.NodeCount",
                "+cluster.nodes.small._target_=sim.hardware.cluster.NodeCount",
                "+cluster.nodes.small.count=3",
            ]
        )
    cluster = instantiate(config.cluster, _convert_="all").build(Simulation())
    assert [node.name for node in cluster.nodes] == ["big0", "small0", "small1", "small2"]
    assert len(cluster.gpus) == 11


def test_misuse_is_refused(dgx):
    with pytest.raises(ConfigError, match="0 of dgx-a100; at least 1"):
        NodeCount(dgx, 0)
    with pytest.raises(ConfigError, match="nodes is empty"):
        Cluster(nodes=[]).build(Simulation())
    with pytest.raises(RuntimeError, match="before build"):
        _ = Cluster(nodes=[NodeCount(dgx)]).network
    with pytest.raises(ConfigError, match="nodes_per_rack = 0"):
        TwoTier(0, dgx.nic_link)
