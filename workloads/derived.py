"""Workloads made of another's demands, one by one."""

from __future__ import annotations

from workloads.demand import Workload


class Derived:
    """Has as many demands as `workload`."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    @property
    def finite(self) -> bool:
        """Whether the demands end."""
        return self.workload.finite

    @property
    def count(self) -> int | None:
        """How many there are; None where that is not known."""
        return self.workload.count
