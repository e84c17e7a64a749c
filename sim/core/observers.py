"""The choice of no observer."""

from __future__ import annotations


def nothing() -> None:
    """No observer."""
    return
