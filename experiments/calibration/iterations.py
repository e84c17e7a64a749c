"""Whole iterations and their power: a host-bound stack of early 2024, on A100 nodes.

Checked: prompt time and time per token with the constants of the kernel profile and one more,
the host's launch time per layer. Fitted here: that time, and the power shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.profiles import IterationRow
from experiments.calibration.scoring import HEADINGS, by, score, table
from models.efficiency import Efficiency
from models.errors import CapacityError
from models.gpu_spec import GpuSpec
from models.llm_cost import TransformerCost
from models.llm_memory import kv_blocks
from models.transformer import Transformer

MODELS = {"llama2-70b": "llama2-70b", "bloom-176b": "bloom-176b"}
#: Mean power below this share of the peak, with the GPU at work, is a log that missed the run:
#: a rule made on seeing the file, where three long prompts have 0.17 to 0.18.
LEAST_POWER = 0.25


@dataclass(frozen=True, slots=True)
class Iterations:
    """Rows that can be priced, sorted; every other one from the first is of the fit."""

    gpu: GpuSpec
    models: dict[str, Transformer]
    rows: list[IterationRow]
    refused: int

    @property
    def fit(self) -> list[IterationRow]:
        return self.rows[::2]

    @property
    def rest(self) -> list[IterationRow]:
        return self.rows[1::2]


def study(rows: Sequence[IterationRow], gpu: GpuSpec, models: dict[str, Transformer]) -> Iterations:
    """Rows sorted by (model, degree, prompt, sequences, output). Refused: an unknown model, or
    sequences that cannot fit beside the weights."""
    order = sorted(
        rows,
        key=lambda r: (
            r.model,
            r.tensor_parallel,
            r.prompt_tokens,
            r.sequences,
            r.output_tokens,
        ),
    )
    kept = [row for row in order if row.model in models and _fits(row, gpu, models[row.model])]
    return Iterations(gpu, models, kept, len(order) - len(kept))


def _fits(row: IterationRow, gpu: GpuSpec, model: Transformer) -> bool:
    try:
        blocks = kv_blocks(
            model,
            gpu,
            block_tokens=16,
            memory_fraction=1.0,
            reserve_bytes=0.0,
            tensor_parallel=row.tensor_parallel,
        )
    except CapacityError:
        return False
    return row.sequences * (row.prompt_tokens + row.output_tokens) <= 16 * blocks


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the cost model gives to a row; powers as shares of the peak."""

    prompt_s: float
    token_s: float
    average_power: float
    prompt_power: float


def predict(found: Iterations, efficiency: Efficiency, row: IterationRow) -> Predicted:
    """One prompt phase of all sequences at once, then decodes up to the output length."""
    gpu = found.gpu
    cost = TransformerCost(found.models[row.model], gpu, efficiency, row.tensor_parallel)
    n = row.sequences
    prompt = cost.step(0, 0, [(0, row.prompt_tokens)] * n, n)
    decode = cost.step(n, n * (row.prompt_tokens + 1), (), n)
    steps = max(1, row.output_tokens - 1)
    prompt_s, decode_s = prompt.step(0), decode.total(steps)
    active_s = prompt.active_step(0) + decode.active_total(steps)

    def share(active: float, seconds: float) -> float:
        return (gpu.idle_w + (gpu.peak_w - gpu.idle_w) * active / seconds) / gpu.peak_w

    return Predicted(
        prompt_s,
        decode_s / steps,
        share(active_s, prompt_s + decode_s),
        share(prompt.active_step(0), prompt_s),
    )


def fit(found: Iterations, start: Efficiency) -> Efficiency:
    """`start` with the launch time of a layer, then with the power shares, that fit best.

    Launch: least mean absolute log ratio of the time per token. Power: least mean absolute
    error of mean and peak power.
    """
    from scipy.optimize import minimize, minimize_scalar

    def late(launch_s: float) -> float:
        tried = replace(start, launch_per_layer_s=launch_s)
        ratios = [predict(found, tried, row).token_s / row.token_s for row in found.fit]
        return float(np.mean(np.abs(np.log(ratios))))

    least = minimize_scalar(late, bounds=(0.0, 2e-3), method="bounded")
    launched = replace(start, launch_per_layer_s=round(float(least.x), 6))
    rows = [row for row in found.fit if _measured(row)]

    def misfit(x: NDArray[np.float64]) -> float:
        if np.any(x < 0.0):
            return 1e9
        tried = replace(launched, power_compute=float(x[0]), power_memory=float(x[1]))
        errors = []
        for row in rows:
            got = predict(found, tried, row)
            errors.append(abs(got.average_power - (row.average_power or 0.0)))
            if row.peak_power:
                errors.append(abs(got.prompt_power - min(1.0, row.peak_power)))
        return float(np.mean(errors))

    best = minimize(misfit, (0.9, 0.6), method="Nelder-Mead", options={"xatol": 1e-3})
    compute, memory = (float(value) for value in best.x)
    return replace(launched, power_compute=round(compute, 2), power_memory=round(memory, 2))


def _measured(row: IterationRow) -> bool:
    return row.average_power is not None and row.average_power >= LEAST_POWER


def report(found: Iterations, efficiency: Efficiency, rows: Sequence[IterationRow]) -> str:
    """Errors of prompt time, time per token and power, by model and degree."""
    columns: list[tuple[str, Callable[[IterationRow, Predicted], tuple[float, float] | None]]] = [
        ("prompt time", lambda r, p: (p.prompt_s, r.prompt_s)),
        ("time per token", lambda r, p: (p.token_s, r.token_s)),
        (
            "mean power",
            lambda r, p: (p.average_power, r.average_power or 1.0) if _measured(r) else None,
        ),
        (
            "peak power (prompt phase, clipped to 1)",
            lambda r, p: (p.prompt_power, min(1.0, r.peak_power)) if r.peak_power else None,
        ),
    ]
    got = {id(row): predict(found, efficiency, row) for row in rows}
    lines = []
    for what, pair in columns:
        groups = [("all", list(rows))]
        groups += [(str(k), g) for k, g in by(rows, lambda r: (r.model, r.tensor_parallel)).items()]
        for label, group in groups:
            pairs = [pair(row, got[id(row)]) for row in group]
            used = [p for p in pairs if p is not None]
            lines.append([f"{what}: {label}", *score(used, len(pairs) - len(used)).cells()])
    return table(["", *HEADINGS], lines)
