"""Moves of flows that were asked for, where packets are rates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.network_functions.sketch import Integers
from sim.dataplane.places import Places


class AskedMoves:
    """Flows whose entries are to change sides, in the order in which that was asked."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._flows = np.zeros(0, np.int64)
        self._to_nic = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self._flows)

    def ask(self, flows: Integers, to_nic: NDArray[np.bool_]) -> None:
        """Move these flows, when their turn has come."""
        self._flows = np.concatenate((self._flows, flows))
        self._to_nic = np.concatenate((self._to_nic, to_nic))

    def ask_each(self, flows: Mapping[int, bool]) -> None:
        """Move each to the NIC where True, else to the host."""
        number = len(flows)
        self.ask(
            np.fromiter(flows.keys(), np.int64, number), np.fromiter(flows.values(), bool, number)
        )

    def carry_out(self, most: int) -> int:
        """Move up to `most` flows of those that go on and are not there yet; returns how many."""
        if most <= 0 or not len(self._flows):
            return 0
        places, flows, to_nic = self._places, self._flows, self._to_nic
        at = flows % places.flows
        due = np.flatnonzero(places.current(flows) & (places.member[at] != to_nic))
        # What was asked for again meanwhile moves once.
        due = due[np.sort(np.unique(at[due], return_index=True)[1])][:most]
        rest = int(due[-1]) + 1 if len(due) == most else len(flows)
        self._flows, self._to_nic = flows[rest:], to_nic[rest:]
        come = to_nic[due]
        places.set(at[due[come]], True)
        places.set(at[due[~come]], False)
        return len(due)
