"""The requests table and the figures that follow from it."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from sim.core.records import Table
from sim.core.result import Draft, Value
from sim.core.spread import spread
from sim.serving.request import Request

COLUMNS = {
    "id": "int64",
    "status": "string",
    "kind": "string",
    "replica": "int32",
    "prompt_tokens": "int64",
    "output_tokens": "int64",
    "arrival_s": "float64",
    "scheduled_s": "float64",
    "first_token_s": "float64",
    "finish_s": "float64",
    "ttft_s": "float64",
    "tpot_s": "float64",
    "e2e_latency_s": "float64",
    "queue_s": "float64",
    "preemptions": "int32",
    "recomputed_tokens": "int64",
    "predicted_tokens": "float64",
    "calls": "int32",
    "call_s": "float64",
}
_LATENCIES = ("ttft_s", "tpot_s", "e2e_latency_s", "queue_s")


class Recorder:
    """Writes a row for each request as it ends and keeps the latencies for exact percentiles.

    `slo_ttft_s`, `slo_tpot_s`: the objective of `goodput_rps` (None: no limit). `regions`: requests
    have an origin, whose column comes last; their times are those seen there.
    """

    def __init__(
        self,
        results: Draft,
        name: str,
        slo_ttft_s: float | None,
        slo_tpot_s: float | None,
        regions: bool = False,
    ) -> None:
        self._regions = regions
        columns = {**COLUMNS, "origin": "string"} if regions else COLUMNS
        self._table: Table = results.table(
            "requests" if name == "serving" else f"{name}_requests", columns, self._keep
        )
        self._values: dict[str, list[Any]] = {key: [] for key in _LATENCIES}
        self._slo_ttft_s = slo_ttft_s
        self._slo_tpot_s = slo_tpot_s
        self._good = 0
        self._finished = 0
        self._decode_s = 0.0
        self._call_s = 0.0
        self._normalised_s = 0.0
        self._tokens_in = 0
        self._tokens_out = 0

    def end(self, request: Request) -> None:
        """A request has finished or was rejected."""
        arrival = request.arrival_s
        finish = request.finish_s
        output = request._output_tokens
        if finish < 0.0:
            self._row(request, "rejected")
            return
        first, scheduled = request.first_token_s, request.scheduled_s
        row: tuple[object, ...] = (
            request.id,
            "finished",
            request.kind,
            request.replica if request.replica >= 0 else None,
            request.prompt_tokens,
            output,
            arrival,
            scheduled,
            first,
            finish,
            first - arrival,
            (finish - first - request.call_s) / (output - 1) if output > 1 else None,
            finish - arrival,
            scheduled - arrival,
            request.preemptions,
            request.recomputed_tokens,
            request._predicted,
            len(request._calls),
            request.call_s,
        )
        self._table.append((*row, request.origin) if self._regions else row)
        self._table.flush_when_full()

    def unfinished(self, requests: list[Request], now_s: float) -> None:
        """Requests that the end of the run cuts off."""
        for request in requests:
            self._row(request, "unfinished", now_s)

    def close(self, duration_s: float) -> dict[str, Value]:
        """Figures over all finished requests; `duration_s` is the length of the run.

        `tpot_s` is a request's mean time between its output tokens, its tool calls left out, so
        each request counts the same; `itl_s.mean` is the mean over all such gaps, so each token
        does. With calls, `normalised_latency_s.mean` is the mean of end-to-end latency less calls
        by output token (InferCept's metric).
        """
        self._table.write()
        figures: dict[str, Value] = {}
        for key in _LATENCIES:
            parts = self._values[key]
            figures |= spread(key, np.concatenate(parts) if parts else np.empty(0))
        gaps = self._tokens_out - self._finished
        figures["itl_s.mean"] = self._decode_s / gaps if gaps else None
        if self._call_s:
            figures["call_s.mean"] = self._call_s / self._finished
            figures["normalised_latency_s.mean"] = self._normalised_s / self._finished
        per_s = (lambda n: n / duration_s) if duration_s > 0 else (lambda n: None)
        figures["request_throughput_rps"] = per_s(self._finished)
        figures["prompt_throughput_tps"] = per_s(self._tokens_in)
        figures["output_throughput_tps"] = per_s(self._tokens_out)
        if self._slo_ttft_s is not None or self._slo_tpot_s is not None:
            figures["goodput_rps"] = per_s(self._good)
        return figures

    def _row(self, request: Request, status: str, now_s: float = inf) -> None:
        scheduled = request.scheduled_s if request.scheduled_s >= 0.0 else None
        first = request.first_token_s if 0.0 <= request.first_token_s <= now_s else None
        self._table.append(
            (
                request.id,
                status,
                request.kind,
                request.replica if request.replica >= 0 else None,
                request.prompt_tokens,
                request._output_tokens,
                request.arrival_s,
                scheduled,
                first,
                None,
                None if first is None else first - request.arrival_s,
                None,
                None,
                None if scheduled is None else scheduled - request.arrival_s,
                request.preemptions,
                request.recomputed_tokens,
                request._predicted,
                len(request._calls),
                request.call_s,
                *((request.origin,) if self._regions else ()),
            )
        )
        self._table.flush_when_full()

    def _keep(self, batch: Any) -> None:
        """Keep what the figures need of a row group."""
        import pyarrow.compute as pc

        finished = batch.filter(pc.equal(batch.column("status"), "finished"))
        columns = {key: finished.column(key).to_numpy(zero_copy_only=False) for key in _LATENCIES}
        for key, column in columns.items():
            self._values[key].append(column[~np.isnan(column)])
        self._finished += finished.num_rows
        call_s = finished.column("call_s").to_numpy()
        calls_s = float(call_s.sum())
        if calls_s:
            outputs = finished.column("output_tokens").to_numpy()
            self._call_s += calls_s
            self._normalised_s += float(((columns["e2e_latency_s"] - call_s) / outputs).sum())
        self._decode_s += float((columns["e2e_latency_s"] - columns["ttft_s"]).sum()) - calls_s
        self._tokens_in += int(finished.column("prompt_tokens").to_numpy().sum())
        self._tokens_out += int(finished.column("output_tokens").to_numpy().sum())
        good = np.ones(finished.num_rows, dtype=bool)
        if self._slo_ttft_s is not None:
            good &= columns["ttft_s"] <= self._slo_ttft_s
        if self._slo_tpot_s is not None:
            # A single-token answer has no time per output token to miss.
            good &= ~(columns["tpot_s"] > self._slo_tpot_s)
        self._good += int(good.sum())
