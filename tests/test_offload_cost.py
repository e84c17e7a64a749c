"""What an iteration costs of which the host computes a part of the decode attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from offload_kit import OFFLOAD, ROUGH, STEEP, TINY, host_attention, offload_cost
from serving_kit import gpu_spec, link_spec

from experiments.compose import compose
from models.errors import ConfigError
from models.llm_cost import TransformerCost
from models.offload.offload_cost import OffloadCost
from models.offload.offload_cost import offload_cost as made
from models.offload.sub_batch import NOTHING, SubBatch
from models.served import ServedTransformer

COSTS = {"rough": OFFLOAD, "steep": STEEP, "slow host": offload_cost(host_attention(reach=0.01))}
FIRST = SubBatch(((0, 40), (0, 7)), 3, 90, 1, 33, 47, 6)
SECOND = SubBatch((), 0, 0, 4, 200, 0, 4)

counts = st.integers(0, 6)


@st.composite
def sub_batches(draw: st.DrawFn) -> tuple[SubBatch, SubBatch]:
    prompts = draw(st.lists(st.tuples(st.sampled_from([0, 5]), st.integers(1, 300)), max_size=3))
    decodes, beside, rest = draw(counts), draw(counts), draw(counts)
    out = sum(size for _, size in prompts[: draw(st.integers(0, 3))])
    read = [n * draw(st.integers(1, 400)) for n in (decodes, beside, rest)]
    sampled = len(prompts) + decodes + beside
    first = SubBatch(prompts, decodes, read[0], beside, read[1], out, sampled)
    return first, SubBatch((), 0, 0, rest, read[2], 0, rest)


def by_hand(cost: OffloadCost, first: SubBatch, second: SubBatch) -> Iterator[tuple[float, ...]]:
    """Seconds of GPUs, host thread and link in each stage, in the order of NEO's engine."""
    operators, host = cost.cost.operators, cost.host

    def before(batch: SubBatch) -> float:
        return operators.before_attention(batch.tokens)[0] if batch.tokens else 0.0

    def after(batch: SubBatch) -> float:
        return operators.linear(batch.tokens)[0] - before(batch) if batch.tokens else 0.0

    def attention(batch: SubBatch) -> float:
        fixed_s, (per_s, _) = operators.decode()
        seconds = fixed_s + per_s * batch.context_tokens if batch.decodes else 0.0
        for cached, size in batch.prompts:
            (own_s, _), (cached_s, _) = operators.chunk(size)
            seconds += own_s + cached_s * cached
        return seconds

    def thread(batch: SubBatch) -> float:
        if not batch.host_decodes:
            return ROUGH.launch_per_layer_s if cost is not STEEP else 0.0
        kv, exchanged = 2 * 4 * 128 * 2, 128 * (2 * (8 + 2 * 4) + 4 * 8)
        return (
            (ROUGH.launch_per_layer_s if cost is not STEEP else 0.0)
            + host.call_s
            + batch.host_decodes * exchanged / 1e9
            + batch.host_tokens * kv / (host.reach * 1e10)
        )

    def link(batch: SubBatch) -> float:
        return batch.out_tokens * 2048 / 1e9

    yield before(first), 0.0, 0.0
    yield before(second) + attention(first), thread(first), link(first)
    for _ in range(TINY.layers - 1):
        yield after(first) + before(first) + attention(second), thread(second), link(second)
        yield after(second) + before(second) + attention(first), thread(first), link(first)
    yield after(first) + attention(second), thread(second), link(second)
    requests = first.requests + second.requests
    rest_s = ROUGH.host_s + requests * ROUGH.host_per_sequence_s
    head_s, _ = operators.head(first.sampled + second.sampled)
    yield after(second) + head_s + rest_s, 0.0, 0.0


@pytest.mark.parametrize("name", COSTS)
def test_stages_follow_one_another_as_in_neos_engine(name: str) -> None:
    cost = COSTS[name]
    for first, second in ((FIRST, SECOND), (FIRST, NOTHING), (NOTHING, SECOND)):
        found = [cost.ends_s(stage) for stage in cost.iteration(first, second)]
        expected = list(by_hand(cost, first, second))
        assert len(found) == 2 * TINY.layers + 2
        for each, wanted in zip(found, expected, strict=True):
            assert each == pytest.approx(wanted, rel=1e-12)


@given(sub_batches(), st.sampled_from(sorted(COSTS)))
def test_the_closed_form_is_the_sum_of_the_stages(
    pair: tuple[SubBatch, SubBatch], name: str
) -> None:
    cost = COSTS[name]
    iteration = cost.iteration(*pair)
    totals = cost.totals(*pair)
    stages = list(iteration)
    assert totals.seconds == pytest.approx(sum(max(cost.ends_s(each)) for each in stages))
    assert totals.seconds == pytest.approx(sum(map(max, by_hand(cost, *pair))))
    assert totals.gpu_active == pytest.approx(sum(each.gpu_active for each in stages))
    assert totals.thread_s == pytest.approx(sum(each.thread_s for each in stages))
    read = sum(each.read_bytes for each in stages)
    assert totals.read_s == pytest.approx(read / cost.host.read_bytes_per_s)
    first, second = pair
    assert read == TINY.layers * 2048 * (first.host_tokens + second.host_tokens)
    copied = sum(each.copy_bytes for each in stages)
    assert copied == TINY.layers * 2048 * first.out_tokens


@given(sub_batches(), st.sampled_from(sorted(COSTS)))
def test_where_the_host_is_hidden_a_layer_lasts_as_long_as_the_gpus(
    pair: tuple[SubBatch, SubBatch], name: str
) -> None:
    """NEO's condition of a hidden host, by the true times, is one of the whole stages."""
    cost = COSTS[name]
    first, second = pair[0]._replace(out_tokens=0), pair[1]
    gpu_s = sum(cost.prefill_s(size, cached) for cached, size in first.prompts)
    gpu_s += cost.attention_s(first.context_tokens if first.decodes else 0)
    host_s = [cost.host_attention_s(b.host_decodes, b.host_tokens) for b in (first, second)]
    slack_0 = cost.linear_s(second.tokens) + gpu_s - host_s[0] - cost.launch_s
    slack_1 = cost.linear_s(first.tokens) - host_s[1] - cost.launch_s
    if min(slack_0, slack_1) < 1e-12:
        return
    pair_s = sum(max(cost.ends_s(stage)) for stage in cost.iteration(first, second).pair)
    linear_s = cost.linear_s(first.tokens) + cost.linear_s(second.tokens)
    assert pair_s == pytest.approx(linear_s + gpu_s, rel=1e-12)


def test_the_weights_are_read_once_for_each_sub_batch() -> None:
    """Two narrow sub-batches take about twice one of both."""
    free = dict.fromkeys(("launch_per_layer_s", "kernel_s", "attention_kernel_s", "host_s"), 0.0)
    cost = offload_cost(host_attention(reach=1.0, call_s=0.0), **free)
    head_s, _ = cost.cost.operators.head(4)
    both_s = cost.step_on_gpus(SubBatch((), 4, 0, sampled=4)).step(0) - head_s
    one, other = SubBatch((), 2, 0, sampled=2), SubBatch((), 0, 0, 2, 0, 0, 2)
    split_s = cost.totals(one, other).seconds - head_s
    assert 1.9 * both_s < split_s < 2.05 * both_s


@given(sub_batches(), st.sampled_from(sorted(COSTS)))
def test_on_the_gpus_alone_an_iteration_is_that_of_the_model(
    pair: tuple[SubBatch, SubBatch], name: str
) -> None:
    cost = COSTS[name]
    batch = pair[0]._replace(host_decodes=0, host_tokens=0, out_tokens=0)
    if not batch.tokens:
        return
    expected = cost.cost.step(batch.decodes, batch.context_tokens, batch.prompts, batch.sampled)
    found = cost.step_on_gpus(batch)
    assert found.step(0) == expected.step(0)
    assert found.active_first == expected.active_first


def test_kv_of_a_prompt_on_its_way_to_the_host_may_take_longer_than_the_layers() -> None:
    slow = offload_cost(host_attention(link=link_spec(1e6, 1e-3)))
    batch = SubBatch(((0, 100),), out_tokens=100, sampled=1)
    head_s, _ = slow.cost.operators.head(1)
    copying_s = TINY.layers * (100 * 2048 / 1e6 + 1e-3)
    assert slow.step_on_gpus(batch).step(0) == pytest.approx(copying_s + head_s + ROUGH.host_s)
    fast = offload_cost(host_attention(link=link_spec(1e12)))
    alone = fast.step_on_gpus(batch._replace(out_tokens=0))
    assert fast.step_on_gpus(batch).step(0) == alone.step(0)


def test_nothing_takes_no_time() -> None:
    for cost in COSTS.values():
        assert cost.linear_s(0) == cost.prefill_s(0) == cost.attention_s(0) == 0.0
        assert cost.host_attention_s(0, 0) == cost.host.copy_s(0.0) == 0.0
        assert cost.linear_s(1) > 0.0 < cost.attention_s(1)


def test_host_attention_is_proportional_to_kv_however_it_is_spread() -> None:
    base_s = OFFLOAD.host_attention_s(4, 0)
    one_s, ten_s = (OFFLOAD.host_attention_s(4, n) - base_s for n in (1000, 10_000))
    assert ten_s == pytest.approx(10 * one_s)
    assert base_s == pytest.approx(1e-4 + 4 * OFFLOAD.exchanged_bytes / 1e9)


def test_the_time_of_an_iteration_outside_its_layers_may_run_beside_it() -> None:
    beside = offload_cost(host_overlapped=True, host_s=1.0)
    after = offload_cost(host_overlapped=False, host_s=1.0)
    alone_s = offload_cost(host_s=0.0)
    times = [c.totals(FIRST, SECOND).seconds for c in (beside, after, alone_s)]
    assert times[0] == 1.0
    assert times[1] == pytest.approx(times[2] + 1.0)


def test_time_for_each_sequence_comes_on_top() -> None:
    """As where an embedding of every token is looked at (TRAIL)."""
    cost = OffloadCost(OFFLOAD.cost, OFFLOAD.host, per_sequence_s=0.5)
    plain, charged = (c.totals(FIRST, SECOND).seconds for c in (OFFLOAD, cost))
    assert charged == pytest.approx(plain + 0.5 * (2 + 3 + 1 + 4))
    batch = FIRST._replace(host_decodes=0, out_tokens=0)
    assert cost.step_on_gpus(batch).step(0) == pytest.approx(
        OFFLOAD.step_on_gpus(batch).step(0) + 0.5 * 5
    )


def _composed(*words: str) -> Any:
    return compose(["host_attention=cpu", "batching=neo", *words])


@pytest.mark.parametrize(
    ("node", "cores", "gb_per_s"),
    [
        ("g5.2xlarge", 4, 25),
        ("g5.4xlarge", 8, 25),
        ("g5.8xlarge", 16, 50),
        ("g5.16xlarge", 32, 100),
    ],
)
def test_bandwidth_not_cores_decides_what_a_host_reads(
    node: str, cores: int, gb_per_s: float
) -> None:
    """0.6 of a chiplet's 42 GB/s for each begun chiplet of eight, half of the socket at most."""
    host = instantiate(_composed("experiment=neo_a10g", f"node={node}").host_attention)
    assert host.cores == cores
    assert host.read_bytes_per_s == pytest.approx(min(gb_per_s, 0.5 * 204.8) * 1e9, rel=1e-3)


@pytest.mark.parametrize(
    ("experiment", "context", "exchanged", "kv", "gb_per_s", "link_gb_per_s"),
    [
        ("neo_t4", 832, 40_960, 524_288, 50, 8),
        ("neo_a10g", 20_000, 28_672, 131_072, 50, 10),
        ("neo_h100", 131_072, 53_248, 327_680, 110, 40),
    ],
)
def test_neos_models_and_machines(
    experiment: str, context: int, exchanged: int, kv: int, gb_per_s: float, link_gb_per_s: float
) -> None:
    config = _composed(f"experiment={experiment}")
    served = instantiate(config.systems.serving.served)
    assert isinstance(served, ServedTransformer)
    assert served.context_tokens == context
    assert config.batching.times.max_context_tokens == context
    cost = served.offload(instantiate(config.node.gpu), 0.0)
    assert cost is not None
    assert cost.exchanged_bytes == exchanged
    assert cost.kv_bytes * cost.layers == kv
    assert cost.host.read_bytes_per_s == pytest.approx(gb_per_s * 1e9, rel=5e-3)
    assert cost.host.link_bytes_per_s == pytest.approx(link_gb_per_s * 1e9, rel=5e-3)


def test_pipelines_are_refused() -> None:
    with pytest.raises(ConfigError, match="pipeline_parallel = 3"):
        OffloadCost(TransformerCost(TINY, gpu_spec(), ROUGH, 1, 3), host_attention())
    with pytest.raises(ConfigError, match="host_attention: none"):
        made(TINY, gpu_spec(), ROUGH, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reach": 1.5}, "reach = 1.5 exceeds 1"),
        ({"socket_reach": 2.0}, "socket_reach = 2.0 exceeds 1"),
        ({"cores": 9}, "cores = 9 of test-cpu, which has 8"),
        ({"call_s": -1.0}, "call_s"),
        ({"reach": 0.0}, "reach"),
    ],
)
def test_bad_hosts_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        host_attention(**changes)


def test_eight_bit_kv_halves_what_is_read() -> None:
    small = OffloadCost(
        TransformerCost(TINY, gpu_spec(), replace(ROUGH), kv_dtype="int8"), host_attention(), "int8"
    )
    assert small.kv_bytes == 0.5 * OFFLOAD.kv_bytes
