"""Memories: pools of equal blocks, and stores of bytes with named tenants."""

from __future__ import annotations

from collections.abc import Hashable

from sim.core.errors import CapacityError, LawBroken


class BlockPool:
    """A counted pool of equal blocks (of a KV cache), with groups that several holders share.

    Blocks are free, private (`take`, `release`) or in a shared group, which is stored and counted
    once however many hold it. `free`, `private` and `shared` are plain counters of blocks,
    `least_free` the fewest ever free. Every
    call checks, then acts.
    """

    __slots__ = ("_groups", "free", "least_free", "private", "shared", "total_blocks")

    def __init__(self, total_blocks: int) -> None:
        if total_blocks < 0:
            raise CapacityError(f"a pool of {total_blocks} blocks")
        self.total_blocks = total_blocks
        self.free = total_blocks
        self.least_free = total_blocks
        self.private = 0
        self.shared = 0
        self._groups: dict[Hashable, list[int]] = {}

    @property
    def used(self) -> int:
        """Blocks in use, private and shared."""
        return self.private + self.shared

    def take(self, blocks: int) -> None:
        """Take private blocks. Raises CapacityError if fewer are free."""
        if not 0 <= blocks <= self.free:
            self._refuse(blocks)
        free = self.free - blocks
        self.free = free
        if free < self.least_free:
            self.least_free = free
        self.private += blocks

    def release(self, blocks: int) -> None:
        """Give private blocks back. Raises LawBroken if fewer are private."""
        if not 0 <= blocks <= self.private:
            raise LawBroken(f"release of {blocks} blocks, {self.private} are private")
        self.free += blocks
        self.private -= blocks

    def share(self, key: Hashable, blocks: int) -> None:
        """Take blocks for a new group with one holder. Raises CapacityError if fewer are free,
        LawBroken if the group exists."""
        self._check_new(key)
        if not 0 <= blocks <= self.free:
            self._refuse(blocks)
        self.free -= blocks
        self.least_free = min(self.least_free, self.free)
        self.shared += blocks
        self._groups[key] = [blocks, 1]

    def publish(self, key: Hashable, blocks: int) -> None:
        """Turn private blocks into a new group with one holder. Raises LawBroken if fewer are
        private or the group exists."""
        self._check_new(key)
        if not 0 <= blocks <= self.private:
            raise LawBroken(f"publish of {blocks} blocks, {self.private} are private")
        self.private -= blocks
        self.shared += blocks
        self._groups[key] = [blocks, 1]

    def acquire(self, key: Hashable) -> int:
        """One holder more; returns the group's blocks. Raises LawBroken if there is no group."""
        group = self._groups.get(key)
        if group is None:
            raise LawBroken(f"acquire of group {key!r}, which does not exist")
        group[1] += 1
        return group[0]

    def drop(self, key: Hashable) -> int:
        """One holder less; returns the blocks that became free (those of the last holder).
        Raises LawBroken if nobody holds the group."""
        group = self._groups.get(key)
        if group is None:
            raise LawBroken(f"drop of group {key!r}, which nobody holds: its count would be -1")
        group[1] -= 1
        if group[1]:
            return 0
        del self._groups[key]
        self.shared -= group[0]
        self.free += group[0]
        return group[0]

    def holders(self, key: Hashable) -> int:
        """Number of holders of a group; 0 if it does not exist."""
        group = self._groups.get(key)
        return group[1] if group else 0

    def check(self) -> None:
        """Raise LawBroken unless free + used = total, no count is negative, and the groups hold
        what is counted as shared."""
        grouped = sum(blocks for blocks, _ in self._groups.values())
        if (
            self.free + self.private + self.shared != self.total_blocks
            or self.shared != grouped
            or min(self.free, self.private, self.shared) < 0
            or any(blocks < 0 or holders < 1 for blocks, holders in self._groups.values())
        ):
            raise LawBroken(
                f"blocks: {self.free} free + {self.private} private + {self.shared} shared "
                f"({grouped} in {len(self._groups)} groups) of {self.total_blocks}"
            )

    def _check_new(self, key: Hashable) -> None:
        if key in self._groups:
            raise LawBroken(f"group {key!r} exists already; acquire it")

    def _refuse(self, blocks: int) -> None:
        if blocks < 0:
            raise LawBroken(f"take of {blocks} blocks")
        raise CapacityError(f"{blocks} blocks asked, {self.free} of {self.total_blocks} free")


class ByteStore:
    """Bytes of a memory by named tenant (weights, KV of a replica, a flow table, ...)."""

    __slots__ = ("_held", "capacity_bytes", "name")

    def __init__(self, capacity_bytes: float, name: str = "memory") -> None:
        self.capacity_bytes = capacity_bytes
        self.name = name
        self._held: dict[str, float] = {}

    def take(self, tenant: str, size_bytes: float) -> None:
        """Give a tenant more bytes. Raises CapacityError if fewer are free."""
        if not size_bytes >= 0.0:
            raise ValueError(f"{self.name}: take of {size_bytes!r} bytes for {tenant}")
        if size_bytes > self.free_bytes:
            raise CapacityError(
                f"{self.name}: {tenant} asks {size_bytes:g} bytes, {self.free_bytes:g} of "
                f"{self.capacity_bytes:g} free"
            )
        self._held[tenant] = self._held.get(tenant, 0) + size_bytes

    def release(self, tenant: str, size_bytes: float | None = None) -> float:
        """Take bytes back (all of the tenant's by default); returns how many. Raises LawBroken
        if it holds fewer."""
        held = self._held.get(tenant, 0)
        if size_bytes is None:
            size_bytes = held
        if not 0.0 <= size_bytes <= held:
            raise LawBroken(f"{self.name}: {tenant} releases {size_bytes:g} bytes, holds {held:g}")
        if size_bytes == held:
            self._held.pop(tenant, None)
        else:
            self._held[tenant] = held - size_bytes
        return size_bytes

    def held_bytes(self, tenant: str) -> float:
        """Bytes of one tenant."""
        return self._held.get(tenant, 0)

    @property
    def tenants(self) -> dict[str, float]:
        """Bytes by tenant."""
        return dict(self._held)

    @property
    def used_bytes(self) -> float:
        """Bytes of all tenants."""
        return sum(self._held.values())

    @property
    def free_bytes(self) -> float:
        """Bytes left."""
        return self.capacity_bytes - self.used_bytes
