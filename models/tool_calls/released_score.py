"""The rank of LAMPS as its authors' release computes it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from models.tool_calls.waste import Handling


@dataclass(frozen=True, slots=True)
class ReleasedScore:
    """Memory over time in the release of LAMPS (github.com/mars-repository/mars-codebase).

    Rougher than `memory_time`: lengths in blocks of `block_tokens`; a segment costs as if all its
    tokens were prefilled in chunks beside the running batch, `saturated_s` each; the length before
    the call stands in for the one after it; a swap costs the square of the blocks, and
    `swapped_weight` per second of the call. The defaults are the release's: 0.1 ms a token and
    10 ms for 384 tokens, 48.4 ms.
    """

    saturated_s: float = 0.0484
    saturation_tokens: int = 384
    block_tokens: int = 64
    swapped_weight: float = 0.1

    def score(
        self,
        prompt_tokens: float,
        before_tokens: float,
        returned_tokens: float,
        call_s: float,
        handling: Handling,
        *,
        batch_tokens: int,
        returned: bool = False,
    ) -> float:
        """Lower goes first. `batch_tokens`: of the running batch; `returned`: the call is over.

        A preserved request runs on after its call and is not ranked again; where it is, under
        TRAIL's lock, what is left counts.
        """
        room = max(self.saturation_tokens - batch_tokens, 1)
        held = self.block_tokens * ceil((prompt_tokens + before_tokens) / self.block_tokens)
        new = self.block_tokens * ceil((before_tokens + returned_tokens) / self.block_tokens)
        blocks = held // self.block_tokens
        transfer = blocks * blocks / 4.0
        if handling == "preserve":
            first, call, last = self._volume(held, room), held * call_s, self._volume(new, room)
        elif handling == "swap":
            first = self._volume(held, room) + transfer
            call = self.swapped_weight * call_s
            last = transfer + self._volume(new, room)
        else:
            first, call, last = self._volume(held, room), 0.0, self._volume(held + new, room)
        return last if returned else first + call + last

    def _volume(self, tokens: int, room: int) -> float:
        """Token seconds of chunks of `room` tokens that pile up."""
        chunks = max(ceil(tokens / room), 1)
        return self.saturated_s * (chunks * (chunks + 1) / 2) * room
