"""Exact energy of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.hardware.device import DeviceGroup


class PowerMeter:
    """Integral of a device's power: a standing draw that changes at known times, and the dynamic
    energy of runs, whose closed forms give it at any time without sampling.

    `idle_w`: draw without work. `peak_w`: draw at full dynamic range. `groups`: the groups that
    the device works in; `past`: full-power-equivalent seconds of those that are no more, by tenant.
    Watts, joules, seconds.
    """

    __slots__ = (
        "_idle_j",
        "_since_s",
        "_standing_j",
        "_standing_w",
        "groups",
        "idle_w",
        "past",
        "peak_w",
    )

    def __init__(self, idle_w: float, peak_w: float, now_s: float = 0.0) -> None:
        self.idle_w = idle_w
        self.peak_w = peak_w
        self.groups: list[DeviceGroup] = []
        self.past: dict[str, float] = {}
        self._standing_w = idle_w
        self._standing_j = 0.0
        self._idle_j = 0.0
        self._since_s = now_s

    def stand(self, watts: float, now_s: float) -> None:
        """The standing draw changes (switched off, asleep, back to idle)."""
        self._standing_j = self.standing_j(now_s)
        self._idle_j = self.idle_j(now_s)
        self._since_s = now_s
        self._standing_w = watts

    def standing_j(self, now_s: float) -> float:
        """Energy of the standing draw until now."""
        return self._standing_j + self._standing_w * (now_s - self._since_s)

    def idle_j(self, now_s: float) -> float:
        """Energy drawn without work until now: of the standing draw, what does not exceed
        `idle_w`."""
        watts = min(self._standing_w, self.idle_w)
        return self._idle_j + watts * (now_s - self._since_s)

    def dynamic_j(self, now_s: float) -> float:
        """Energy of work until now, over what stands."""
        active_s = sum(group.active_at(now_s) for group in self.groups)
        return (self.peak_w - self.idle_w) * (active_s + sum(self.past.values()))

    def energy_j(self, now_s: float) -> float:
        """Energy drawn until now."""
        return self.standing_j(now_s) + self.dynamic_j(now_s)

    def power_w(self, now_s: float) -> float:
        """Power at this moment."""
        share = sum(group.intensity_at(now_s) for group in self.groups)
        return self._standing_w + (self.peak_w - self.idle_w) * share
