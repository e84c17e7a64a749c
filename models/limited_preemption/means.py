"""Limited preemption in closed form: M/G/1, shortest predicted remaining size first, locked by age.

One server, Poisson arrivals, jobs of size x predicted as y on arrival. A job that has been served
for a (its age) has rank y - a; once its age has reached C y it is locked and runs to its end. The
lowest rank runs, of equal ranks the earliest arrival; preemption costs nothing. C = 1 is shortest
predicted remaining processing time first, C = 0 shortest predicted job first without preemption.

Sources: the policy is TRAIL's, Shahout et al., "Don't Stop Me Now: Embedding Based Scheduling for
LLMs", ICLR 2025, whose Lemma 1 is of this shape; the formulas follow from Scully, Harchol-Balter
and Scheller-Wolf, "SOAP: One Clean Analysis of All Age-Based Scheduling Policies", SIGMETRICS
2018. A rank only falls, so the worst that a job has before it is its present one. A tagged job
predicted as r therefore meets

- old jobs: those predicted at most r (of equal ones it is the last) with all of their work, those
  predicted y > r with what is left at the age b = min(y - r, C y), where they outrank it for good;
- new jobs: while its age is a < C r those predicted below r - a, with all of their work; then none.

Every function takes `rate`, arrivals per second; `jobs`; `lock`, the C above, 0 to 1; and `step_s`:
if not 0, service comes in steps of that many seconds (tokens, say) of which every job needs a whole
number, and only between two steps is anything preempted. Then an old job predicted y > r is before
the tagged one with each step that has begun, and for good from the last step before the age b; a
new job waits for the step's end and must be predicted below r less the age there. Each raises
ValueError where there is no steady state or an argument is impossible.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.limited_preemption.joint_sizes import JointSizes, Rows

_Floats: TypeAlias = NDArray[np.float64]

#: Part of a step that is rounding.
_ROUNDING = 1e-9


class Means(NamedTuple):
    """Means in steady state.

    `response_s`: of the time from arrival to end. `age_sum_s`: of the sum of the ages of all jobs
    in the system, in seconds of service: the memory that is held, if a job holds a unit for each
    second that it has been served. `preemptions`: of the preemptions of one job.
    """

    response_s: float
    age_sum_s: float
    preemptions: float


def limited_preemption(rate: float, jobs: JointSizes, lock: float, step_s: float = 0.0) -> Means:
    """Means over all jobs.

    With m = min(x, C r) and share(s), load(s) of the jobs predicted below s: the sum of ages is
    rate E[x^2 / 2 + int_0^m a load / (1 - load) da] (Little's law for every bit of age) and
    preemptions are rate E[int_0^m share da], both at s = r - a.
    """
    rows = _checked(rate, jobs, lock, step_s)
    x, r = jobs.sizes_s, jobs.predictions_s
    responses = limited_preemption_response_s(rate, jobs, lock, x, r, step_s)
    ages = 0.5 * x**2 + _while_open(rows, _delays(rate, rows), lock, step_s, x, r, power=1)
    met = rate * rows.shares if step_s == 0.0 else -np.expm1(-rate * step_s * rows.shares) / step_s
    return Means(
        response_s=float(jobs.chances @ responses),
        age_sum_s=float(rate * (jobs.chances @ ages)),
        preemptions=float(jobs.chances @ _while_open(rows, met, lock, step_s, x, r)),
    )


def limited_preemption_response_s(
    rate: float,
    jobs: JointSizes,
    lock: float,
    size_s: ArrayLike,
    prediction_s: ArrayLike,
    step_s: float = 0.0,
) -> _Floats:
    """Mean response of jobs of those sizes and predictions, in the shape of both.

    The wait, then x + int_0^m load / (1 - load) da at s = r - a (names as in
    `limited_preemption`).
    """
    rows = _checked(rate, jobs, lock, step_s)
    x, r = np.broadcast_arrays(_spans("size", size_s), _spans("prediction", prediction_s))
    stays = x + _while_open(rows, _delays(rate, rows), lock, step_s, x, r)
    return limited_preemption_wait_s(rate, jobs, lock, r, step_s) + stays


def limited_preemption_wait_s(
    rate: float, jobs: JointSizes, lock: float, prediction_s: ArrayLike, step_s: float = 0.0
) -> _Floats:
    """Mean time until jobs of those predictions are first served, in their shape.

    rate / 2 x (E[x^2; y <= r] + E[(x - b)^2; y > r, x > b]) / ((1 - below) (1 - up to)), of the
    loads of the jobs predicted below r and up to r; of dense jobs, between their predictions, by
    straight lines.
    """
    rows = _checked(rate, jobs, lock, step_s)
    asked, back = np.unique(_spans("prediction", prediction_s), return_inverse=True)
    r = rows.predictions_s if jobs.dense else asked
    squares = np.zeros(len(r))
    for k, y in enumerate(rows.predictions_s.tolist()):
        row = slice(rows.starts[k], rows.starts[k + 1])
        sizes, chances = jobs.sizes_s[row], jobs.chances[row]
        shorter = int(np.searchsorted(r, y))
        outranks = np.minimum(y - r[:shorter], lock * y)
        if step_s > 0.0:
            outranks = step_s * _steps_before(outranks, step_s)
        first, second = _beyond(sizes, chances, outranks)
        squares[:shorter] += second + step_s * (chances @ sizes - first)
        squares[shorter:] += chances @ sizes**2
    free = 1.0 - rate * rows.work_s
    below = free[np.searchsorted(rows.predictions_s, r, "left")]
    waits = 0.5 * rate * squares / (below * free[np.searchsorted(rows.predictions_s, r, "right")])
    if jobs.dense:
        waits = np.interp(asked, r, waits)
    return np.asarray(waits[back].reshape(np.shape(prediction_s)))


def _beyond(sizes: _Floats, chances: _Floats, least: _Floats) -> tuple[_Floats, _Floats]:
    """E[size - b; size > b] and E[(size - b)^2; size > b] for each b of `least`; sizes rise."""
    moments = chances * np.stack((np.ones(len(sizes)), sizes, sizes**2))
    sums = np.zeros((3, len(sizes) + 1))
    sums[:, :-1] = np.cumsum(moments[:, ::-1], axis=1)[:, ::-1]
    chance, mean, square = sums[:, np.searchsorted(sizes, least, "right")]
    return mean - least * chance, square - 2.0 * least * mean + least**2 * chance


def _delays(rate: float, rows: Rows) -> _Floats:
    """load / (1 - load) of the first so many predictions."""
    loads = rate * rows.work_s
    return np.asarray(loads / (1.0 - loads))


def _while_open(
    rows: Rows, values: _Floats, lock: float, step_s: float, x: _Floats, r: _Floats, power: int = 0
) -> _Floats:
    """int_0^m a^power value(r - a) da, m = min(x, C r), for jobs of sizes x and predictions r.

    value(s) is `values[k]` where k of the predictions are below s; `power` is 0 or 1. In steps:
    the sum over the ends of steps before m, times the step.
    """
    length = np.minimum(x, lock * r)
    if step_s == 0.0:
        whole = _integral(rows, values, r) - _integral(rows, values, r - length)
        if power == 0:
            return whole
        return r * whole - _integral(rows, values, r, 1) + _integral(rows, values, r - length, 1)
    last = _steps_before(length, step_s)
    total = np.zeros(last.shape)
    for k in range(1, int(last.max(initial=0.0)) + 1):
        open_ = last >= k
        age = k * step_s
        below = np.searchsorted(rows.predictions_s, r[open_] - (age + _ROUNDING * step_s))
        total[open_] += step_s * age**power * values[below]
    return total


def _integral(rows: Rows, values: _Floats, end: _Floats, power: int = 0) -> _Floats:
    """int_0^end s^power value(s) ds."""
    knots = np.concatenate(([0.0], rows.predictions_s)) ** (power + 1) / (power + 1)
    sums = np.concatenate(([0.0], np.cumsum(np.diff(knots) * values[:-1])))
    k = np.searchsorted(rows.predictions_s, end)
    return np.asarray(sums[k] + (end ** (power + 1) / (power + 1) - knots[k]) * values[k])


def _steps_before(age_s: _Floats, step_s: float) -> _Floats:
    """Steps that end before that age."""
    return np.asarray(np.maximum(0.0, np.ceil(age_s / step_s - _ROUNDING) - 1.0))


def _spans(name: str, values: ArrayLike) -> _Floats:
    spans = np.asarray(values, dtype=np.float64)
    wrong = ~(np.isfinite(spans) & (spans >= 0.0))
    if wrong.any():
        raise ValueError(f"a {name} is {spans[wrong][0]} s, not a finite number >= 0")
    return spans


def _checked(rate: float, jobs: JointSizes, lock: float, step_s: float) -> Rows:
    """The rows of the jobs."""
    if not 0.0 <= lock <= 1.0:
        raise ValueError(f"lock {lock}, not in 0 to 1")
    mean_s = float(jobs.rows.work_s[-1])
    if not (rate > 0.0 and 0.0 < rate * mean_s < 1.0):
        raise ValueError(f"no steady state: rate {rate}, mean size {mean_s} s")
    if not 0.0 <= step_s < np.inf:
        raise ValueError(f"steps of {step_s} s, not finite and >= 0")
    if step_s > 0.0:
        steps = jobs.sizes_s / step_s
        broken = np.abs(steps - np.round(steps)) > 1e-6
        if broken.any():
            raise ValueError(f"a size of {jobs.sizes_s[broken][0]} s in steps of {step_s} s")
    return jobs.rows
