"""Study: M/G/1 with limited preemption, every cell of the published table on the engine."""

from __future__ import annotations

from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.trail.agreement import Agreement
from experiments.reproduce.papers.trail.single_server import MEAN, Cell, Means, serve
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers

#: By load and lock share C: response, sum of ages and preemptions with perfect predictions, then
#: with exponential ones; sizes exponential of mean 1 (TRAIL's Lemma 1, evaluated by quadrature).
TABLE = {
    (0.5, 0.0): ((1.7127, 0.5000, 0.0), (1.7948, 0.5000, 0.0)),
    (0.5, 0.5): ((1.4702, 0.5493, 0.1667), (1.6726, 0.5985, 0.1666)),
    (0.5, 0.8): ((1.4288, 0.5824, 0.2333), (1.6616, 0.6252, 0.2033)),
    (0.5, 1.0): ((1.4254, 0.5871, 0.2500), (1.6583, 0.6288, 0.2107)),
    (0.8, 0.0): ((2.8822, 0.8000, 0.0), (3.3758, 0.8000, 0.0)),
    (0.8, 0.5): ((2.4289, 0.9996, 0.2667), (3.1597, 1.2757, 0.2666)),
    (0.8, 0.8): ((2.3583, 1.1068, 0.3733), (3.1430, 1.3702, 0.3253)),
    (0.8, 1.0): ((2.3528, 1.1196, 0.4000), (3.1375, 1.3806, 0.3371)),
    (0.9, 0.0): ((4.1969, 0.9000, 0.0), (5.3610, 0.9000, 0.0)),
    (0.9, 0.5): ((3.6400, 1.2341, 0.3000), (5.1223, 1.8116, 0.2999)),
    (0.9, 0.8): ((3.5584, 1.3866, 0.4200), (5.1047, 1.9521, 0.3660)),
    (0.9, 1.0): ((3.5521, 1.4032, 0.4500), (5.0985, 1.9658, 0.3793)),
    (0.95, 0.0): ((6.2640, 0.9500, 0.0), (8.6537, 0.9500, 0.0)),
    (0.95, 1.0): ((5.5410, 1.6206, 0.4750), (8.4046, 2.5978, 0.4003)),
}
PREDICTORS = ("perfect", "exponential")
FIGURES = ("response", "ages", "preemptions")
#: Accepted share by load.
TOLERANCES = {0.5: 0.01, 0.8: 0.01, 0.9: 0.02, 0.95: 0.03}
#: Requests of a run by load (times ten with --full), and runs of a cell.
REQUESTS = {0.5: 20_000, 0.8: 25_000, 0.9: 30_000, 0.95: 40_000}
SEEDS = 8
#: Half the mean square of a geometric size, in mean services.
_HALF_SQUARE = 1.0 - 0.5 / MEAN

Cells = dict[Cell, list[Means]]


def simulate(workers: Workers) -> Cells:
    """All cells; each seed has one sequence of arrivals and sizes for all of them."""
    cells = [Cell(*point, predictor) for predictor in PREDICTORS for point in TABLE]
    scale = 10 if workers.full else 1
    tasks = [(cell, scale * REQUESTS[cell.load], seed) for cell in cells for seed in range(SEEDS)]
    found = workers.map(_serve, tasks)
    return {cell: found[i * SEEDS : (i + 1) * SEEDS] for i, cell in enumerate(cells)}


def _serve(task: tuple[Cell, int, int]) -> Means:
    return serve(*task)


def work_found(load: float) -> float:
    """Mean work that an arrival finds, by Pollaczek and Khinchine, for geometric sizes."""
    return load / (1.0 - load) * _HALF_SQUARE


def estimate(cell: Cell, runs: list[Means], figure: str) -> Estimate:
    """Mean of a figure with a control variate, something that follows from arrivals and sizes
    alone, whose mean is known and which explains most of what seeds differ by: work found for the
    response, squared sizes for the others."""
    values = [getattr(run, figure) for run in runs]
    if figure == "response":
        return controlled(values, [run.work - work_found(cell.load) for run in runs])
    return controlled(values, [run.squares - cell.load * _HALF_SQUARE for run in runs])


def controlled(values: list[float], control: list[float]) -> Estimate:
    """Mean of `values` where `control`, of mean 0, is 0: the intercept of a fitted line. Its
    samples are the rests about it, widened to the intercept's standard error."""
    count = len(values)
    mean, middle = sum(values) / count, sum(control) / count
    spread = sum((c - middle) ** 2 for c in control)
    pairs = list(zip(values, control, strict=True))
    slope = sum((v - mean) * (c - middle) for v, c in pairs) / spread
    centre = mean - slope * middle
    widen = ((count - 1) / (count - 2) * (1.0 + count * middle**2 / spread)) ** 0.5
    return mean_interval([centre + widen * (v - mean - slope * (c - middle)) for v, c in pairs])


def measured(cells: Cells, predictor: str, load: float) -> dict[str, Estimate]:
    """The table's block of a load: its rows by name."""
    found = {}
    for cell, runs in cells.items():
        if (cell.predictor, cell.load) == (predictor, load):
            for figure in FIGURES:
                found[_name(figure, cell.lock)] = estimate(cell, runs, figure)
    return found


def _name(figure: str, lock: float) -> str:
    return f"{figure}, C = {lock:g}"


def _block(predictor: str, load: float) -> dict[str, float]:
    which = PREDICTORS.index(predictor)
    return {
        _name(figure, lock): values[which][i]
        for (of, lock), values in TABLE.items()
        if of == load
        for i, figure in enumerate(FIGURES)
    }


THEORY = Study("M/G/1 with limited preemption", simulate)


def _claim(predictor: str, load: float) -> Claim[Cells, dict[str, Estimate]]:
    return Claim(
        id=f"single-server-{predictor}-{load:g}",
        where="Lemma 1",
        what=f"mean response, sum of ages (memory) and preemptions of a request at load {load:g}, "
        f"{predictor} predictions",
        published="the closed form, by quadrature",
        accepted=Agreement(_block(predictor, load), TOLERANCES[load]),
        study=THEORY,
        measure=lambda cells: measured(cells, predictor, load),
        unit="mean services",
    )


CLAIMS = [_claim(predictor, load) for predictor in PREDICTORS for load in TOLERANCES]
