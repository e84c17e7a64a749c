"""SwiftLLM's rule by hand, and NEO where it comes down to it."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import pytest
from neo_by_the_paper import Asker, State, StateView
from offload_kit import STEEP, times
from serving_kit import Outcome, simulate

from models.constant_cost import ConstantCost
from policies.batching.neo import Neo
from policies.batching.swiftllm import SwiftLlm
from sim.serving.facts import Swapped
from sim.serving.law_check import LawCheck

#: A block of four tokens moves in a second, an iteration lasts one.
SECONDS: dict[str, Any] = {
    "cost": ConstantCost(1.0),
    "kv_bytes_per_token": 256.0,
    "link_bytes_per_s": 1024.0,
    "batching": SwiftLlm,
}


def engine(kv_blocks: int, **changes: Any) -> dict[str, Any]:
    return {"block_tokens": 4, "kv_blocks": kv_blocks, "host_swap_bytes": 1024.0 * 20} | changes


def test_the_youngest_goes_out_and_nobody_begins_before_it_is_back() -> None:
    """Two prompts of 7 tokens fill 4 blocks. At 2 s both need a third: the younger one moves out
    until 4 s. The older one runs from 4 to 8 s; a newcomer of one block, which was free, waits. The
    younger one comes back until 10 s, an iteration by itself, and the newcomer joins at 11 s."""
    run = simulate([(0.0, 7, 6), (0.0, 7, 6), (0.5, 3, 2)], engine=engine(4), **SECONDS)
    assert run.column("finish_s") == [8.0, 14.0, 13.0]
    assert run.column("first_token_s") == [1.0, 1.0, 12.0]
    assert run.log is not None
    swaps = [(f.start_s, f.end_s, f.out_bytes, f.in_bytes) for f in run.log.of(Swapped)]
    assert swaps == [(2.0, 4.0, 2048.0, 0.0), (8.0, 10.0, 0.0, 2048.0)]
    assert run["recomputed_tokens"] == 0


def test_the_oldest_comes_back_first() -> None:
    """Three that grow together: the third and then the second go out, the second is back first."""
    run = simulate([(0.0, 4, 9), (0.0, 4, 9), (0.0, 4, 9)], engine=engine(3), **SECONDS)
    assert run.column("preemptions") == [0, 1, 1]
    assert run.column("finish_s") == sorted(run.column("finish_s"))
    assert run.log is not None
    out = [f.out_bytes for f in run.log.of(Swapped) if f.out_bytes]
    assert out == [2048.0]


def test_where_host_memory_is_full_it_computes_again() -> None:
    run = simulate([(0.0, 7, 6), (0.0, 7, 6)], engine=engine(4, host_swap_bytes=1024.0), **SECONDS)
    assert run["recomputed_tokens"] == 8
    assert run.log is not None
    assert not run.log.of(Swapped)


def test_whole_prompts_join_while_budgets_last() -> None:
    """One decodes; of a budget of 20 tokens 19 are left: for 12 and 5, but not for 8 before 1."""
    waiting = [Asker(1, prompt=12), Asker(2, prompt=5), Asker(3, prompt=8), Asker(4, prompt=1)]
    state = State(waiting, [Asker(0, kv=9)], [], 100, 0, 4, 8, 20)
    plan = SwiftLlm().plan(StateView(state), 0.0)  # type: ignore[arg-type]
    assert [(r.id, n) for r, n in plan.chunks] == [(1, 12), (2, 5)]
    state.most_requests = 2
    plan = SwiftLlm().plan(StateView(state), 0.0)  # type: ignore[arg-type]
    assert [(r.id, n) for r, n in plan.chunks] == [(1, 12)]


def test_a_prompt_longer_than_the_budget_goes_by_itself() -> None:
    waiting = [Asker(1, prompt=30), Asker(2, prompt=1)]
    state = State(waiting, [Asker(0, kv=9)], [], 100, 0, 4, 8, 20)
    plan = SwiftLlm().plan(StateView(state), 0.0)  # type: ignore[arg-type]
    assert [(r.id, n) for r, n in plan.chunks] == [(1, 30)]


def _random(seed: int) -> tuple[list[tuple[float, int, int]], dict[str, Any]]:
    draw = Random(seed)
    requests = sorted(
        (draw.choice([0.0, 0.2 * draw.random()]), draw.randint(1, 60), draw.randint(1, 40))
        for _ in range(30)
    )
    return requests, {
        "cost": STEEP.cost,
        "offload": STEEP,
        "kv_bytes_per_token": 1.0,
        "link_bytes_per_s": 1e5,
        "observers": [LawCheck()],
        "series_interval_s": 0.01,
    }


def _limits(kv_blocks: int, host_blocks: int) -> dict[str, Any]:
    return {
        "max_sequences": 12,
        "max_batch_tokens": 128,
        "block_tokens": 4,
        "kv_blocks": kv_blocks,
        "host_swap_bytes": 4.0 * host_blocks,
    }


def _same(left: Outcome, right: Outcome) -> None:
    assert left.rows == right.rows
    assert left.table("series") == right.table("series")
    assert left.result.summary == right.result.summary


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", ["jump", "step"])
def test_neo_for_the_gpus_alone_is_swiftllm_to_the_bit(seed: int, mode: str) -> None:
    """With as many blocks: NEO's buffer of a layer is on top."""
    requests, settings = _random(seed)
    blocks = 45
    more = blocks * (STEEP.layers + 1) // STEEP.layers
    neo = partial(Neo, times(STEEP), gpu_only=True)
    _same(
        simulate(requests, mode=mode, batching=SwiftLlm, engine=_limits(blocks, 30), **settings),
        simulate(requests, mode=mode, batching=neo, engine=_limits(more, 30), **settings),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("host_blocks", [1, 600])
def test_neo_with_a_host_that_takes_nothing_is_swiftllm_to_the_bit(
    seed: int, host_blocks: int
) -> None:
    """All fit on the GPUs, so that they never ask for host memory."""
    requests, settings = _random(seed)
    blocks = 600
    more = blocks * (STEEP.layers + 1) // STEEP.layers
    neo = partial(Neo, times(STEEP))
    _same(
        simulate(requests, batching=SwiftLlm, engine=_limits(blocks, host_blocks), **settings),
        simulate(requests, batching=neo, engine=_limits(more, host_blocks), **settings),
    )
