"""Facts about hardware: what observers may hear of devices, links and transfers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceChanged:
    """A device or link failed or was repaired, or its speed or power cap changed.

    `what`: "fail", "repair", "speed" or "cap"; `speed`: factor from now on, 0 while it is down
    (that of a cap depends on the work, and is no part of it).
    """

    time_s: float
    device: str
    what: str
    speed: float


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """Bytes went from `source` to `target` between `start_s` and `end_s` (last byte arrived).

    `moved_bytes` is less than `size_bytes` where the transfer was cancelled or a link failed.
    """

    start_s: float
    end_s: float
    source: str
    target: str
    size_bytes: float
    moved_bytes: float
    tag: str


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A tenant's task on a host CPU ran from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    device: str
    tenant: str
    core_seconds: float
    read_bytes: float


@dataclass(frozen=True, slots=True)
class HoldersChanged:
    """GPUs of the cluster were handed out or given back at this moment."""

    time_s: float
