"""Figures as a reader wants them. None and NaN give a dash."""

from __future__ import annotations

import math

DASH = "\u2013"

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def known(value: object) -> float | None:
    """A metric's value as a number; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def digits(value: float, figures: int = 3) -> str:
    """So many significant figures, no exponent, thousands apart."""
    if value == 0.0:
        return "0"
    exponent = int(f"{value:.{figures - 1}e}".partition("e")[2])
    places = figures - 1 - exponent
    if places <= 0:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{figures}g}"
    return f"{value:,.{places}f}"


def number(value: object) -> str:
    """A count as it is, anything else to three figures."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    value = known(value)
    return DASH if value is None else digits(value)


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 request", "2,000 requests"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def seconds(value: object) -> str:
    """A duration in the unit that suits it."""
    value = known(value)
    if value is None:
        return DASH
    if value == 0.0:
        return "0 s"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        # What rounds up to 1,000 of a unit is 1 of the next.
        if abs(value) >= 0.9995 * unit:
            return f"{digits(value / unit)} {name}"
    return f"{digits(value / 1e-9)} ns"


def percent(value: object) -> str:
    """A share."""
    value = known(value)
    if value is None:
        return DASH
    if 0.0 < abs(value) < 0.001:
        return "< 0.1 %"
    # What is not the whole never shows as 100 %.
    places = 0 if 0.1 <= abs(value) < 0.99 or abs(value) >= 1.0 else 1
    return (
        "> 99.9 %" if 0.9995 <= value < 1.0 else f"{100 * value:.{places}f} %".replace(".0 %", " %")
    )


def amount(value: object, unit: str) -> str:
    """A quantity with an SI prefix where it is large: 12.3 kJ."""
    value = known(value)
    if value is None:
        return DASH
    for scale, prefix in _SI:
        if abs(value) >= 0.9995 * scale:
            return f"{digits(value / scale)} {prefix}{unit}"
    return f"{digits(value)} {unit}"


def plain(value: object) -> str:
    """A metric in full, for the table of all of them."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.10g}"
    return DASH if value is None else str(value)
