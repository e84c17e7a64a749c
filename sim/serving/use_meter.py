"""Who uses a replica: its GPUs' active seconds and its KV memory, by request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.hardware.metering import StepUse
from sim.serving.tally import kv_tokens_in_batch
from sim.serving.use_log import UseLog

if TYPE_CHECKING:
    from sim.serving.replica import Replica


class RequestUse:
    """The meter of one replica (see `UseMeter`): accounts `prefill` and `decode`, and of memory
    also `waiting` and `calls`, for KV of requests that are not in the batch.

    How active seconds are shared, `UseLog` says. `held_s` is a request's tokens' share of the pool.
    One whose devices fail is told as unfinished.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._capacity = replica.pool.total_blocks * replica.batch.block_tokens
        # What had been used by the end of the last step.
        self._told = (replica.group.active_at(replica.simulation.now), 0.0, 0.0, 0.0, 0.0, 0.0)
        self._log = UseLog(replica)

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """See `UseMeter`."""
        replica, log = self._replica, self._log
        tally, run, used = replica.tally, replica.run, log.used
        held = tally.kv_token_s
        steps, part = replica.batch.steps, 0.0
        begun = None
        stood_s = 0.0
        if run.live:
            steps, part, begun = log.so_far(run, now_s)
            held += tally.held_in_run(run, now_s)
        elif replica._planned is not None:
            stood_s = now_s - replica._told_s
            log.stand(stood_s)
            held += kv_tokens_in_batch(replica) * stood_s
        log.settle(steps, part)
        if last:
            self._tell_unfinished()
        waiting, calls = replica.held.area(now_s), replica.calls.held.area(now_s)
        active_s = replica.group.active_at(now_s)
        totals = active_s, used.prefill_s, held, used.prefill_held, waiting, calls
        active_s, given_s, held, prefill_held, waiting, calls = (
            now - before for now, before in zip(totals, self._told, strict=True)
        )
        self._told = totals
        capacity = self._capacity
        use = StepUse(
            {"prefill": given_s, "decode": active_s - given_s},
            {
                "prefill": prefill_held / capacity,
                "decode": (held - prefill_held) / capacity,
                "waiting": waiting / capacity,
                "calls": calls / capacity,
            },
            used.turn(),
        )
        if last:
            return use
        if begun is not None:
            log.take_off(begun)
        elif stood_s:
            log.stand(-stood_s)
        return use

    def _tell_unfinished(self) -> None:
        """The run is over for those that are still here."""
        replica, log = self._replica, self._log
        for request in replica.requests():
            log.tell(request)
        log.tell_ended()
