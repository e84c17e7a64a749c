"""Many runs: sweeps, tables of them, comparisons with intervals, regression checks."""

from experiments.study.collect import collect
from experiments.study.compare import compare
from experiments.study.sweep import sweep

__all__ = ["collect", "compare", "sweep"]
