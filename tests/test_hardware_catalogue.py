"""Every part of the catalogue can be made, and every number in it has a source."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from models.errors import CapacityError, ConfigError
from models.gpu_spec import GpuSpec
from models.hardware import CpuSpec, FpgaDesign, FpgaSpec, LinkSpec, NodeSpec, SmartNicSpec
from sim.core.run import register_resolvers

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FILES = sorted((CONFIGS / "hardware").rglob("*.yaml"))
KINDS = {
    "gpu": GpuSpec,
    "cpu": CpuSpec,
    "smartnic": SmartNicSpec,
    "fpga": FpgaSpec,
    "link": LinkSpec,
    "node": NodeSpec,
}


@cache
def part(choice: str):
    """A part by its path below configs/hardware, as Hydra makes it."""
    group, name = choice.split("/")
    if group != "node":  # a file without defaults is the whole part
        file = CONFIGS / "hardware" / f"{choice}.yaml"
        return instantiate(OmegaConf.load(file), _convert_="all")
    register_resolvers()
    context = ["+hardware/gpu@gpu=t4", "+tensor_parallel=2", "+pipeline_parallel=1"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(overrides=[*context, f"+hardware/{group}={name}"])
    return instantiate(config.hardware[group], _convert_="all")


def numeric_leaves(value, path=""):
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, (int, float)):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("source", "_target_", "defaults"):
                yield from numeric_leaves(item, f"{path}.{key}" if path else key)
    else:
        for item in value:
            yield from numeric_leaves(item, f"{path}.{item['name']}")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_file_makes_a_part_and_every_number_has_a_source(file):
    group = file.parent.name
    text = file.read_text()
    assert text.startswith("# ")
    assert len(text.splitlines()[0]) > 20
    spec = part(f"{group}/{file.stem}")
    assert type(spec) is KINDS[group]
    assert spec.name == file.stem
    data = OmegaConf.to_container(OmegaConf.load(file))
    source = data["source"]
    for path in numeric_leaves(data):
        prefixes = [path.rsplit(".", n)[0] for n in range(path.count(".") + 1)]
        assert any(source.get(prefix) for prefix in prefixes), f"{file.name}: {path} has no source"
    used = set(numeric_leaves(data))
    for key in source:
        known = key in data or any(path.startswith(f"{key}.") for path in used)
        assert known, f"{file.name}: source of nothing: {key}"


def test_catalogue_holds_what_the_design_names():
    names = {f"{file.parent.name}/{file.stem}" for file in FILES}
    gpus = "t4 a10g l4 a40 v100 a100-40-sxm a100-80-sxm h100-sxm h200-sxm b200"
    assert {f"gpu/{name}" for name in gpus.split()} <= names
    assert {f"gpu/{n}" for n in names if n.startswith("jetson")} <= names
    assert {"smartnic/agilio-cx", "smartnic/bluefield-2", "fpga/zcu102", "fpga/alveo-u280"} <= names
    assert {f"node/g5.{n}xlarge" for n in (2, 4, 8, 16)} <= names


def test_figures_agree_across_parts():
    node = part("node/dgx-a100")
    assert (node.gpu.idle_w, node.gpu.peak_w) == (50, 400)
    for name in ("dgx-a100", "dgx-h100", "hgx-h200", "dgx-b200"):
        node = part(f"node/{name}")
        link = node.gpu_link
        assert link.bandwidth_bytes_per_s == node.gpu.link_bandwidth_bytes_per_s
        host = node.host_link.bandwidth_bytes_per_s
        assert host == pytest.approx(node.gpu.host_link_bandwidth_bytes_per_s, rel=1e-3)
    # PCIe by hand: transfers/s, line code, lanes, bits.
    assert part("link/pcie4-x16").bandwidth_bytes_per_s == pytest.approx(
        16e9 * 128 / 130 * 16 / 8, rel=1e-4
    )
    assert part("cpu/epyc-7742").memory_bandwidth_bytes_per_s == pytest.approx(8 * 3200e6 * 8)
    assert part("cpu/xeon-8259cl").memory_bandwidth_bytes_per_s == pytest.approx(
        6 * 2933e6 * 8, rel=1e-3
    )


def test_agilio_reproduces_its_published_rates_by_hand():
    nic = part("smartnic/agilio-cx")
    # 1.9187 M packets/s a core are 416.9 cycles, of which the firmware takes 224.
    assert nic.clock_hz / 1.9187e6 == pytest.approx(416.9, rel=1e-3)
    emem = next(level for level in nic.memory_levels if level.name == "EMEM")
    # Count-min sketch of 10 rows: 24.93 M packets/s at the atomic engine's rate.
    assert emem.adds_per_s / 10 == pytest.approx(24.93e6, rel=0.01)
    assert nic.cores == 50
    ctm = next(level for level in nic.memory_levels if level.name == "CTM")
    assert nic.level_bytes(ctm) == 5 * 128 * 1024


def test_part_of_a_socket_has_its_share():
    rome = part("cpu/epyc-7r32")
    small = part("node/g5.2xlarge").host_cpu
    assert small.cores == 4
    assert small.memory_bandwidth_bytes_per_s == 42e9
    assert small.peak_w == pytest.approx(280 * 4 / 48)
    assert rome.reachable_bandwidth_bytes_per_s(9) == 84e9
    assert rome.reachable_bandwidth_bytes_per_s(48) == 204.8e9
    both = part("node/dgx-a100").host_cpu
    assert both.cores == 128
    assert both.memory_bandwidth_bytes_per_s == pytest.approx(2 * 204.8e9)
    assert both.memory_channels == 16
    with pytest.raises(ConfigError, match="100 cores asked, 2 sockets have 96"):
        rome.part(100, 1e9, 2)


def test_specs_refuse_impossible_numbers():
    data = OmegaConf.to_container(OmegaConf.load(CONFIGS / "hardware/link/pcie4-x16.yaml"))
    data.pop("_target_")
    LinkSpec(**data)
    with pytest.raises(ConfigError, match="latency_s = -1"):
        LinkSpec(**{**data, "latency_s": -1})
    with pytest.raises(ConfigError, match=r"bandwidth_bytes_per_s = nan"):
        LinkSpec(**{**data, "bandwidth_bytes_per_s": float("nan")})
    with pytest.raises(ConfigError, match=r"efficiency = 1\.1 exceeds 1"):
        LinkSpec(**{**data, "efficiency": 1.1})
    with pytest.raises(ConfigError, match=r"idle_w = 0\.0 has no entry in `source`"):
        LinkSpec(**{**data, "source": {k: v for k, v in data["source"].items() if k != "idle_w"}})
    with pytest.raises(ConfigError, match="name is empty"):
        LinkSpec(**{**data, "name": ""})


def test_nodes_refuse_parts_that_do_not_match():
    node = part("node/dgx-a100")
    keys = {f: getattr(node, f) for f in NodeSpec.__dataclass_fields__}
    with pytest.raises(ConfigError, match="gpus = 0 but gpu = a100-80-sxm"):
        NodeSpec(**{**keys, "gpus": 0})
    with pytest.raises(ConfigError, match="cores = 129, 2 x epyc-7742 have 128"):
        NodeSpec(**{**keys, "cores": 129})
    with pytest.raises(ConfigError, match="must be multiples of pcie_switches = 3"):
        NodeSpec(**{**keys, "pcie_switches": 3})
    with pytest.raises(ConfigError, match="gpu_nics = 8 needs pcie_switches > 0"):
        NodeSpec(**{**keys, "pcie_switches": 0})


def test_designs_fit_or_are_refused():
    board = part("fpga/zcu102")
    board.check_fits(FpgaDesign(name="dpu", units=3, dsps=710, luts=53e3, on_chip_bytes=1e6))
    with pytest.raises(CapacityError, match="4 units of 710 dsps need 2840, there are 2520"):
        board.check_fits(FpgaDesign(name="dpu", units=4, dsps=710, luts=53e3, on_chip_bytes=1e6))
