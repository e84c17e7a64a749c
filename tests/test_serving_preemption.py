"""KV memory by hand: who leaves when blocks run out, what comes back, what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from serving_kit import Outcome, simulate

from policies.batching.chunked_prefill import ChunkedPrefill
from policies.batching.prefill_first import PrefillFirst
from policies.ordering.shortest_job_first import ShortestJobFirst
from policies.ordering.shortest_remaining import ShortestRemaining
from sim.serving.facts import Iterations, RequestPreempted, Swapped

pytestmark = pytest.mark.parametrize("mode", ["jump", "step"])

#: Two requests of 3 + 5 tokens that share 8 blocks of one token.
TWO: list[tuple[float, int, int]] = [(0.0, 3, 5), (0.0, 3, 5)]
EIGHT = {"block_tokens": 1, "kv_blocks": 8}


def swapping(
    mode: str, *more: tuple[float, int, int], host: float = 100.0, **settings: Any
) -> Outcome:
    """TWO, and `more`, where KV moves to the host at 2 tokens a second."""
    return simulate(
        [*TWO, *more],
        mode=mode,
        engine=EIGHT | {"host_swap_bytes": host},
        batching=lambda: ChunkedPrefill(preemption="swap"),
        link_bytes_per_s=2.0,
        **settings,
    )


def preemptions(run: Outcome) -> list[tuple[float, int, str]]:
    assert run.log is not None
    return [(fact.time_s, fact.request.id, fact.fate) for fact in run.log.of(RequestPreempted)]


def test_without_room_in_the_host_a_swap_becomes_a_recomputation(mode: str) -> None:
    """Four tokens are to go, and three have room: 4 + 1 are computed again when A has ended."""
    run = swapping(mode, host=3.0)
    assert preemptions(run) == [(2.0, 1, "recompute")]
    assert run.column("finish_s") == [5.0, 8.0]
    assert run.column("recomputed_tokens") == [0, 4]
    assert run.log is not None
    assert run.log.of(Swapped) == []


def test_host_memory_is_free_again_after_the_return(mode: str) -> None:
    run = swapping(mode)
    assert preemptions(run) == [(2.0, 1, "swap")]
    (replica,) = run.serving.replicas
    assert replica.swap.pool.free == replica.swap.pool.total_blocks == 100


def test_an_arrival_while_kv_moves_is_seen_at_the_next_boundary(mode: str) -> None:
    """B's KV comes back from 7 to 9 s. C, shorter and so first in its queue, arrives at 8 s, and
    joins B after the iteration that ends at 10 s."""
    run = swapping(mode, (8.0, 1, 1), ordering=ShortestJobFirst)
    assert run.column("scheduled_s") == [0.0, 0.0, 10.0]
    assert run.column("finish_s") == [7.0, 12.0, 11.0]


def test_a_displaced_request_keeps_its_kv_until_blocks_run_out(mode: str) -> None:
    """A (4 + 5) has 5 tokens of KV when B (3 + 2), shorter, takes its slot at 2 s. B fills the
    pool at 3 s and needs one block more, so A's are thrown away. A comes back at 4 s with 4 + 2
    tokens to compute, which yields its third, and two more make 7 s."""
    run = simulate(
        [(0.0, 4, 5), (1.5, 3, 2)],
        mode=mode,
        ordering=ShortestRemaining,
        engine=EIGHT | {"max_sequences": 1},
    )
    assert preemptions(run) == [(2.0, 0, "keep")]
    assert run.column("finish_s") == [7.0, 4.0]
    assert run.column("recomputed_tokens") == [5, 0]
    assert run.log is not None
    prefilled = [(f.start_s, f.prefill_tokens) for f in run.log.of(Iterations) if f.prefill_tokens]
    assert prefilled == [(0.0, 4), (2.0, 3), (4.0, 6)]


def test_a_displaced_request_whose_kv_was_kept_decodes_on(mode: str) -> None:
    run = simulate(
        [(0.0, 4, 8), (1.5, 3, 2)],
        mode=mode,
        ordering=ShortestRemaining,
        engine={"max_sequences": 1},
    )
    assert run.column("finish_s") == [10.0, 4.0]
    assert run.column("recomputed_tokens") == [0, 0]
    assert run["prefill_tokens"] == 7


def test_what_is_computed_again_may_come_in_pieces(mode: str) -> None:
    """A pool of 8 and one token an iteration: B, preempted with 2 + 3 tokens, prefills all five by
    themselves, the last of them too, before it has its next token."""
    run = simulate(
        [(0.0, 2, 5), (0.0, 2, 5)],
        mode=mode,
        engine={"block_tokens": 1, "kv_blocks": 8, "max_batch_tokens": 2},
    )
    # A: token 1 at 1 s. B prefills beside it, a token an iteration, and has token 1 at 3 s, A
    # then 3. At 4 s, with 5 + 3 blocks in use, B leaves; A ends at 5 s, alone.
    assert preemptions(run) == [(4.0, 1, "recompute")]
    # B has made 2 and has 4 to compute, two an iteration: 5 to 7 s, and two more tokens.
    assert run.column("finish_s") == [5.0, 9.0]


def test_an_admission_leaves_the_reserve_free(mode: str) -> None:
    """A pool of 10 with a watermark of 0.2: B (3 blocks) may enter beside A (5, growing) only where
    2 stay free, so it waits; alone it may take all."""
    run = simulate(
        [(0.0, 5, 3), (0.0, 3, 1), (20.0, 10, 1)],
        mode=mode,
        engine={"block_tokens": 1, "kv_blocks": 10, "watermark": 0.21},
    )
    assert run.column("scheduled_s") == [0.0, 0.0, 20.0]
    tight = simulate(
        [(0.0, 5, 3), (0.0, 4, 1), (20.0, 10, 1)],
        mode=mode,
        engine={"block_tokens": 1, "kv_blocks": 10, "watermark": 0.21},
    )
    assert tight.column("scheduled_s") == [0.0, 3.0, 20.0]


def test_the_peak_counts_the_iteration_under_way(mode: str) -> None:
    """A block each second; at 4.5 s the fifth is being filled."""
    engine = {"block_tokens": 1, "kv_blocks": 10}
    run = simulate([(0.0, 1, 9)], mode=mode, engine=engine, until_s=4.5)
    assert run["kv_occupancy.peak"] == 0.5
    # One token from 1 s on, two from 2 s, three from 3 s, four from 4 s to the end.
    assert run["kv_occupancy.mean"] == pytest.approx((1 + 2 + 3 + 4 * 0.5) / (10 * 4.5))


def test_the_mean_occupancy_counts_kv_while_other_kv_moves(mode: str) -> None:
    """Tokens by second: 0, 6, then A's 4 while B's leave, 4, 5, 6, B's 4 as they come, 4, 5, 6."""
    tokens = 0 + 6 + 2 * 4 + 4 + 5 + 6 + 2 * 4 + 4 + 5 + 6
    assert swapping(mode)["kv_occupancy.mean"] == pytest.approx(tokens / (8 * 12.0))


@pytest.mark.parametrize("batching", [ChunkedPrefill, PrefillFirst])
def test_a_victim_on_the_edge_of_a_block_frees_its_next_block_too(batching: Any, mode: str) -> None:
    """A (4 + 5) holds one block of two and takes the other with its next token; B (5 + 1) is
    shorter and needs both. At 1 s, when B is seen, displacing A frees the whole pool."""
    run = simulate(
        [(0.0, 4, 5), (0.5, 5, 1)],
        mode=mode,
        ordering=ShortestRemaining,
        batching=batching,
        engine={"block_tokens": 4, "kv_blocks": 2},
    )
    assert run.column("scheduled_s") == [0.0, 1.0]
    assert run.column("finish_s") == [6.0, 2.0]


@pytest.mark.parametrize("batching", [ChunkedPrefill, PrefillFirst])
def test_nobody_is_displaced_for_a_request_that_cannot_enter(batching: Any, mode: str) -> None:
    """C ranks between A and B, and cannot have its blocks while A runs: it displaces nobody. B
    leaves at 4 s, when the blocks run out for A and B themselves."""
    run = simulate(
        [(0.0, 8, 6), (0.0, 1, 12), (1.5, 8, 5)],
        mode=mode,
        ordering=ShortestRemaining,
        batching=batching,
        engine={"max_sequences": 2, "block_tokens": 1, "kv_blocks": 16},
    )
    assert preemptions(run)[0][:2] == (4.0, 1)
