"""The roofline of one kind of operator: compute and memory time joined by a p-norm."""

from __future__ import annotations

from dataclasses import dataclass


def p_norm(a: float, b: float, exponent: float) -> float:
    """(a^p + b^p)^(1/p) of two numbers >= 0, without overflow."""
    low, high = (a, b) if a < b else (b, a)
    if low == 0.0:
        return high
    return high * float((1.0 + (low / high) ** exponent) ** (1.0 / exponent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Reached rates of a kind of operator, and the power it draws.

    flops_per_s, bytes_per_s: reached, not peak. exponent: of the p-norm. kernel_s: fixed time
    of each kernel, drawing no dynamic power. power_compute, power_memory: share of the dynamic
    power range per second of compute and of memory traffic.
    """

    flops_per_s: float
    bytes_per_s: float
    exponent: float
    kernel_s: float
    power_compute: float
    power_memory: float

    def cost(self, flops: float, moved_bytes: float) -> tuple[float, float]:
        """Seconds of one kernel, and those seconds weighted by its share of dynamic power."""
        compute_s = flops / self.flops_per_s
        memory_s = moved_bytes / self.bytes_per_s
        work_s = p_norm(compute_s, memory_s, self.exponent)
        drawn = self.power_compute * compute_s + self.power_memory * memory_s
        return self.kernel_s + work_s, min(work_s, drawn)
