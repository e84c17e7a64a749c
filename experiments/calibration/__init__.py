"""Fits of the cost model's constants to measurements, and the errors on rows kept from the fit."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """The comparisons named in `argv` (layers, collectives, iterations, serving; all without a
    name). Returns 0 where errors are within their bounds, 1 where not, 2 for bad input.
    `prog`: how the help calls the command."""
    from experiments.calibration.command import main as run

    return run(argv, prog)
