"""What the iterations of a composition cost."""

from __future__ import annotations

from collections.abc import Sequence

from models.step_cost import IterationCost, StepCost, WithLast
from sim.core.errors import LawBroken
from sim.hardware.run import Run
from sim.serving.request import Request

#: How far an iteration by itself may be from the closed form of its run.
_TOLERANCE = 1e-9


def price(
    cost: IterationCost,
    decodes: int,
    context_tokens: int,
    chunks: Sequence[tuple[Request, int]],
    repeats: bool = False,
) -> StepCost:
    """Cost of iterations in which `decodes` requests decode and these pieces are prefilled;
    `repeats`: a single piece, again and again until the prompt is complete."""
    if not chunks:
        return cost.step(decodes, context_tokens, (), decodes)
    if not decodes:
        context_tokens = 0
    if repeats:
        ((request, tokens),) = chunks
        kv = request._kv
        left = request._given + request._generated - kv
        turn = (left - 1) // tokens
        done = turn * tokens
        last = cost.step(
            decodes, context_tokens + turn * decodes, ((kv + done, left - done),), decodes + 1
        )
        return WithLast(cost.step(decodes, context_tokens, ((kv, tokens),), decodes), turn, last)
    pieces = []
    sampled = decodes
    for request, tokens in chunks:
        kv = request._kv
        pieces.append((kv, tokens))
        if kv + tokens >= request._given + request._generated:
            sampled += 1
    return cost.step(decodes, context_tokens, pieces, sampled)


def check_step(run: Run, alone: StepCost) -> None:
    """The next iteration of a run must take the time and the energy that it takes when priced by
    itself.

    Raises LawBroken with both figures.
    """
    cost = run.asked
    done = run.done
    for what, found, expected in (
        ("seconds", cost.step(done), alone.step(0)),
        ("seconds at full power", cost.active_step(done), alone.active_first),
    ):
        if abs(found - expected) > _TOLERANCE * expected:
            raise LawBroken(
                f"iteration {done} of a run takes {found} {what} by the closed form and "
                f"{expected} by itself"
            )
