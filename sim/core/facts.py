"""How observers learn of what happened, without the systems knowing them.

A fact is a small immutable record. A system asks once for the list of listeners of a fact type
and, where that list is not empty, builds the fact and calls each of them. An observer only reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Listener: TypeAlias = Callable[[Any], None]


class Facts:
    """Listeners by type of fact."""

    def __init__(self) -> None:
        self._listeners: dict[type, list[Listener]] = {}

    def listeners(self, fact: type) -> list[Listener]:
        """The live list of listeners of a fact type: keep it, test it, call each."""
        return self._listeners.setdefault(fact, [])

    def subscribe(self, fact: type, listener: Listener) -> None:
        """Call `listener` with every fact of that type."""
        self.listeners(fact).append(listener)

    def emit(self, fact: object) -> None:
        """Tell the listeners; for places that are not in an inner loop."""
        for listener in self.listeners(type(fact)):
            listener(fact)


class Observer(Protocol):
    """Reads facts and adds figures or tables to the result; never steers."""

    def attach(self, simulation: Any) -> None:
        """Subscribe to facts, before the systems start."""
        ...

    def finish(self, results: Any) -> None:
        """The run has ended: put figures and tables into `results` (`sim.core.result.Draft`)."""
        ...
