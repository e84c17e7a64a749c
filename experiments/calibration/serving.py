"""A serving stack against measured benchmark runs: which rows are fitted, which are judged, how.

Rows are sorted by (prompt, output, tensor parallel, concurrency). Those whose measured TTFT is
above `CLIFF_S` wait for KV memory; they are never fitted and are scored apart, by log ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import NamedTuple

from experiments.calibration.benchmark_client import BenchmarkClient, Figures, throughput
from experiments.calibration.profiles import ServingRow
from experiments.calibration.scoring import Score, score
from models.efficiency import Efficiency
from models.errors import CapacityError, ConfigError

ENGINE = "vllm"
CLIFF_S = 5.0
#: Seeds of the runs that are judged; none is a seed of the fit.
SEEDS = (1, 2, 3)
#: A row is limited by KV memory where its TTFT is so many times that at half the concurrency.
CLIFF_RATIO = 4.0
SPLITS = Path(__file__).with_name("serving_splits.yaml")
INTERLEAVED = "every other row"


class Judged(NamedTuple):
    """A row with what was simulated for it."""

    row: ServingRow
    got: Figures
    measured_tps: float

    def ratios(self) -> tuple[float, float, float]:
        """Simulated by measured TTFT, TPOT and output throughput."""
        return (
            self.got.ttft_s / self.row.ttft_s,
            self.got.tpot_s / self.row.tpot_s,
            self.got.output_tps / self.measured_tps,
        )


@dataclass(frozen=True)
class Study:
    """Rows of one engine that the experiment can run, sorted; `limited` wait for KV memory.

    `refused`: rows of the engine that cannot be run, with the reason; `others`: rows of other
    engines.
    """

    client: BenchmarkClient
    rows: list[ServingRow]
    refused: list[tuple[ServingRow, str]]
    others: int

    @property
    def smooth(self) -> list[ServingRow]:
        """Rows below the cliff."""
        return [row for row in self.rows if row.ttft_s <= CLIFF_S]

    @property
    def limited(self) -> list[ServingRow]:
        """Rows beyond it."""
        return [row for row in self.rows if row.ttft_s > CLIFF_S]

    def splits(self) -> dict[str, tuple[list[ServingRow], list[ServingRow]]]:
        """Rows to fit and rows to judge, by the name of the split."""
        smooth = self.smooth
        found = {INTERLEAVED: (smooth[::2], smooth[1::2])}
        for shape in dict.fromkeys(shape_of(row) for row in smooth):
            left = [row for row in smooth if shape_of(row) == shape]
            found[f"without {shape}"] = ([row for row in smooth if row not in left], left)
        large = [row for row in smooth if row.tensor_parallel > 2]
        found["TP 1-2 to TP 4-8"] = ([row for row in smooth if row not in large], large)
        return found


def shape_of(row: ServingRow) -> str:
    """Nominal prompt and output tokens."""
    return f"{row.prompt_tokens}/{row.output_tokens}"


def study(rows: Iterable[ServingRow], client: BenchmarkClient) -> Study:
    """Sort the rows into those that can be run and those that cannot."""
    kept: list[ServingRow] = []
    refused: list[tuple[ServingRow, str]] = []
    others = 0
    for row in rows:
        if row.engine != ENGINE:
            others += 1
            continue
        reason = client.refusal(row)
        if reason:
            refused.append((row, reason))
        else:
            kept.append(row)
    kept.sort(key=lambda r: (r.prompt_tokens, r.output_tokens, r.tensor_parallel, r.concurrency))
    if not kept:
        why = f"; the first: {refused[0][1]}" if refused else ""
        raise ConfigError(
            f"no row of {ENGINE} can be run ({len(refused)} refused, {others} of others){why}"
        )
    return Study(client, kept, refused, others)


def judge(
    found: Study,
    efficiency: Efficiency,
    rows: Sequence[ServingRow],
    seeds: Sequence[int] = SEEDS,
) -> tuple[list[Judged], list[tuple[ServingRow, str]]]:
    """Simulate the rows. Returns those done, and those refused with the reason."""
    client = found.client
    done: list[Judged] = []
    refused: list[tuple[ServingRow, str]] = []
    for row in rows:
        try:
            got = client.run(row, efficiency, seeds)
        except (CapacityError, ConfigError) as error:
            refused.append((row, str(error)))
            continue
        measured = throughput(row, row.ttft_s, row.tpot_s, client.mean_output(row))
        done.append(Judged(row, got, measured))
    return done, refused


def scores(judged: Sequence[Judged], refused: int = 0) -> tuple[Score, Score, Score]:
    """Errors of TTFT, TPOT and output throughput."""
    columns = [[ratio[i] for ratio in (one.ratios() for one in judged)] for i in range(3)]
    ttft, tpot, tps = (score(((r, 1.0) for r in column), refused) for column in columns)
    return ttft, tpot, tps


def typical_ratio(judged: Sequence[Judged], figure: int = 0) -> float:
    """Geometric mean of how far off (always >= 1) TTFT (0) or TPOT (1) is."""
    logs = [abs(log(one.ratios()[figure])) for one in judged]
    return exp(sum(logs) / len(logs)) if logs else 1.0


def sides(judged: Sequence[Judged]) -> tuple[int, int, int]:
    """Rows limited by KV memory as measured, those of them that the simulation has so too, and
    rows that it has so wrongly. Rows without one at half the concurrency are left out."""
    by_place = {_place(one.row): one for one in judged}
    limited = right = wrong = 0
    for one in judged:
        row = one.row
        before = by_place.get((*_place(row)[:3], row.concurrency // 2))
        if before is None:
            continue
        measured = row.ttft_s > CLIFF_RATIO * before.row.ttft_s
        simulated = one.got.ttft_s > CLIFF_RATIO * before.got.ttft_s
        limited += measured
        right += measured and simulated
        wrong += simulated and not measured
    return limited, right, wrong


def _place(row: ServingRow) -> tuple[int, int, int, int]:
    return row.prompt_tokens, row.output_tokens, row.tensor_parallel, row.concurrency


def ranks(judged: Sequence[Judged]) -> tuple[float, float, float]:
    """Spearman's rank correlation of simulated to measured TTFT, TPOT and throughput."""
    from scipy.stats import spearmanr

    pairs = [
        ([one.got[i] for one in judged], [measured(one)[i] for one in judged]) for i in range(3)
    ]
    first, second, third = (float(spearmanr(a, b).statistic) for a, b in pairs)
    return first, second, third


def measured(one: Judged) -> tuple[float, float, float]:
    """Measured TTFT, TPOT, output throughput."""
    return one.row.ttft_s, one.row.tpot_s, one.measured_tps


def stored_splits() -> dict[str, Mapping[str, float]]:
    """Constants that were fitted for each split (see `SPLITS`)."""
    import yaml

    found: dict[str, Mapping[str, float]] = yaml.safe_load(SPLITS.read_text())
    return found
