"""The report of a run: one self-contained HTML page, from the run's folder alone."""

from experiments.report.page import write_report
from experiments.report.picture import picture

__all__ = ["picture", "write_report"]
