"""Choice of no timeline."""

from __future__ import annotations


def no_timeline() -> None:
    """No timeline is written."""
    return
