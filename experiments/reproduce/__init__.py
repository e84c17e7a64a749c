"""Papers' claims: what was published, what a simulation gives, and whether that holds.

A paper is a module in `experiments/reproduce/papers/` with a `PAPER`; `example.py` shows one.
"""

from experiments.reproduce.accepted import Band, Finding, Order, Table, Trend
from experiments.reproduce.claim import Claim, NotRun, Paper, Plot, Study, data_file
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.runs import mean_interval, paired_interval, replicate, sweep
from experiments.reproduce.workers import Workers

__all__ = [
    "Band",
    "Claim",
    "Estimate",
    "Finding",
    "NotRun",
    "Order",
    "Paper",
    "Plot",
    "Study",
    "Table",
    "Trend",
    "Workers",
    "data_file",
    "mean_interval",
    "paired_interval",
    "replicate",
    "sweep",
]
