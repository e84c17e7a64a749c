"""One replication: the figures of one run with one seed."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.study.warm_up import WarmUp
from sim.core.result import Value


def replicate(
    settings: Sequence[str],
    seed: int,
    *,
    config_dir: str | None = None,
    warm_up: WarmUp | None = None,
) -> dict[str, Value]:
    """Summary of a run; latencies without the warm-up's requests where there is one."""
    from experiments.compose import compose
    from sim.core.run import run

    words = [*settings, f"seed={seed}"]
    result = run(compose(words, config_dir=config_dir, alone=False))
    return result.summary | warm_up.figures(result) if warm_up else result.summary
