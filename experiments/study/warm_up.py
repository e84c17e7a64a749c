"""Latencies of a run without those of its start."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from sim.core.errors import ConfigError
from sim.core.result import Result, Value

#: Columns of a requests table that the figures of a summary spread out.
LATENCIES = ("ttft_s", "tpot_s", "e2e_latency_s", "queue_s")


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A stated share of the requests, in order of arrival, or all that arrive before a time."""

    share: float = 0.0
    seconds: float = 0.0

    @classmethod
    def read(cls, text: str) -> WarmUp:
        """From "0.1", "10%" or "30s". Raises ConfigError for anything else."""
        found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(s|%)?", text.strip())
        if found:
            number = float(found[1])
            if found[2] == "s":
                return cls(seconds=number)
            share = number / 100 if found[2] else number
            if share < 1.0:
                return cls(share=share)
        raise ConfigError(
            f"--warm-up: {text!r} is neither a share of the requests below 1 (0.1, 10%) nor "
            "seconds of simulated time (30s)"
        )

    def __str__(self) -> str:
        if self.seconds:
            return f"requests that arrive in the first {self.seconds:g} simulated s removed"
        if self.share:
            return f"the first {self.share:.4g} of the requests, by arrival, removed"
        return "none removed: a finite trace counts whole"

    def __bool__(self) -> bool:
        return bool(self.share or self.seconds)

    def figures(self, result: Result) -> dict[str, Value]:
        """Mean, percentiles and maximum of each latency, over finished requests after it.

        The names are those of the summary; its other metrics count the whole run (see `covers`).
        Raises ConfigError where no request is left.
        """
        from sim.core.spread import spread

        figures: dict[str, Value] = {}
        for table in result.tables:
            if table != "requests" and not table.endswith("_requests"):
                continue
            system = "serving" if table == "requests" else table.removesuffix("_requests")
            frame = self._after(result.table(table), table)
            for column in LATENCIES:
                values = frame[column].dropna().to_numpy()
                figures |= spread(f"{system}.{column}", values)
        return figures

    @staticmethod
    def covers(metric: str) -> bool:
        """Whether `figures` has a metric of this name."""
        return any(f".{column}." in metric for column in LATENCIES)

    def _after(self, frame: Any, table: str) -> Any:
        arrivals = frame["arrival_s"]
        if self.seconds:
            kept = frame[arrivals >= self.seconds]
        else:
            order = arrivals.sort_values(kind="stable").index
            kept = frame.loc[order[math.ceil(self.share * len(frame)) :]]
        kept = kept[kept["status"] == "finished"].sort_index()
        if kept.empty:
            raise ConfigError(f"warm-up: no finished request of {table} is left of {len(frame)}")
        return kept
