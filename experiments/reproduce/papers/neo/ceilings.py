"""Closed-form bounds of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from experiments.compose import compose
from models.offload.bounds import Bounds, bounds


def ceilings(settings: Sequence[str], prompt_tokens: int, output_tokens: int) -> Bounds:
    """Of the machine and model of such settings, and GPUs with all of its blocks."""
    return _ceilings(tuple(settings), prompt_tokens, output_tokens)


@cache
def _ceilings(settings: tuple[str, ...], prompt_tokens: int, output_tokens: int) -> Bounds:
    from hydra.utils import instantiate

    config = compose(list(settings))
    cost = instantiate(config.batching.times.truth, _convert_="all")
    blocks = config.engine.kv_blocks * config.engine.block_tokens
    return bounds(cost, prompt_tokens, output_tokens, blocks)
