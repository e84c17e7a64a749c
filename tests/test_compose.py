"""Configurations: what is remembered is what Hydra composes, and wrong ones say what is right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from omegaconf import OmegaConf

from experiments.catalogue import choices, print_catalogue
from experiments.compose import compose
from experiments.composition import composed
from experiments.own_groups import check_keys, yaml_files
from experiments.study.member import prepare
from sim.core.errors import ConfigError
from sim.core.keys import typed_key
from sim.core.run import build

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
POLICY = "# {}\n_target_: policies.ordering.fcfs.Fcfs\n_partial_: true\n"


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """A folder with an ordering of the user's own."""
    (tmp_path / "ordering").mkdir()
    (tmp_path / "ordering" / "mine.yaml").write_text(POLICY.format("Mine"))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["ordering=trail", "predictor=exact", "ordering.lock_share=0.5", "seed=1"],
        ["workload.count=5", "workload=alpaca", "arrivals.rate_rps=7.5", "seed=1", "seed=2"],
        ["experiment=neo_t4", "arrivals.rate_rps=2", "engine.kv_blocks=null"],
        ["hardware/gpu@node.gpu=h100-sxm", "node.gpu.source.memory_bytes='by, hand'"],
        ["seed=1", "++seed=2", "workload.parts={}"],
        ["++seed=2", "seed=1", "hydra.job.name=x"],
        ["+engine.mine.a=1", "seed=4", "engine.mine.a=2", "~laws"],
        ["replicas=4", "+engine.mine=[1,2]", "~series_interval_s", "power_cap=${replicas}"],
    ],
)
def test_what_is_remembered_is_what_hydra_composes(words: list[str]) -> None:
    with initialize_config_module("configs", version_base="1.3"):
        whole = hydra_compose("run", overrides=words)
    for _ in range(2):
        found = composed("run", words)
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(whole)
        assert OmegaConf.is_struct(found) == OmegaConf.is_struct(whole)
        found.seed = 99  # of this one alone


def test_a_changed_file_is_read_again(groups: Path) -> None:
    path = groups / "ordering" / "mine.yaml"
    words = ["ordering=mine", "seed=1"]
    assert "second" not in compose(words, config_dir=groups).ordering
    path.write_text(path.read_text() + "second: 2\n")
    os.utime(path, ns=(1, 1))
    assert compose(words, config_dir=groups).ordering.second == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.run.dir=out"], r"^hydra\.run\.dir: means nothing here; -o DIR"),
        (["hydra.sweep.dir=out"], r"^hydra\.sweep\.dir: means nothing here; -o DIR"),
        (["hydra/launcher=joblib"], r"^hydra/launcher: means nothing here; `orrery sweep`"),
        (["hydra.verbose=true"], r"^hydra\.verbose: means nothing here"),
        (["workload.count=0"], r"^workload\.count: 0 leaves nothing to simulate"),
        (
            ["workload.duration_s=10"],
            r"^workload\.duration_s: no such setting; workload has count, shares, parts; until_s",
        ),
        (
            ["experiment=neo_a10g", "arrivals.rate_rps=2"],
            r"rate_rps: no such setting; arrivals has at_s; these have it: arrivals=.*poisson",
        ),
        (["experiment=cora", "arrivals.rate_rps=2"], "arrivals: no such setting, since this exp"),
        (["engine.max_seqs=2"], "engine.max_seqs: no such setting; did you mean max_sequences"),
        (["engine.max_seqs=2", "modle=x"], "max_seqs: no such setting; did you mean max_sequences"),
        (["~engine.max_sequencs"], "engine.max_sequencs: no such setting; did you mean max_seq"),
        (["engine={max_sequencs: 3}"], "engine.max_sequencs: no such setting; did you mean max_"),
        (["node.gpu.memry=4"], "did you mean memory_bytes or memory_bandwidth_bytes_per_s[?]$"),
        (["cluster.node.gpu.memry=4"], "^cluster.node: .*; did you mean nodes[?]; there is node$"),
        (["sites.de.netting_s=1"], "^sites.de: no such setting; sites has sites.home$"),
        (["sites.sites.home.netings_s=1"], "netings_s: .*; did you mean netting_s[?]$"),
        (["sites.sites.hme.pue=1"], "^sites.sites.hme: no such setting; did you mean home[?]$"),
        (["sites.home.forecast_error=0.1"], "^sites.home: .*; there is sites.sites.home$"),
        (["cluster.nodes.0.cont=2"], "^cluster.nodes.0.cont: .*; did you mean count[?]$"),
        (["cluster.nodes.node.count=2"], "^cluster.nodes.node: .*; cluster.nodes is a list of 1: "),
        (["cluster.nodes.7.count=2", "engine.x=1"], "^cluster.nodes.7: .* the first is .*nodes.0$"),
        (["cluster.nodes.0.spec.gpus=2"], "stands there as a reference; set node.gpus$"),
        (["systems.serving.client.workload.cout=2"], "^workload.cout: .*; did you mean count[?]"),
        (["ordering.lock=1"], "^ordering.lock: no such setting; ordering has none$"),
        (["seed.x=3"], "^seed.x: no such setting; seed is 0$"),
    ],
)
def test_wrong_settings_say_what_there_is(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose(words)


def test_what_one_of_several_runs_reads_may_be_said_to_all(tmp_path: Path) -> None:
    words = ["host_attention=cpu", "batching=swiftllm"]
    with pytest.raises(ConfigError, match="host_attention: nothing would read it, since SwiftLlm"):
        compose(words)
    assert compose(words, alone=False).host_attention.name == "cpu"
    assert prepare(words, None, tmp_path) is not None
    assert compose(["experiment=neo_a10g", "batching=swiftllm"]).host_attention.name == "cpu"
    assert compose(["experiment=neo_a10g", "batching=swiftllm", "host_attention=none"])
    assert compose(["host_attention=cpu", "batching._target_=mine.Offload"])


def test_keys_that_are_numbers_are_given_in_a_mapping() -> None:
    """Hydra cannot name them. What says so is what does it."""
    words = ["workload=summarisation"]
    place = "workload.output.percentiles"
    before = dict(compose(words).workload.output.percentiles)
    for key, value in ((50, 46), (99.9, 90)):
        with pytest.raises(
            ConfigError, match=f"^{place}.{key}: a key that is a number .*: '"
        ) as told:
            compose([*words, f"{place}.{key}={value}"])
        advice = str(told.value).split("'")[1]
        assert advice == f"{place}={{{key}: ...}}"
        found = compose([*words, advice.replace("...", str(value))])
        assert dict(found.workload.output.percentiles) == before | {key: value}
    for word in (f"{place}.98=62", f"{place}={{98: 62}}"):
        with pytest.raises(
            ConfigError, match=f"^{place}.98: no such setting; .* 99, 99.9, "
        ) as told:
            compose([*words, word])
    added = compose([*words, str(told.value).split("'")[1].replace("...", "62")])
    assert dict(added.workload.output.percentiles) == before | {98: 62}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=neo_a10g", "output_tokens=0"], "^output_tokens is 0; it must be a whole"),
        (["workload.count=-1"], "^workload.count is -1; it must be a whole number"),
        (["workload.count=many"], "^workload.count is 'many'; it must be a number"),
        (["power_cap=abc"], "^power_cap is 'abc'; it must be a number"),
        (["experiment=cora", "decide_s=0"], "^decide_s is 0; it must be a number above 0"),
        (
            ["+engine.max_sequencs=3"],
            "EngineLimits takes no such setting; did you mean max_sequenc",
        ),
        (["sites.sites.home.netting_s=60"], "^sites.sites.home.netting_s is 60; this site has"),
        (["+workload.duration_s=3"], "^workload.duration_s: workloads.blend.Blend takes no such"),
        (
            ["experiment=neo_a10g", "workload=code"],
            r"^workload\.prompt\.nominal_tokens: .*Quantiles takes no such setting; "
            r"~workload\.prompt\.nominal_tokens leaves it out$",
        ),
    ],
)
def test_what_cannot_be_made_names_the_key_that_was_typed(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(compose(words))


def test_references_are_followed_to_the_value() -> None:
    settings = {
        "a": {"b": "${c}", "e": ["${oc.select:d.e,null}", 1]},
        "c": {"x": {"y": "${d.e}"}, "z": "${d.e}+1"},
        "d": {"e": 5},
    }
    keys = ["a.b.x.y", "a.b.z", "a.e.0", "a.e.1", "a.nothing", "a.e.7"]
    assert [typed_key(settings, key) for key in keys] == ["d.e", "c.z", "d.e", *keys[3:]]


def test_own_choices_are_listed(groups: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (groups / "experiment").mkdir()
    (groups / "experiment" / "study.yaml").write_text("# Mine\ndefaults:\n  - /level: high\n")
    for name in ("level", "other", ".hidden"):
        (groups / name).mkdir()
        (groups / name / "high.yaml").write_text("a: 1\n")
    assert choices("ordering", groups) == choices("ordering") | {"mine": "Mine (yours)"}
    assert print_catalogue(None, str(groups)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.endswith("(yours)")] == [
        ["study", "Mine", "(yours)"],
        ["mine", "Mine", "(yours)"],
        ["high", "(yours)"],
        ["high", "(yours)"],
    ]
    assert lines[-4:-1:2] == ["level=  (with experiment=study)", "+other="]
    with pytest.raises(ConfigError, match=r"folder: no such group; there are .*, level, other$"):
        print_catalogue("folder", str(groups))
    with pytest.raises(ConfigError, match="--config-dir: nowhere is not a folder"):
        print_catalogue(None, "nowhere")


def test_an_own_choice_of_a_shipped_name_would_be_hidden(groups: Path) -> None:
    (groups / "ordering" / "fcfs.yaml").write_text(POLICY.format("Mine"))
    for ask in (compose, lambda config_dir: print_catalogue(None, str(config_dir))):
        with pytest.raises(ConfigError, match=r"ordering/fcfs\.yaml: there is a shipped"):
            ask(config_dir=groups)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice, first in line 1"),
        (
            "a:\n  b: 1\n  c: {0: 1, 50: 2,\n     0: 3}\n",
            "line 4: 0 is given twice, first in line 3",
        ),
        ("- a: 1\n- b: 2\n  b: 2\n", "line 3: b is given twice, first in line 2"),
    ],
)
def test_a_key_given_twice_is_an_error(groups: Path, text: str, said: str) -> None:
    (groups / "ordering" / "twice.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"ordering/twice\.yaml, {said}$"):
        compose(config_dir=groups)


def test_shipped_files_have_no_key_twice() -> None:
    paths = list(yaml_files(CONFIGS))
    assert len(paths) > 300
    for path in paths:
        check_keys(path.read_text(), str(path))


@pytest.mark.parametrize(
    "part", ["{a: 1}", "{_target_: sim.core.streams.Streams, seed: 1}", "null"]
)
def test_a_part_that_is_no_system_is_told(part: str) -> None:
    with pytest.raises(ConfigError, match=r"^systems\.foo: .* no system; ~systems\.foo leaves it"):
        build(compose([f"+systems.foo={part}"]))


@pytest.mark.parametrize("word", ["slo_ttft_s=-1", "slo_tpot_s=0.0"])
def test_an_objective_that_nobody_can_meet_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"^{word.partition('=')[0]}: .* no objective that can"):
        build(compose([word]))
