"""What the requests of one replica have used, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.carbon.signal import Floats
from sim.hardware.metering import Ended

Ints = NDArray[np.int64]

#: Numbers of a run in the log: active seconds of the first iteration, and how many more of each
#: next one; iterations; decodes in each, and the KV tokens that one more would read; seconds, and
#: the integral over them of its step's number; the batch's steps at its end.
RUN = Struct("8d")
#: Of a piece of a prompt: place of its run, tokens, slot, KV before; tokens and active seconds of
#: the last iteration, where they differ.
PIECE = Struct("6d")
#: Of a stay in the batch: places of the first run in it and after it, KV and steps when it began,
#: steps at its end, slot.
STAY = Struct("6d")
#: Of what is given outright: slot, active seconds, KV tokens x seconds.
GIVEN = Struct("3d")
#: Of a run under a power cap: its place; steps that this has saved the paying of, and the sum of
#: their numbers from the start of the log.
EASED = Struct("3d")
#: Requests that there is room for at first.
SLOTS = 64


def _columns(log: bytearray, row: Struct) -> Floats:
    return np.frombuffer(log).reshape(-1, row.size // 8).T.copy()


def _until(values: Floats) -> Floats:
    """Sums of all before each, and of all."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


class Used:
    """Active seconds and KV tokens x seconds of each request in the step under way, and in the
    steps before of those that have not ended.

    A request has a slot from its first piece until it has ended and that is settled. `free`: slots
    of nobody. `prefill_s`, `prefill_held`: what has gone to pieces of prompts.
    """

    def __init__(self, per_kv_s: float, capacity: int) -> None:
        self.step = 0
        self.free: list[int] = []
        self.prefill_s = self.prefill_held = 0.0
        self._per_kv_s = per_kv_s
        self._capacity = capacity
        # By slot, and a last one, -1, for those who never had any.
        self._active, self._held = np.zeros(1), np.zeros(1)
        # Slot, step, active seconds and held share of the steps before.
        self._before = np.zeros((4, 0))
        self._ended = Ended()
        self._parts: list[Floats] = []

    def grow(self) -> None:
        """Room for more requests."""
        size = len(self._active) - 1
        more = max(SLOTS, size)
        self._active, self._held = (
            np.concatenate([own[:-1], np.zeros(more + 1)]) for own in (self._active, self._held)
        )
        self.free.extend(range(size, size + more))

    def settle(
        self,
        runs: bytearray,
        pieces: bytearray,
        stays: bytearray,
        given: bytearray,
        eased: bytearray,
        steps: int,
    ) -> None:
        """Share out what is in the log since the batch had made so many steps.

        Of an iteration's active seconds a decode takes those of reading its KV, the rest goes
        evenly to the tokens computed. A decode's share is a difference of sums, from the start of
        this log, between its leaving and its joining.
        """
        first_s, more_s, k, decodes, context, lasted_s, number_s, after = _columns(runs, RUN)
        before = after - steps - k * (decodes > 0.0)
        context -= k * decodes
        slots, used_s, held = _columns(given, GIVEN)
        many = len(k)
        if pieces:
            at, tokens, slot, kv, last, last_s = _columns(pieces, PIECE)
            at = at.astype(np.int64) // RUN.size
            k -= np.bincount(at, last > 0.0, many)
            computed = decodes + np.bincount(at, tokens, many)
            each_s = self._rest_s(first_s, more_s, k, decodes, context) / computed
            own = decodes[at]
            # Where there is no last iteration, the rest of it is nothing.
            last_s -= (last > 0.0) * self._per_kv_s * (context[at] + k[at] * own)
            last_s /= np.maximum(own + last, 1.0)
            piece_s = each_s[at] * tokens + last_s * last
            each_s += np.bincount(at, last_s, many)
            piece_held = kv * lasted_s[at] + tokens * number_s[at]
            self.prefill_s += float(piece_s.sum())
            self.prefill_held += float(piece_held.sum())
            slots, used_s = np.concatenate([slots, slot]), np.concatenate([used_s, piece_s])
            held = np.concatenate([held, piece_held])
        else:
            each_s = self._rest_s(first_s, more_s, k, decodes, context) / decodes
        if stays:
            decoding = decodes > 0.0
            token_s, clock_s = _until(each_s * decoding), _until(lasted_s)
            area = _until(before * lasted_s + number_s * decoding)
            since, until, kv, joined, left, slot = _columns(stays, STAY)
            since, until = since.astype(np.int64) // RUN.size, until.astype(np.int64) // RUN.size
            made = left - joined
            read = made * (kv + 1) + made * (made - 1) / 2
            stay_s = clock_s[until] - clock_s[since]
            kv -= joined - steps
            decode_held = kv * stay_s + area[until] - area[since]
            if eased:
                at, *saved = _columns(eased, EASED)
                at = at.astype(np.int64) // RUN.size
                least, more = (_until(np.bincount(at, each, many).astype(float)) for each in saved)
                read -= (kv + 1) * (least[until] - least[since]) + more[until] - more[since]
            decode_s = token_s[until] - token_s[since] + self._per_kv_s * read
            slots, used_s = np.concatenate([slots, slot]), np.concatenate([used_s, decode_s])
            held = np.concatenate([held, decode_held])
        where, size = slots.astype(np.int64), len(self._active)
        self._active += np.bincount(where, used_s, size)
        self._held += np.bincount(where, held, size)

    def _rest_s(
        self, first_s: Floats, more_s: Floats, k: Floats, decodes: Floats, context: Floats
    ) -> Floats:
        """Active seconds of runs but for reading KV."""
        pairs = k * (k - 1) / 2
        each_s, read_s = more_s - self._per_kv_s * decodes, first_s - self._per_kv_s * context
        return k * read_s + pairs * each_s

    def end(
        self,
        slots: Sequence[int],
        ids: Sequence[int],
        kinds: Sequence[str],
        finished: bool,
    ) -> None:
        """These requests have ended, and all that they used is settled."""
        ended = self._ended
        first = len(ended.ids)
        ended.ids += ids
        ended.kinds += kinds
        ended.finished += [finished] * len(ids)
        where = np.array(slots)
        own = np.arange(first, first + len(ids), dtype=np.float64)
        if self._before.size:
            owners = np.full(len(self._active), -1.0)
            owners[where] = own
            owners[-1] = -1.0
            owner = owners[self._before[0].astype(np.int64)]
            gone = owner >= 0.0
            if gone.any():
                parts = self._before[:, gone]
                parts[0] = owner[gone]
                self._parts.append(parts)
                self._before = self._before[:, ~gone]
        self._parts.append(self._now(where, own))
        self._active[where] = self._held[where] = 0.0
        self.free += where[where >= 0].tolist()

    def turn(self) -> Ended:
        """The step is over; another begins. Returns who ended in it."""
        size = len(self._active)
        still = self._now(np.arange(size), np.arange(size, dtype=np.float64))
        if still.size:
            self._before = np.concatenate([self._before, still], axis=1)
            self._active[:] = self._held[:] = 0.0
        ended, self._ended = self._ended, Ended()
        if self._parts:
            owner, step, ended.active_s, ended.held_s = np.concatenate(self._parts, axis=1)
            ended.owner, ended.step = owner.astype(np.int64), step.astype(np.int64)
            self._parts = []
        self.step += 1
        return ended

    def _now(self, where: Any, own: Floats) -> Floats:
        """Parts of this step, of those in these slots that have any."""
        active_s, held = self._active[where], self._held[where]
        some = (active_s != 0.0) | (held != 0.0)
        step = np.full(int(some.sum()), float(self.step))
        return np.stack([own[some], step, active_s[some], held[some] / self._capacity])
