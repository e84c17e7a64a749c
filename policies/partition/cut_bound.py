"""A lower bound on the host's cycles by minimum cuts, for problem A.

With a price on a NIC core's cycle and on an insertion, and memory without limit, the cheapest side
of every block and packet type is a minimum cut; prices that make it dearest give the best bound
(Lagrange). It knows nothing of the search and judges its optimum. A plan obeys all that the cut
does, and more: sides of all states at once, insertions into both copies of one, one round trip,
blocks on or off for all types.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import floor, inf, sqrt

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from models.network_functions.cost_model import CostModel
from models.network_functions.traffic import CLASS_OF, PACKET_TYPES
from policies.partition.search import offloaded_numbers

#: Capacities become whole numbers, rounded down, of which all together stay within 32 bits.
_WHOLE = 1e9
#: Steps of each line search over a price; any price gives a bound.
_STEPS = 24


class CutGraph:
    """The cut for one number of offloaded flows. The source is the NIC, the sink the host: an edge
    costs where its first node is on the NIC's side and its second on the host's."""

    def __init__(self, model: CostModel, offloaded: float) -> None:
        self._model = model
        self._offloaded = offloaded
        self._nodes: dict[Hashable, int] = {"nic": 0, "host": 1}
        self._edges: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self._never: set[tuple[int, int]] = set()
        self._groups()
        weights = model.weights(offloaded)
        for packet in PACKET_TYPES:
            before: Hashable = "nic"
            for b in model.program.executed(CLASS_OF[packet]):
                self._edge(before, (b, packet), host=weights[packet] * model.stack.io_cycles)
                self._block(b, packet, weights[packet])
                before = (b, packet)

    def least_cycles(self, cycle_price: float, insert_price: float) -> float:
        """Host cycles, priced NIC cycles and priced insertions of the cheapest cut, for a packet;
        inf where nothing can run the program."""
        costs = {
            edge: host + cycle_price * nic + insert_price * inserts
            for edge, (host, nic, inserts) in self._edges.items()
            if edge not in self._never
        }
        scale = _WHOLE / max(sum(costs.values()), 1e-9)
        whole = {edge: floor(cost * scale) for edge, cost in costs.items()}
        never = sum(whole.values()) + 1
        whole.update(dict.fromkeys(self._never, never))
        rows, columns = zip(*whole, strict=True)
        data = np.fromiter(whole.values(), dtype=np.int32, count=len(whole))
        size = len(self._nodes)
        graph = csr_array((data, (rows, columns)), shape=(size, size), dtype=np.int32)
        flow = int(maximum_flow(graph, 0, 1).flow_value)
        return inf if flow >= never else flow / scale

    def _groups(self) -> None:
        """States with one owner: entries of offloaded flows, and all others. Only the offloaded
        ones of a state of flows may be at the NIC alone, and then they move as flows come and go.
        """
        model = self._model
        profile = model.profile
        moved = min(self._offloaded, profile.flows) / profile.flows
        share = moved / profile.packets_per_flow
        for state in model.program.states:
            if state.replicable:
                continue
            self._forbid((state.name, False), (state.name, True))
            if not state.per_flow:
                self._forbid((state.name, True), (state.name, False))
                continue
            moves = 2.0 * (state.entries_per_flow or 0.0) * share
            self._edge(
                (state.name, True),
                (state.name, False),
                host=moves * model.stack.move_cycles,
                inserts=moves,
            )

    def _block(self, b: int, packet: str, weight: float) -> None:
        model = self._model
        block = model.program.blocks[b]
        node = (b, packet)
        self._edge("nic", node, host=weight * model.host.block_cycles[b])
        in_tables = block.match_action and model.nic.match_tables is not None
        if not model.capable[b]:
            self._forbid(node, "host")
        elif not in_tables:
            self._edge(node, "host", nic=weight * model.at_nic.issue_cycles[b])
        for name, uses in block.uses.items():
            if model.program.state(name).replicable:
                continue
            group = (name, packet == "EH")
            self._forbid(node, group)
            if not uses.only_inserts:
                self._forbid(group, node)
            elif model.nic.cpu_cycle_ratio is None:
                self._edge((name, False), "host", inserts=weight * uses.inserts)
            else:
                self._edge((name, False), node, inserts=weight * uses.inserts)
            surcharge = uses.inserts * model.stack.nic_insert_cycles
            self._edge((name, False), node, host=weight * surcharge)

    def _edge(
        self,
        at_nic: Hashable,
        at_host: Hashable,
        *,
        host: float = 0.0,
        nic: float = 0.0,
        inserts: float = 0.0,
    ) -> None:
        edge = self._edges[self._node(at_nic), self._node(at_host)]
        edge[0] += host
        edge[1] += nic
        edge[2] += inserts

    def _forbid(self, at_nic: Hashable, at_host: Hashable) -> None:
        self._never.add((self._node(at_nic), self._node(at_host)))

    def _node(self, name: Hashable) -> int:
        return self._nodes.setdefault(name, len(self._nodes))


def least_host_s(model: CostModel, offloaded: Sequence[float] | None = None) -> float:
    """No plan that holds the profile's rate, with one of those numbers of offloaded flows (None:
    the grid of a search), takes less of a host core for each packet."""
    if offloaded is None:
        offloaded = (0.0, *offloaded_numbers(model.profile.flows))
    return min(_bound(model, number) for number in offloaded) / model.cpu.clock_hz


def _bound(model: CostModel, offloaded: float) -> float:
    """The dearest cut over both prices, in cycles: one price after the other, twice."""
    graph = CutGraph(model, offloaded)
    nic = model.nic
    margin = model.stack.most_utilisation / model.profile.rate_pps
    free_cycles = margin * nic.cores * nic.clock_hz - nic.overhead_cycles
    free_inserts = margin * nic.inserts_per_s
    if free_cycles < 0.0:
        return inf

    def value(cycle_price: float, insert_price: float) -> float:
        paid = cycle_price * free_cycles + insert_price * free_inserts
        return graph.least_cycles(cycle_price, insert_price) - paid

    best = value(0.0, 0.0)
    if best == inf:
        return inf
    most_cycle = max(model.host.block_cycles)
    most_insert = sum(model.host.block_cycles) + model.stack.io_cycles
    most_insert *= model.profile.packets_per_flow
    cycle_price = insert_price = 0.0
    for _ in range(2):
        insert_price = _dearest(partial(value, cycle_price), most_insert)
        cycle_price = _dearest(partial(value, insert_price=insert_price), most_cycle)
        best = max(best, value(cycle_price, insert_price))
    return best


def _dearest(value: Callable[[float], float], most: float) -> float:
    """The price from 0 to `most` with the highest value, which is concave: by golden section."""
    low, high = 0.0, most
    golden = (sqrt(5.0) - 1.0) / 2.0
    left, right = high - golden * high, golden * high
    at_left, at_right = value(left), value(right)
    for _ in range(_STEPS):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = value(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = value(left)
    return max(((value(0.0), 0.0), (at_left, left), (at_right, right)))[1]
