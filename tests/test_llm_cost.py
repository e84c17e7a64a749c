"""The cost of an iteration: by hand, exact over many steps, monotone, cut over GPUs."""

from __future__ import annotations

from dataclasses import replace
from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.calibration import catalogue
from models.efficiency import Efficiency
from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from models.llm_cost import TransformerCost
from models.transformer import Transformer


def _all(names):
    return dict.fromkeys(names, "test")


TINY = Transformer(
    name="tiny",
    layers=4,
    hidden=64,
    heads=8,
    kv_heads=2,
    head_size=8,
    ffn=128,
    vocab=1000,
    max_context_tokens=512,
    source=_all(
        "layers hidden heads kv_heads head_size ffn vocab max_context_tokens".split()  # noqa: SIM905
    ),
)
CARD = GpuSpec(
    name="card",
    memory_bytes=1e9,
    memory_bandwidth_bytes_per_s=1e9,
    flops_16bit=1e12,
    flops_8bit=2e12,
    flops_32bit=1e11,
    idle_w=10.0,
    peak_w=100.0,
    link_bandwidth_bytes_per_s=1e8,
    host_link_bandwidth_bytes_per_s=1e7,
    source=_all(GpuSpec.__slots__),
)
PLAIN = Efficiency(
    name="plain",
    gemm_compute=0.5,
    gemm_memory=0.8,
    roofline_exponent=1.0,
    prefill_attention_compute=0.4,
    decode_attention_memory=0.5,
    decode_attention_memory_8bit=0.25,
    elementwise_memory=1.0,
    kernel_s=1e-5,
    elementwise_kernel_s=0.0,
    attention_kernel_s=2e-5,
    layer_overhead_s=3e-5,
    link=0.5,
    collective_s=1e-4,
    collective_hop_s=1e-5,
    send_link=0.5,
    send_s=1e-4,
    launch_per_layer_s=0.0,
    host_s=1e-3,
    host_per_sequence_s=1e-4,
    host_overlapped=False,
    frontend_s=0.0,
    frontend_per_token_s=0.0,
    power_compute=1.0,
    power_memory=0.5,
    power_link=0.2,
    source=_all(Efficiency.__slots__),
)


def one_step(cost, *work):
    return cost.step(*work).step(0)


def test_one_decode_iteration_by_hand():
    """3 sequences with 90 KV tokens in all, one GPU; FLOPs and bytes add up (exponent 1)."""
    tokens, h, f = 3, 64, 128
    layer = 3e-5 + 2e-5  # overhead, attention kernel
    for k, n in ((h, 96), (64, h), (h, 2 * f), (f, h)):
        moved = 2 * (k * n + tokens * k + tokens * n)
        layer += 1e-5 + 2 * tokens * k * n / 0.5e12 + moved / 0.8e9
    layer += tokens * (14 * h + 6 * f + 6 * (8 + 2 * 2) * 8) / 1e9
    layer += 90 * 2 * (2 * 2 * 8) / 0.5e9  # keys and values of 2 heads at 16 bits
    head = 1e-5 + 2 * tokens * h * 1000 / 0.5e12
    head += 2 * (h * 1000 + tokens * (h + 1000)) / 0.8e9
    host = 1e-3 + 3e-4
    cost = TransformerCost(TINY, CARD, PLAIN)
    assert one_step(cost, 3, 90, (), 3) == pytest.approx(4 * layer + head + host, rel=1e-12)


def test_prefill_attention_by_hand():
    """What a chunk adds for its cached tokens: 4 q c heads head_size FLOPs in each layer."""
    cost = TransformerCost(TINY, CARD, replace(PLAIN, prefill_attention_compute=0.001))
    more = one_step(cost, 0, 0, [(100, 32)], 0) - one_step(cost, 0, 0, [(0, 32)], 0)
    assert more == pytest.approx(4 * 4 * 32 * 100 * 64 / 1e9, rel=1e-9)


def test_a_chunk_of_one_token_reads_its_cache_like_a_decode():
    cost = TransformerCost(TINY, CARD, PLAIN)
    chunk = cost.step(0, 0, [(50, 1)], 1)
    decode = cost.step(1, 50, (), 1)
    assert chunk.slope == pytest.approx(decode.slope, rel=1e-12)


def test_tensor_parallel_adds_two_all_reduces_a_layer_and_a_gather():
    fast = replace(PLAIN, collective_s=0.0, collective_hop_s=0.0)
    ends = [
        one_step(TransformerCost(TINY, CARD, e, tensor_parallel=2), 5, 50, (), 5)
        for e in (fast, PLAIN)
    ]
    added = 4 * 2 * (1e-4 + 2 * 1e-5) + (1e-4 + 1e-5)
    assert ends[1] - ends[0] == pytest.approx(added, rel=1e-9)


def test_eight_bits_use_their_rate_and_bytes_where_the_card_has_them():
    model = catalogue.model("llama2-7b")
    card, e = catalogue.gpu("h200-sxm"), catalogue.efficiency("vllm_hopper_fp8")
    work = (0, 0, [(0, 8192)], 0)
    wide = one_step(TransformerCost(model, card, e), *work)
    narrow = one_step(TransformerCost(model, card, e, weight_dtype="fp8"), *work)
    assert 0.5 < narrow / wide < 0.75
    without = replace(card, flops_8bit=None)
    only = one_step(TransformerCost(model, without, e, weight_dtype="fp8"), *work)
    assert only == pytest.approx(wide, rel=0.02)
    # Decodes are bound by weight bytes: nearly half with either card.
    few = (1, 100, (), 1)
    assert one_step(TransformerCost(model, without, e, weight_dtype="fp8"), *few) < 0.8 * one_step(
        TransformerCost(model, card, e), *few
    )


def test_host_time_is_a_floor_or_is_added():
    added = TransformerCost(TINY, CARD, replace(PLAIN, host_s=0.5))
    beside = TransformerCost(TINY, CARD, replace(PLAIN, host_s=0.5, host_overlapped=True))
    none = TransformerCost(TINY, CARD, replace(PLAIN, host_s=0.0, host_per_sequence_s=0.0))
    work = (4, 400, (), 4)
    host = 0.5 + 4e-4
    assert one_step(beside, *work) == pytest.approx(host, rel=1e-12)
    assert one_step(added, *work) == pytest.approx(one_step(none, *work) + host, rel=1e-12)
    assert beside.step(*work).active_total(9) == added.step(*work).active_total(9)


def test_launching_kernels_is_a_floor_beneath_the_gpu_and_host_time_comes_on_top():
    cost = TransformerCost(TINY, CARD, replace(PLAIN, launch_per_layer_s=0.1))
    assert one_step(cost, 1, 9, (), 1) == pytest.approx(4 * 0.1 + 1e-3 + 1e-4, rel=1e-12)


works = st.tuples(
    st.integers(0, 60),
    st.integers(0, 5000),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 300)), max_size=3),
).filter(lambda w: w[0] or w[2])
stacks = st.sampled_from(
    [
        PLAIN,
        replace(PLAIN, host_overlapped=True, host_s=2e-3),
        replace(PLAIN, roofline_exponent=4.0, launch_per_layer_s=1e-3),
    ]
)


@settings(deadline=None, max_examples=150)
@given(
    work=works,
    steps=st.integers(1, 200),
    stack=stacks,
    split=st.sampled_from([(1, 1), (2, 1), (1, 4), (2, 2)]),
)
def test_the_closed_form_is_the_sum_of_single_steps(work, steps, stack, split):
    """Each step re-priced with the grown contexts gives the same time and energy, to 1e-12."""
    decodes, context, chunks = work
    context = context if decodes else 0
    cost = TransformerCost(TINY, CARD, stack, *split)
    whole = cost.step(decodes, context, chunks, decodes)
    single = [
        cost.step(
            decodes,
            context + j * decodes,
            [(cached + j * size, size) for cached, size in chunks],
            decodes,
        )
        for j in range(steps)
    ]
    assert whole.total(steps) == pytest.approx(fsum(s.step(0) for s in single), rel=1e-12)
    assert whole.active_total(steps) == pytest.approx(
        fsum(s.active_step(0) for s in single), rel=1e-12
    )


@settings(deadline=None, max_examples=150)
@given(work=works, stack=stacks, peers=st.sampled_from([1, 2, 8]), more=st.integers(1, 50))
def test_more_work_never_takes_less_time_or_power(work, stack, peers, more):
    decodes, context, chunks = work
    context = context if decodes else 0
    cost = TransformerCost(TINY, CARD, stack, peers)
    base = cost.step(decodes, context, chunks, decodes)
    grown = [
        cost.step(decodes + more, context, chunks, decodes),
        cost.step(decodes, context, [*chunks, (0, more)], decodes),
        cost.step(decodes, context, chunks, decodes + more),
    ]
    if decodes:
        grown.append(cost.step(decodes, context + more, chunks, decodes))
    if chunks:
        (cached, size), *rest = chunks
        grown.append(cost.step(decodes, context, [(cached + more, size), *rest], decodes))
        grown.append(cost.step(decodes, context, [(cached, size + more), *rest], decodes))
    near = 1 - 1e-12
    for after in grown:
        assert after.step(0) >= near * base.step(0)
        assert after.active_step(0) >= near * base.active_step(0)


@settings(deadline=None, max_examples=100)
@given(work=works, stack=stacks, split=st.sampled_from([(1, 1), (2, 1), (1, 4), (2, 2)]))
def test_power_stays_within_the_range_of_the_card(work, stack, split):
    decodes, context, chunks = work
    step = TransformerCost(TINY, CARD, stack, *split).step(
        decodes, context if decodes else 0, chunks, decodes
    )
    for j in (0, 7, 1000):
        assert 0.0 <= step.active_step(j) <= step.step(j) * (1 + 1e-12)


def test_prefill_draws_near_the_peak_and_decode_less():
    gpu = catalogue.gpu("a100-80-sxm")
    cost = TransformerCost(catalogue.model("llama2-7b"), gpu, catalogue.efficiency("default"))

    def power(*work):
        step = cost.step(*work)
        share = step.active_step(0) / step.step(0)
        return (gpu.idle_w + (gpu.peak_w - gpu.idle_w) * share) / gpu.peak_w

    assert power(0, 0, [(0, 2048)], 1) > 0.9
    assert 0.45 < power(1, 500, (), 1) < 0.7
    assert power(1, 500, (), 1) < power(16, 8000, (), 16) < power(0, 0, [(0, 2048)], 1)


def test_a_pipeline_of_one_sequence_takes_all_stages_in_turn():
    free = replace(PLAIN, send_s=0.0, send_link=1.0)
    link = replace(CARD, link_bandwidth_bytes_per_s=1e15)
    whole = one_step(TransformerCost(TINY, link, free), 1, 100, (), 1)
    cut = one_step(TransformerCost(TINY, link, free, pipeline_parallel=4), 1, 100, (), 1)
    assert cut == pytest.approx(whole, rel=1e-9)
    sends = one_step(TransformerCost(TINY, CARD, PLAIN, pipeline_parallel=4), 1, 100, (), 1)
    assert sends - cut == pytest.approx(3 * (1e-4 + 2 * 64 / 0.5e8), rel=1e-6)


def test_equal_micro_batches_follow_the_pipeline_formula():
    """m micro-batches over p equal stages: (m + p - 1) stage times, hand-overs, m heads, host."""
    p = 4
    cost = TransformerCost(TINY, CARD, PLAIN, pipeline_parallel=p)
    heads = TransformerCost(TINY, CARD, PLAIN).operators.head(2)[0]
    # One micro-batch of 2 sequences, through one stage of a quarter of the layers.
    quarter = replace(TINY, layers=1)
    alone = one_step(TransformerCost(quarter, CARD, PLAIN), 2, 50, (), 0) - 1e-3 - 2e-4
    expected = (p + p - 1) * alone + p * heads + (p - 1) * cost.operators.send(2) + 1e-3 + 8e-4
    assert one_step(cost, 8, 200, (), 8) == pytest.approx(expected, rel=1e-9)


def test_bubbles_make_a_pipeline_slower_than_its_share_and_faster_than_one_gpu():
    model = catalogue.model("llama2-70b")
    gpu, e = catalogue.gpu("h100-sxm"), catalogue.efficiency("default")
    work = (0, 0, [(0, 1024)] * 16, 16)
    one = one_step(TransformerCost(model, gpu, e), *work)
    cut = one_step(TransformerCost(model, gpu, e, pipeline_parallel=4), *work)
    assert one / 4 < cut < one


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"tensor_parallel": 3}, "tensor_parallel = 3 must divide heads = 8"),
        ({"tensor_parallel": 0}, "tensor_parallel = 0"),
        ({"pipeline_parallel": 3}, "pipeline_parallel = 3 must divide layers = 4"),
        ({"weight_dtype": "fp12"}, "fp12"),
        ({"kv_dtype": "fp12"}, "fp12"),
    ],
)
def test_impossible_cuts_are_refused_by_name(split, says):
    with pytest.raises(ConfigError, match=says):
        TransformerCost(TINY, CARD, PLAIN, **split)


def test_an_empty_iteration_is_misuse():
    cost = TransformerCost(TINY, CARD, PLAIN)
    with pytest.raises(ValueError, match="at least one token"):
        cost.step(0, 0, (), 0)
    with pytest.raises(ValueError, match="at least one token"):
        cost.step(0, 0, [(5, 0)], 0)
    with pytest.raises(ValueError, match="sampled"):
        cost.step(1, 5, (), -1)


def test_8_bit_kv_takes_its_own_share_of_the_bandwidth():
    wide = TransformerCost(TINY, CARD, PLAIN).step(1, 0, (), 1).slope
    narrow = TransformerCost(TINY, CARD, PLAIN, kv_dtype="fp8").step(1, 0, (), 1).slope
    assert narrow / wide == pytest.approx(0.5 * 0.5 / 0.25)
