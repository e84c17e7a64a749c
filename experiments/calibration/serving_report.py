"""What is printed of a serving stack's fit and of its errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from experiments.calibration.profiles import ServingRow
from experiments.calibration.scoring import HEADINGS, by, table
from experiments.calibration.serving import (
    CLIFF_S,
    INTERLEAVED,
    Judged,
    Study,
    judge,
    measured,
    ranks,
    scores,
    shape_of,
    sides,
    typical_ratio,
)
from experiments.calibration.serving_fit import CONSTANTS, Fit, fit, rounded
from models.efficiency import Efficiency

#: Accepted median errors of TTFT and TPOT on rows kept from the fit; aims of TTFT, TPOT and
#: output throughput on them, and of TTFT and TPOT in the harder splits.
BOUNDS = (0.08, 0.05)
AIMS = (0.05, 0.04, 0.04)
HARD_AIMS = (0.08, 0.07)
RANK_AIM = 0.98
FIGURES = ("TTFT", "TPOT", "output throughput")


def refit(found: Study, start: Efficiency) -> dict[str, Efficiency]:
    """Fit every split anew, and say how well the rows tell the constants."""
    fitted = {}
    for name, (rows, _) in found.splits().items():
        result = fit(found.client, rows, start, _progress(name))
        fitted[name] = rounded(result.efficiency)
        print(f"== fit of {name!r}: {len(rows)} rows, {result.runs} runs")
        print(_constants(result))
        if name == INTERLEAVED:
            other = replace(start, host_overlapped=not start.host_overlapped)
            rival = fit(found.client, rows, other, _progress(f"{name}, host the other way"))
            print(
                f"cost {result.cost:.4f} with host_overlapped {start.host_overlapped}, "
                f"{rival.cost:.4f} with {other.host_overlapped}"
            )
        print()
    print("constants of the splits:")
    for name, efficiency in fitted.items():
        print(f"{name}:")
        for key in CONSTANTS:
            print(f"  {key}: {getattr(efficiency, key):.6g}")
    print()
    return fitted


def _constants(result: Fit) -> str:
    lines = []
    for key, constant in CONSTANTS.items():
        value = getattr(result.efficiency, key) / constant.scale
        lines.append(
            [
                key,
                f"{value:.{constant.digits}f}",
                f"+-{result.deviation[key]:.0%}",
                f"{constant.low:g} to {constant.high:g}",
                constant.meaning,
            ]
        )
    text = table(["constant", "value", "spread", "bounds", "meaning"], lines)
    return "\n".join([text, *(f"warning: {warning}" for warning in result.warnings())])


def _progress(name: str) -> Callable[[int], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(runs: int) -> None:
        print(f"\r{name}: {runs} runs ", end="", file=sys.stderr, flush=True)

    return show


def report(found: Study, committed: Efficiency, splits: dict[str, Efficiency]) -> bool:
    """Print all rows and the errors. Returns whether the accepted errors are kept."""
    done, refused = judge(found, committed, found.rows)
    fit_rows = found.splits()[INTERLEAVED][0]
    rest = [one for one in done if one.row not in fit_rows and one.row.ttft_s <= CLIFF_S]
    limited = [one for one in done if one.row.ttft_s > CLIFF_S]
    print(_rows(done, fit_rows))
    print("* used in the fit; ! waits for KV memory, never fitted and scored apart\n")
    lost = len(refused) + len(found.refused)
    print(_grouped(rest, sum(row not in fit_rows for row, _ in refused) + len(found.refused)))
    for row, reason in [*found.refused, *refused]:
        print(f"refused: {shape_of(row)}, TP {row.tensor_parallel}: {reason}")
    print(
        f"coverage: {len(done)} of {len(done) + lost} vLLM rows run, {lost} refused; "
        f"{found.others} rows of other engines not used\n"
    )
    good = _verdicts(done, rest, limited) and lost == 0
    _hard(found, splits)
    return good


def _verdicts(done: list[Judged], rest: list[Judged], limited: list[Judged]) -> bool:
    good = True
    print(f"rows kept from the fit ({len(rest)}), median absolute error:")
    for name, result, aim, bound in zip(FIGURES, scores(rest), AIMS, (*BOUNDS, None), strict=True):
        text = f"  {name}: {result.median:.1%}, aim {aim:.0%} {_met(result.median <= aim)}"
        if bound is not None:
            kept = result.median <= bound
            good = good and kept
            text += f", bound {bound:.0%} {'within' if kept else 'EXCEEDED'}"
        print(text)
    if limited:
        print(
            f"rows with a TTFT over {CLIFF_S:g} s ({len(limited)}): typical ratio "
            f"{typical_ratio(limited):.2f} in TTFT, {typical_ratio(limited, 1):.2f} in TPOT"
        )
    cliff, right, wrong = sides(done)
    print(
        f"limited by KV memory: {right} of {cliff} rows found so, {wrong} of the others wrongly; "
        f"aim nine of ten {_met(right >= 0.9 * cliff and wrong == 0)}"
    )
    for label, group in (("rows kept from the fit", rest), ("all rows", done)):
        values = ranks(group)
        said = ", ".join(f"{n} {v:.3f}" for n, v in zip(FIGURES, values, strict=True))
        print(f"rank correlation, {label}: {said}; aim {RANK_AIM} {_met(min(values) >= RANK_AIM)}")
    return good


def _hard(found: Study, splits: dict[str, Efficiency]) -> None:
    lines = []
    for name, (rows, others) in found.splits().items():
        if name == INTERLEAVED or name not in splits:
            continue
        done, refused = judge(found, splits[name], others)
        ttft, tpot, tps = scores(done, len(refused))
        met = ttft.median <= HARD_AIMS[0] and tpot.median <= HARD_AIMS[1]
        cells = [f"{100 * one.median:.1f}" for one in (ttft, tpot, tps)]
        bias = [f"{100 * one.bias:+.1f}" for one in (ttft, tpot)]
        lines.append([name, str(len(rows)), str(len(done)), *cells, *bias, _met(met)])
    heads = ["harder splits", "fitted", "judged", "TTFT %", "TPOT %", "tput %"]
    print()
    print(table([*heads, "TTFT bias", "TPOT bias", "aim 8/7"], lines))


def _rows(done: Sequence[Judged], fit_rows: Sequence[ServingRow]) -> str:
    lines = []
    for one in done:
        row = one.row
        mark = "!" if row.ttft_s > CLIFF_S else "*" if row in fit_rows else ""
        cells = [f"{shape_of(row)}{mark}", str(row.tensor_parallel), str(row.concurrency)]
        units = ((1e3, 1), (1e3, 2), (1.0, 0))
        pairs = zip(measured(one), one.got, one.ratios(), units, strict=True)
        for was, got, ratio, (scale, digits) in pairs:
            cells += [
                f"{was * scale:.{digits}f}",
                f"{got * scale:.{digits}f}",
                f"{100 * (ratio - 1):+.1f}",
            ]
        lines.append(cells)
    heads = ["prompt/output", "TP", "C", "TTFT ms", "simulated", "e %", "TPOT ms", "simulated"]
    return table([*heads, "e %", "tokens/s", "simulated", "e %"], lines)


def _grouped(rest: Sequence[Judged], refused: int) -> str:
    keys: list[Callable[[Judged], str]] = [
        lambda one: "all",
        lambda one: shape_of(one.row),
        lambda one: f"TP {one.row.tensor_parallel}",
        lambda one: f"concurrency {one.row.concurrency}",
    ]
    lines = []
    for key in keys:
        for label, group in sorted(by(rest, key).items(), key=lambda pair: _order(str(pair[0]))):
            for name, result in zip(FIGURES, scores(group), strict=True):
                if label == "all":
                    result = result._replace(refused=refused)
                lines.append([f"{label}: {name}", *result.cells()])
    return table(["rows kept from the fit", *HEADINGS], lines)


def _order(label: str) -> list[int]:
    """Labels sort by the numbers in them."""
    return [int(word) for word in label.replace("/", " ").split() if word.isdigit()]


def _met(yes: bool) -> str:
    return "met" if yes else "missed"
