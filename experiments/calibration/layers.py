"""Kernel times of a transformer layer: the roofline's constants fitted and judged.

Fitted: share of the compute peak and of the memory bandwidth that matrix products reach, time
per kernel; for element-wise operators a share of the bandwidth and the shortest kernel. One
set for all models and degrees of tensor parallelism. The exponent of the norm is fixed
(`EXPONENT`), as the best of a few round values on the rows of the fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.profiles import LayerRow
from experiments.calibration.scoring import HEADINGS, Score, by, score, table
from models.efficiency import Efficiency
from models.gpu_spec import GpuSpec
from models.layer_operators import LayerOperators
from models.transformer import Transformer

MATRICES = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
ELEMENTWISE = ("input_layernorm", "attn_rope", "post_attention_layernorm", "mlp_act", "add")
#: All of them in one layer: what the constants of element-wise work are fitted to.
TOGETHER = "element-wise, together"
MODELS = {
    "Llama-2-7b-hf": "llama2-7b",
    "Llama-2-70b-hf": "llama2-70b",
    "Meta-Llama-3-8B": "llama3-8b",
}
EXPONENT = 1.5
Numbers = NDArray[np.float64]
RANGES = (8, 64, 256, 1024, 4096, 32768)


class Measured(NamedTuple):
    """One operator at one size: what the model takes for it and what was measured."""

    gpu: str
    model: str
    tensor_parallel: int
    operator: str
    tokens: int
    fit: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Layers:
    """A profile read for one study: its cards, its models, and every operator measured."""

    cards: dict[str, GpuSpec]
    models: dict[str, Transformer]
    points: list[Measured]
    refused: list[Measured]

    def operators(self, efficiency: Efficiency) -> Callable[[Measured], LayerOperators]:
        """The priced layer for a point, made once for each card, model and degree."""
        made: dict[tuple[str, str, int], LayerOperators] = {}

        def find(point: Measured) -> LayerOperators:
            key = point[:3]
            if key not in made:
                card, model, peers = key
                made[key] = LayerOperators(self.models[model], self.cards[card], efficiency, peers)
            return made[key]

        return find


def study(
    rows: Iterable[LayerRow],
    cards: dict[str, GpuSpec],
    models: dict[str, Transformer],
    alternate: bool,
) -> Layers:
    """Points of all rows. Those of the fit have an even number of tokens or, with `alternate`,
    are every other row of (card, model, degree), sorted by tokens, from the first. A row of an
    unknown card or model or of another shape, and a time of zero, is refused."""
    points: list[Measured] = []
    refused: list[Measured] = []
    for group in by(rows, lambda row: (row.gpu, row.model, row.tensor_parallel)).values():
        card, model, peers = group[0].gpu, group[0].model, group[0].tensor_parallel
        ordered = sorted(group, key=lambda row: row.tokens)
        for index, row in enumerate(ordered):
            fit = index % 2 == 0 if alternate else row.tokens % 2 == 0
            known = card in cards and _shape(models.get(model)) == row.shape
            together = sum(row.seconds[operator] for operator in ELEMENTWISE)
            for operator in (*MATRICES, *ELEMENTWISE, TOGETHER):
                seconds = together if operator == TOGETHER else row.seconds[operator]
                point = Measured(card, model, peers, operator, row.tokens, fit, seconds)
                (points if known and seconds > 0.0 else refused).append(point)
    return Layers(cards, models, points, refused)


def _shape(model: Transformer | None) -> tuple[int, int, int, int] | None:
    if model is None:
        return None
    return model.hidden, model.ffn, model.heads, model.kv_heads


def fit(layers: Layers, card: str, start: Efficiency) -> Efficiency:
    """`start` with the constants that fit the card's rows of the fit.

    Least mean absolute log ratio of predicted to measured time, by Nelder-Mead. Element-wise
    operators of a layer count together, and each range of sizes counts alike.
    """
    chosen = [p for p in layers.points if p.fit and p.gpu == card]
    start = replace(start, roofline_exponent=EXPONENT)
    matrices = [p for p in chosen if p.operator in MATRICES]
    traffic = [p for p in chosen if p.operator == TOGETHER]
    operators = layers.operators(start)
    spec = layers.cards[card]
    work = np.array([operators(p).matrix_work(p.operator, p.tokens) for p in matrices])
    compute_s = work[:, 0] / spec.flops_16bit
    memory_s = work[:, 1] / spec.memory_bandwidth_bytes_per_s
    ce, me, kernel_s = _least(
        lambda x: (
            x[2] * 1e-6
            + ((compute_s / x[0]) ** EXPONENT + (memory_s / x[1]) ** EXPONENT) ** (1 / EXPONENT)
        ),
        matrices,
        (0.7, 0.8, 5.0),
    )
    moved = np.array(
        [p.tokens * sum(operators(p).elementwise[o] for o in ELEMENTWISE) for p in traffic]
    )
    traffic_s = moved / spec.memory_bandwidth_bytes_per_s
    kernels = len(ELEMENTWISE)
    share, small_s = _least(
        lambda x: np.maximum(traffic_s / x[0], kernels * x[1] * 1e-6),
        traffic,
        (0.7, 3.0),
        [_range(p.tokens) for p in traffic],
    )
    return replace(
        start,
        gemm_compute=round(ce, 3),
        gemm_memory=round(me, 3),
        kernel_s=round(kernel_s * 1e-6, 8),
        elementwise_memory=round(share, 3),
        elementwise_kernel_s=round(small_s * 1e-6, 8),
    )


def _least(
    predict: Callable[[Numbers], Numbers],
    points: Sequence[Measured],
    start: tuple[float, ...],
    labels: Sequence[str] | None = None,
) -> list[float]:
    """Constants of least mean absolute log ratio; points with one label weigh 1 together."""
    from scipy.optimize import minimize

    measured = np.array([p.seconds for p in points])
    weights = None
    if labels is not None:
        count = Counter(labels)
        weights = np.array([1.0 / count[label] for label in labels])

    def misfit(x: Numbers) -> float:
        if np.any(x <= 0.0):
            return 1e9
        return float(np.average(np.abs(np.log(predict(x) / measured)), weights=weights))

    best = minimize(misfit, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7})
    return [float(value) for value in best.x]


def judge(
    layers: Layers,
    efficiency: Efficiency,
    chosen: Callable[[Measured], bool],
) -> Score:
    """Errors of the cost model itself over the chosen points."""
    operators = layers.operators(efficiency)
    pairs = [(predict(operators(p), p), p.seconds) for p in layers.points if chosen(p)]
    return score(pairs, sum(1 for p in layers.refused if chosen(p)))


def predict(operators: LayerOperators, point: Measured) -> float:
    """Seconds that the cost model gives to a point."""
    if point.operator in MATRICES:
        return operators.matrix(point.operator, point.tokens)[0]
    if point.operator == TOGETHER:
        return sum(operators.traffic(operator, point.tokens)[0] for operator in ELEMENTWISE)
    return operators.traffic(point.operator, point.tokens)[0]


def report(layers: Layers, efficiency: Efficiency, card: str, rest: bool) -> str:
    """Tables for a card: by operator, model, degree and size. `rest`: rows kept from the fit."""
    here = [p for p in layers.points if p.gpu == card and not (rest and p.fit)]
    lost = [p for p in layers.refused if p.gpu == card and not (rest and p.fit)]
    keys: list[tuple[str, Callable[[Measured], str]]] = [
        ("all", lambda p: "all"),
        ("operator", lambda p: p.operator),
        ("model", lambda p: p.model),
        ("tensor parallel", lambda p: f"tp {p.tensor_parallel}"),
        ("tokens", lambda p: _range(p.tokens)),
    ]
    operators = layers.operators(efficiency)
    parts = []
    for kind, names in (
        ("matrix operators", MATRICES),
        ("element-wise operators of a layer, together", (TOGETHER,)),
        ("element-wise operators, one by one", ELEMENTWISE),
    ):
        lines = []
        points = [p for p in here if p.operator in names]
        out = [p for p in lost if p.operator in names]
        for what, key in keys:
            refused = by(out, key)
            for value, group in by(points, key).items():
                pairs = [(predict(operators(p), p), p.seconds) for p in group]
                result = score(pairs, len(refused.get(value, ())))
                label = "all" if what == "all" else f"{what}: {value}"
                lines.append([label, *result.cells()])
        parts.append(f"{kind}\n" + table(["", *HEADINGS], lines))
    return "\n\n".join(parts)


def _range(tokens: int) -> str:
    low = 1
    for high in RANGES:
        if tokens <= high:
            return f"{low}-{high}"
        low = high + 1
    return f"above {RANGES[-1]}"
