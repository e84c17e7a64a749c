"""Architectures and KV capacity against published figures."""

from __future__ import annotations

from dataclasses import replace
from math import floor
from pathlib import Path

import pytest

from experiments.calibration import catalogue
from models.errors import CapacityError, ConfigError
from models.gpu_spec import GpuSpec
from models.llm_memory import kv_block_bytes, kv_blocks, weight_bytes_per_gpu

# Totals of the released checkpoints (safetensors indices, model cards); papers for the largest.
PARAMETERS = {
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3.1-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3.1-70b": 70_553_706_496,
    "gptj-6b": 6_053_381_344,
    "vicuna-13b": 13_015_864_320,
    "opt-125m": 125_239_296,
    "opt-1.3b": 1_315_758_080,
    "opt-6.7b": 6_658_473_984,
    "opt-13b": 12_853_473_280,
    "opt-30b": 29_974_540_288,
    "opt-66b": 65_719_701_504,
    "opt-175b": 175_000_000_000,
    "gpt3-175b": 174_600_000_000,
    "bloom-176b": 176_247_271_424,
}
KV_BYTES = {
    "llama3-8b": 131_072,
    "llama2-7b": 524_288,
    "gptj-6b": 458_752,
    "vicuna-13b": 819_200,
    "llama3.1-70b": 327_680,
}


def test_every_model_of_the_catalogue_is_checked():
    files = {path.stem for path in (Path(catalogue.CONFIGS) / "model").glob("*.yaml")}
    assert files == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_match_the_published_total(name):
    assert catalogue.model(name).parameters == pytest.approx(PARAMETERS[name], rel=0.01)


@pytest.mark.parametrize("name", KV_BYTES)
def test_kv_bytes_per_token(name):
    assert catalogue.model(name).kv_bytes_per_token("fp16") == KV_BYTES[name]
    assert catalogue.model(name).kv_bytes_per_token("fp8") == KV_BYTES[name] / 2


def test_narrow_weights_leave_embedding_and_head_at_16_bits():
    model = catalogue.model("llama3.1-70b")
    assert model.weight_bytes("fp16") == 2 * model.parameters
    wide = 2 * 2 * model.vocab * model.hidden
    assert model.weight_bytes("fp8") == pytest.approx(model.parameters - wide / 2 + wide, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layers": 0}, "layers = 0"),
        ({"kv_heads": 5}, "kv_heads = 5"),
        ({"hidden": 4096.5}, "hidden = 4096.5"),
        ({"source": {}}, "no entry in `source`"),
    ],
)
def test_a_wrong_shape_is_refused_by_name(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(catalogue.model("llama2-7b"), **change)


def test_unknown_dtype_names_the_choices():
    with pytest.raises(ConfigError, match=r"fp12.*fp16"):
        catalogue.model("llama2-7b").weight_bytes("fp12")


def test_kv_blocks_by_hand():
    gpu, model = catalogue.gpu("a100-80-sxm"), catalogue.model("llama2-7b")
    room = 0.9 * gpu.memory_bytes - 2 * 6_738_415_616 - 1e9
    blocks = kv_blocks(model, gpu, block_tokens=16, memory_fraction=0.9, reserve_bytes=1e9)
    assert blocks == floor(room / (16 * 524_288))


def test_kv_blocks_of_a_group():
    """Each of 8 GPUs keeps an eighth of the heads; a pipeline stage an eighth of the layers."""
    gpu, model = catalogue.gpu("h200-sxm"), catalogue.model("llama3.1-70b")
    settings = {"block_tokens": 16, "memory_fraction": 0.9, "reserve_bytes": 2e9}
    tensor = kv_blocks(model, gpu, tensor_parallel=8, **settings)
    assert kv_blocks(model, gpu, pipeline_parallel=8, **settings) == tensor
    assert kv_block_bytes(model, "fp16", 16, 8) == 16 * 327_680
    # Beyond the number of KV heads every GPU keeps a copy of one.
    assert kv_block_bytes(model, "fp16", 16, 16) == 2 * 16 * 327_680
    assert weight_bytes_per_gpu(model, "fp16", 8) == model.weight_bytes("fp16") / 8


def test_a_model_that_does_not_fit_says_by_how_much():
    gpu, model = catalogue.gpu("a100-80-sxm"), catalogue.model("llama2-70b")
    with pytest.raises(CapacityError, match=r"Llama-2-70B.*137\.95 GB of weights.*77\.31 GB"):
        kv_blocks(model, gpu, block_tokens=16, memory_fraction=0.9, reserve_bytes=0.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"flops_16bit": 0.0}, "flops_16bit = 0.0"),
        ({"memory_bytes": float("nan")}, "memory_bytes = nan"),
        ({"peak_w": 1.0}, "idle_w = 50.0 exceeds peak_w = 1.0"),
        ({"source": {}}, "no entry in `source`"),
    ],
)
def test_a_wrong_data_sheet_is_refused_by_name(change, says):
    gpu: GpuSpec = catalogue.gpu("a100-80-sxm")
    with pytest.raises(ConfigError, match=says):
        replace(gpu, **change)


def test_a_card_without_an_8_bit_path_is_allowed():
    assert replace(catalogue.gpu("a100-80-sxm"), flops_8bit=None).flops_8bit is None
