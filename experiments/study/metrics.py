"""Metrics by name: which are shown, which are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sim.core.errors import ConfigError

#: Shown where none is asked for, as far as a run has them.
HEADLINE = (
    "plan",
    "bound_by",
    "throughput_mpps",
    "drop_share",
    "busy_cores",
    "latency_us.mean",
    "latency_us.p99",
    "ttft_s.mean",
    "ttft_s.p99",
    "tpot_s.mean",
    "tpot_s.p99",
    "e2e_latency_s.mean",
    "e2e_latency_s.p99",
    "output_throughput_tps",
    "goodput_rps",
    "deferred.missed",
    "deferred.held_s.mean",
    "deadlines_missed",
    "carbon_per_job_g",
    "energy_j",
    "carbon_g",
)
#: Shown of runs that have none of those.
_FEW = 8
_TOTAL = re.compile(
    r"(.+\.)?(carbon_g(\..+)?|\w*energy_j|operational_g|embodied_g|tcdp_gs"
    r"|(carbon|energy)_per_(request|output_token|1k_\w*tokens)_[gj])"
)


def is_total(name: str) -> bool:
    """Whether a metric sums energy or carbon over the run, or shares such a sum out to requests or
    tokens, so that idle time adds to it."""
    return _TOTAL.fullmatch(name) is not None


def headline(names: Sequence[str]) -> list[str]:
    """The metrics that matter most, of all systems."""
    wanted = [
        name
        for key in HEADLINE
        for name in names
        # A run's energy and carbon are the whole cluster's; a system's share is one metric more.
        if name == key or (name.endswith(f".{key}") and key not in ("energy_j", "carbon_g"))
    ]
    systems = [name for name in names if name.endswith((".carbon_g", ".energy_j"))]
    return wanted or systems or list(names[:_FEW])


def choose(asked: Iterable[str], names: Sequence[str]) -> list[str]:
    """Names in full: `ttft_s.p99` will do for `serving.ttft_s.p99`.

    Raises ConfigError for one that is none, or several.
    """
    chosen: list[str] = []
    for word in asked:
        found = [name for name in names if name == word]
        found = found or [name for name in names if name.endswith(f".{word}")]
        if not found:
            raise ConfigError(f"{word}: no such metric; {_near(word, names)}")
        if len(found) > 1:
            raise ConfigError(f"{word}: is one of {', '.join(found)}; give it in full")
        if found[0] not in chosen:
            chosen.append(found[0])
    return chosen


def _near(word: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = [name for name in names if word in name][:6] or get_close_matches(word, names, n=4)
    return f"near: {', '.join(near)}" if near else f"there are {', '.join(names)}"
