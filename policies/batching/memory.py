"""What batching policies share about KV memory."""

from __future__ import annotations

from collections.abc import Sequence, Set

from policies.batching.contract import BatchView, Fate, Plan
from policies.ordering.contract import Place, RequestView

_NOBODY: Set[int] = frozenset()


class Room:
    """Free blocks and batch slots as a plan takes shape.

    `free`: blocks free after the growth of those that decode in the next iteration.
    `size`: requests in the batch. `gone`: ids of those that the plan preempts
    or evicts. `settled`: those, and the ids of requests that the plan computes and so may not be
    displaced any more.
    """

    __slots__ = (
        "_displaceable",
        "_fate",
        "_host_blocks",
        "_plan",
        "_view",
        "free",
        "gone",
        "settled",
        "size",
    )

    def __init__(self, view: BatchView, plan: Plan, fate: Fate) -> None:
        self._view = view
        self._plan = plan
        self._fate: Fate = fate
        self._host_blocks = -1
        self.free = view.free_blocks - view.growth(1)
        self.size = view.batch_size
        self.gone: Set[int] = _NOBODY
        self.settled: Set[int] = _NOBODY
        self._displaceable: Sequence[Place] | None = None

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

    def worst_running(self) -> Place | None:
        """The running request of the worst rank that may be displaced."""
        places = self._places()
        if self.settled:
            places = [place for place in places if place[1] not in self.settled]
            self._displaceable = places
        return max(places) if places else None

    def _places(self) -> Sequence[Place]:
        """Running requests that may be displaced, with their ranks; some of them may be settled."""
        if self._displaceable is None:
            self._displaceable = list(self._view.displaceable())
        return self._displaceable

    def order_holds(self) -> int:
        """For how many iterations nobody would be displaced anew."""
        return self._view.order_holds(self._places() if self._view.ordering_preemptive else ())

    def settle(self, request: RequestView) -> None:
        """The plan computes a request: it may no longer be displaced."""
        self.settled = self.settled | {request.id}

    def take_in(self, request: RequestView) -> bool:
        """Find a slot and blocks for a waiting request, at the cost of others where the order is
        preemptive. Returns False, and says which arrivals could change that, where there is
        none."""
        view = self._view
        if request.id in self.gone:
            return False
        need = view.blocks_to_admit(request)
        short = need + (view.reserve_blocks if self.size else 0)
        full = self.size >= view.max_sequences
        if not view.ordering_preemptive:
            if full:
                self._plan.arrivals = "none"
            if full or (short > self.free and not self.empty_out(request, need)):
                return False
        else:
            worst = self._displaceable_by(request) if full else None
            if full and worst is None:
                return False
            if short > self.free and short > self.free + self._within_reach(request):
                return False
            if worst is not None:
                self.preempt(worst, "keep")
            if short > self.free:
                self._make_way_for(request, short)
        self.free -= need
        self.size += 1
        return True

    def empty_out(self, newcomer: RequestView, need: int) -> bool:
        """Where nothing runs, take the KV of all others that wait, or are in a call, until the
        first can run: else it might wait for ever."""
        if self.size:
            return False
        self.free -= need
        self.evict_waiting((newcomer.rank, newcomer.id))
        self.free += need
        return self.free >= need

    def _displaceable_by(self, newcomer: RequestView) -> RequestView | None:
        """The worst running request, if the newcomer ranks before it."""
        worst = self.worst_running()
        if worst is None or (newcomer.rank, newcomer.id) >= worst[:2]:
            return None
        return worst[2]

    def _behind(self, newcomer: RequestView) -> tuple[list[RequestView], list[RequestView]]:
        """Waiting and running requests that rank behind the newcomer and may lose their KV, the
        worst running one last."""
        view = self._view
        place = (newcomer.rank, newcomer.id)
        waiting = [r for r in view.holders if (r.rank, r.id) > place and r.id not in self.gone]
        running = [
            request
            for rank, number, request in (sorted(self._places()) if view.ordering_takes_kv else ())
            if (rank, number) > place and number not in self.settled
        ]
        return waiting, running

    def _kept(self) -> list[tuple[int, RequestView]]:
        """Requests that the plan displaces with their KV, by place in the plan."""
        return [(i, r) for i, (r, fate) in enumerate(self._plan.preempt) if fate == "keep"]

    def _within_reach(self, newcomer: RequestView) -> int:
        """Blocks that would be free if all behind the newcomer lost their KV."""
        view = self._view
        waiting, running = self._behind(newcomer)
        held = waiting + running + [r for _, r in self._kept()]
        return sum(map(view.blocks_held, held)) + sum(map(view.blocks_next, running))

    def _make_way_for(self, newcomer: RequestView, need: int) -> None:
        """Free `need` blocks, which are within reach: first of waiting requests, then of those
        just displaced, then of running ones."""
        view = self._view
        self.free -= need
        self.evict_waiting((newcomer.rank, newcomer.id))
        preempted = list(self._plan.preempt)
        for i, request in self._kept():
            if self.free < 0:
                preempted[i] = (request, "recompute")
                self.free += view.blocks_held(request)
        self._plan.preempt = preempted
        _, running = self._behind(newcomer)
        while self.free < 0:
            self.preempt(running.pop(), "recompute")
        self.free += need

    def _host_free(self) -> int:
        if self._host_blocks < 0:
            self._host_blocks = self._view.host_blocks_free()
        return self._host_blocks
