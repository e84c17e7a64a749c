"""The waiting requests of a replica in rank order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from sim.serving.request import Request

#: Passed entries at the front that are dropped together.
_SLACK = 1024


class RankQueue:
    """Requests sorted by (rank, id). Taking the head costs the same however many wait.

    `size` is their number.
    """

    __slots__ = ("_entries", "_head", "size")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Request | None]] = []
        self._head = 0
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Request]:
        entries = self._entries
        for i in range(self._head, len(entries)):
            yield entries[i][2]  # type: ignore[misc]

    def __reversed__(self) -> Iterator[Request]:
        entries = self._entries
        for i in range(len(entries) - 1, self._head - 1, -1):
            yield entries[i][2]  # type: ignore[misc]

    @property
    def head(self) -> Request | None:
        """The first request; None of an empty queue."""
        entries = self._entries
        return entries[self._head][2] if self._head < len(entries) else None

    def add(self, request: Request) -> None:
        """Put a request at its rank."""
        self.size += 1
        insort(self._entries, (request.rank, request.id, request), self._head)

    def remove(self, request: Request) -> bool:
        """Take a request out. Returns False if it is not here."""
        entries = self._entries
        head = self._head
        if head < len(entries) and entries[head][2] is request:
            self.size -= 1
            if not self.size:
                entries.clear()
                self._head = 0
                return True
            # The entry stays until enough have passed, without the request.
            entries[head] = (request.rank, request.id, None)
            head += 1
            if head >= _SLACK and 2 * head > len(entries):
                del entries[:head]
                head = 0
            self._head = head
            return True
        i = bisect_left(entries, (request.rank, request.id), head)
        if i == len(entries) or entries[i][2] is not request:
            return False
        del entries[i]
        self.size -= 1
        return True

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._head = self.size = 0
