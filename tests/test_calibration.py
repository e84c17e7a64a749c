"""The fits: accepted errors on measured profiles, constants recovered from made-up ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.calibration import catalogue, collectives, command, iterations, layers, profiles
from experiments.calibration.scoring import score, table
from models.errors import TraceError
from models.layer_operators import LayerOperators

DATA = os.environ.get("ORRERY_DATA")
measured = pytest.mark.skipif(
    not DATA, reason="ORRERY_DATA is not set: the measured profiles are not here"
)


@pytest.fixture(scope="module")
def parts():
    return (
        {key: catalogue.gpu(name) for key, name in command.CARDS.items()},
        {key: catalogue.model(name) for key, name in layers.MODELS.items()},
    )


@pytest.fixture(scope="module")
def rows():
    return profiles.read_layers(Path(DATA) / profiles.LAYERS)


def made_up(parts, efficiency):
    """Rows that the cost model itself would have measured."""
    cards, models = parts
    rows = []
    for peers in (1, 4):
        operators = LayerOperators(models["Llama-2-7b-hf"], cards["a100"], efficiency, peers)
        for tokens in (1, 3, *range(8, 4097, 64)):
            seconds = {o: operators.matrix(o, tokens)[0] for o in layers.MATRICES}
            seconds |= {o: operators.traffic(o, tokens)[0] for o in layers.ELEMENTWISE}
            shape = (4096, 11008, 32, 32)
            rows.append(profiles.LayerRow("a100", "Llama-2-7b-hf", peers, tokens, shape, seconds))
    return rows


def test_the_fit_finds_the_constants_that_made_the_data(parts):
    cards, models = parts
    truth = replace(
        catalogue.efficiency("a100_profiled"),
        gemm_compute=0.6,
        gemm_memory=0.9,
        kernel_s=8e-6,
        elementwise_memory=0.7,
        elementwise_kernel_s=3e-6,
    )
    found = layers.study(made_up(parts, truth), cards, models, alternate=False)
    fitted = layers.fit(found, "a100", catalogue.efficiency("a100_profiled"))
    for key in ("gemm_compute", "gemm_memory", "kernel_s"):
        assert getattr(fitted, key) == pytest.approx(getattr(truth, key), rel=0.01)
    assert fitted.elementwise_memory == pytest.approx(0.7, rel=0.02)
    kept = layers.judge(found, fitted, lambda p: not p.fit and p.operator in layers.MATRICES)
    assert kept.used == 2 * 2 * 4
    assert kept.median < 0.01


def test_rows_of_another_shape_or_card_are_counted_as_refused(parts):
    cards, models = parts
    good = made_up(parts, catalogue.efficiency("a100_profiled"))[:3]
    other = [replace(good[0], shape=(1, 1, 1, 1)), replace(good[1], gpu="b200")]
    found = layers.study([*good, *other], cards, models, alternate=True)
    per_row = len(layers.MATRICES) + len(layers.ELEMENTWISE) + 1
    assert len(found.points) == 3 * per_row
    assert len(found.refused) == 2 * per_row


def test_all_reduce_fit_finds_its_constants():
    gpu = catalogue.gpu("a100-80-sxm")
    truth = replace(
        catalogue.efficiency("a100_profiled"), link=0.7, collective_s=2e-5, collective_hop_s=2e-6
    )
    ring = collectives.collectives(gpu, truth)
    rows = [
        profiles.CollectiveRow("all_reduce", n, n, size, ring.all_reduce(size, n))
        for n in (2, 4, 8)
        for size in (1e4, 1e5, 1e6, 1e7, 5e7)
    ]
    fitted = collectives.fit(rows, gpu, catalogue.efficiency("a100_profiled"))
    assert fitted.link == pytest.approx(0.7, rel=0.01)
    assert fitted.collective_s == pytest.approx(2e-5, rel=0.05)


@pytest.mark.parametrize(
    ("cell", "says"),
    [("x", "is not a number"), ("nan", "must be finite"), ("", "missing or empty")],
)
def test_a_bad_cell_names_file_line_and_column(tmp_path, cell, says):
    path = tmp_path / "collectives.csv"
    path.write_text(
        "system,collective,num_workers,devices_per_node,bytes,median_ms\n"
        "s,all_reduce,2,2,2048,0.1\n"
        f"s,all_reduce,2,2,4096,{cell}\n"
    )
    with pytest.raises(TraceError, match=rf"collectives\.csv, line 3.*median_ms.*{says}"):
        profiles.read_collectives(path)


def test_bad_input_is_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ORRERY_DATA", raising=False)
    assert command.main(["layers"]) == 2
    assert "ORRERY_DATA" in capsys.readouterr().err
    assert command.main(["layers", "--data", str(tmp_path)]) == 2
    assert profiles.LAYERS in capsys.readouterr().err


def test_scores_and_tables():
    got = score([(1.1, 1.0), (0.7, 1.0), (1.0, 1.0)], refused=2)
    assert (got.used, got.refused) == (3, 2)
    assert got.median == pytest.approx(0.1)
    assert got.bias == pytest.approx(0.0)
    assert table(["", "b"], [["x", "1"], ["yy", "22"]]).splitlines()[2:] == ["x    1", "yy  22"]


@measured
@pytest.mark.parametrize("alternate", [False, True])
def test_matrix_operators_within_the_accepted_errors(parts, rows, alternate):
    found = layers.study(rows, *parts, alternate)
    fitted = layers.fit(found, "a100", catalogue.efficiency("a100_profiled"))
    kept = layers.judge(
        found, fitted, lambda p: p.gpu == "a100" and not p.fit and p.operator in layers.MATRICES
    )
    assert kept.used == (7808 if alternate else 48)
    assert kept.refused == 0
    assert kept.median <= 0.07
    assert kept.p90 <= 0.20
    other = layers.judge(found, fitted, lambda p: p.gpu == "a40" and p.operator in layers.MATRICES)
    assert other.used == 4176
    assert other.median <= 0.09


@measured
def test_committed_constants_are_those_of_the_fit(parts, rows):
    stored = catalogue.efficiency("a100_profiled")
    again = layers.fit(layers.study(rows, *parts, alternate=False), "a100", stored)
    data = Path(DATA)
    found = profiles.read_collectives(data / profiles.COLLECTIVES)
    gpu = parts[0]["a100"]
    part, _ = collectives.halves(collectives.within_node(found, "all_reduce"))
    again = collectives.fit(part, gpu, again)
    part, _ = collectives.halves(collectives.within_node(found, "send_recv"))
    again = collectives.fit_sends(part, gpu, again)
    for key in (
        "gemm_compute",
        "gemm_memory",
        "kernel_s",
        "roofline_exponent",
        "elementwise_memory",
        "elementwise_kernel_s",
        "link",
        "collective_s",
        "collective_hop_s",
        "send_link",
        "send_s",
    ):
        assert getattr(again, key) == pytest.approx(getattr(stored, key), rel=0.01), key


@measured
def test_iterations_of_a_host_bound_stack():
    models = {key: catalogue.model(name) for key, name in iterations.MODELS.items()}
    rows = profiles.read_iterations(Path(DATA) / profiles.ITERATIONS)
    found = iterations.study(rows, catalogue.gpu("a100-80-sxm"), models)
    stored = catalogue.efficiency("a100_host_bound")
    fitted = iterations.fit(found, stored)
    assert fitted.launch_per_layer_s == pytest.approx(stored.launch_per_layer_s, rel=0.02)
    assert fitted.power_compute == pytest.approx(stored.power_compute, abs=0.02)
    assert fitted.power_memory == pytest.approx(stored.power_memory, abs=0.02)
    llama = [row for row in found.rest if row.model == "llama2-70b"]
    got = score((iterations.predict(found, stored, row).token_s, row.token_s) for row in llama)
    assert got.median < 0.06
