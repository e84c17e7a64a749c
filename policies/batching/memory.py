"""What batching policies share about KV memory."""

from __future__ import annotations

from collections.abc import Set

from policies.batching.contract import BatchView, Fate, Plan
from policies.ordering.contract import RequestView

_NOBODY: Set[int] = frozenset()


class Room:
    """Free blocks and batch slots as a plan takes shape.

    `free`: blocks free after the growth of those that decode in the next iteration.
    `size`: requests in the batch. `gone`: ids of those that the plan preempts
    or evicts. `settled`: those, and the ids of requests that the plan computes and so may not be
    displaced any more.
    """

    __slots__ = ("_fate", "_host_blocks", "_plan", "_view", "free", "gone", "settled", "size")

    def __init__(self, view: BatchView, plan: Plan, fate: Fate) -> None:
        self._view = view
        self._plan = plan
        self._fate: Fate = fate
        self._host_blocks = -1
        self.free = view.free_blocks - view.growth(1)
        self.size = view.batch_size
        self.gone: Set[int] = _NOBODY
        self.settled: Set[int] = _NOBODY

    def secure_growth(self) -> None:
        """Make sure that those that decode can take their next step: where blocks run out, KV of
        waiting requests goes first, then running requests leave, the worst rank first."""
        if self.free >= 0:
            return
        self.evict_waiting()
        if self.free >= 0:
            return
        view = self._view
        for victim in sorted(view.running, key=lambda r: (view.rank(r), r.id), reverse=True):
            if self.free >= 0 or self.size == 1:
                return
            self.preempt(victim, self._fate)

    def preempt(self, request: RequestView, fate: Fate) -> None:
        """A running request leaves the batch."""
        view = self._view
        held = view.blocks_held(request)
        if fate == "swap" and held > self._host_free():
            fate = "recompute"
        if fate == "swap":
            self._host_blocks -= held
        self._plan.preempt = [*self._plan.preempt, (request, fate)]
        self.gone = self.gone | {request.id}
        self.settled = self.settled | {request.id}
        self.size -= 1
        self.free += view.blocks_next(request) + (0 if fate == "keep" else held)

    def evict_waiting(self, behind: tuple[float, int] | None = None) -> None:
        """Take KV from waiting requests, worst rank first, until no block is missing; with
        `behind`, only from those that rank behind that (rank, id)."""
        for holder in self._view.holders:
            if self.free >= 0:
                return
            if behind is not None and (holder.rank, holder.id) <= behind:
                return
            if holder.id in self.gone:
                continue
            self._plan.evict = [*self._plan.evict, (holder, "recompute")]
            self.gone = self.gone | {holder.id}
            self.free += self._view.blocks_held(holder)

    def worst_running(self) -> RequestView | None:
        """The running request of the worst rank that may be displaced."""
        view = self._view
        worst: RequestView | None = None
        place: tuple[float, int] = (0.0, 0)
        for request in view.running:
            if request.id in self.settled or view.locked(request):
                continue
            here = (view.rank(request), request.id)
            if worst is None or here > place:
                worst, place = request, here
        return worst

    def settle(self, request: RequestView) -> None:
        """The plan computes a request: it may no longer be displaced."""
        self.settled = self.settled | {request.id}

    def take_in(self, request: RequestView) -> bool:
        """Find a slot and blocks for a waiting request, at the cost of others where the order is
        preemptive. Returns False, and says which arrivals could change that, where there is
        none."""
        view = self._view
        preemptive = view.ordering_preemptive
        if request.id in self.gone:
            return False
        if self.size >= view.max_sequences and not (preemptive and self.displace_for(request)):
            if not preemptive:
                self._plan.arrivals = "none"
            return False
        need = view.blocks_to_admit(request)
        short = need + (view.reserve_blocks if self.size else 0)
        if short > self.free and not (preemptive and self.make_way_for(request, short)):
            return False
        self.free -= need
        self.size += 1
        return True

    def displace_for(self, newcomer: RequestView) -> bool:
        """Let the worst running request leave if the newcomer ranks before it."""
        worst = self.worst_running()
        if worst is None:
            return False
        if (newcomer.rank, newcomer.id) >= (self._view.rank(worst), worst.id):
            return False
        self.preempt(worst, "keep")
        return True

    def make_way_for(self, newcomer: RequestView, need: int) -> bool:
        """Free `need` blocks at the cost of requests that rank behind the newcomer: first of
        waiting ones, then of running ones. Changes nothing where that is not enough."""
        view = self._view
        place = (newcomer.rank, newcomer.id)
        behind = [r for r in view.holders if (r.rank, r.id) > place and r.id not in self.gone]
        victims = [
            r
            for r in view.running
            if r.id not in self.settled and not view.locked(r) and (view.rank(r), r.id) > place
        ]
        kept = [(i, r) for i, (r, fate) in enumerate(self._plan.preempt) if fate == "keep"]
        within_reach = sum(view.blocks_held(r) for r in behind + victims + [r for _, r in kept])
        if self.free + within_reach < need:
            return False
        self.free -= need
        self.evict_waiting(place)
        preempted = list(self._plan.preempt)
        for i, request in kept:
            if self.free < 0:
                preempted[i] = (request, "recompute")
                self.free += view.blocks_held(request)
        self._plan.preempt = preempted
        victims.sort(key=lambda r: (view.rank(r), r.id))
        while self.free < 0:
            self.preempt(victims.pop(), "recompute")
        self.free += need
        return True

    def _host_free(self) -> int:
        if self._host_blocks < 0:
            self._host_blocks = self._view.host_blocks_free()
        return self._host_blocks
