"""A model whose iterations follow a line that somebody profiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.constant_cost import LinearCost
from models.errors import CapacityError, ConfigError
from models.gpu_spec import GpuSpec
from models.hardware.sourced import check
from models.step_cost import IterationCost
from models.tool_calls.forward_time import ForwardTime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledModel:
    """One replica by its profile: a `models.served.Served`.

    gpus: of a replica. fixed_s, per_token_s: of an iteration, and of each token that it computes.
    swap_s_per_token: of moving a token's KV between GPUs and host, one way. kv_tokens: size of the
    KV cache. kv_bytes_per_token: over all GPUs. context_tokens: longest prompt + output.
    source: key -> document, for every number above.

    Raises ConfigError with key and value where a number is impossible or has no source.
    """

    name: str
    gpus: int
    fixed_s: float
    per_token_s: float
    swap_s_per_token: float
    kv_tokens: int
    kv_bytes_per_token: float
    context_tokens: int
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("profile", self, may_be_zero=("fixed_s",))
        for key in ("gpus", "kv_tokens", "context_tokens"):
            value = getattr(self, key)
            if not isinstance(value, int):
                raise ConfigError(f"profile {self.name}: {key} = {value!r} is not a whole number")

    @property
    def frontend(self) -> tuple[float, float]:
        """None: the profile holds iterations alone."""
        return 0.0, 0.0

    @property
    def forward(self) -> ForwardTime:
        """The line as formulas of tool calls take it."""
        return ForwardTime(self.fixed_s, self.per_token_s)

    def cost(self, gpu: GpuSpec) -> IterationCost:
        """The line, whatever the GPU."""
        return LinearCost(self.fixed_s, self.per_token_s)

    @property
    def layers(self) -> int:
        """One: the profile says nothing of layers."""
        return 1

    def offload(self, gpu: GpuSpec, per_sequence_s: float) -> None:
        """None, for the same reason."""
        return

    def block_bytes(self, block_tokens: int) -> float:
        return self.kv_bytes_per_token * block_tokens

    def kv_blocks(
        self, gpu: GpuSpec, block_tokens: int, memory_fraction: float, activation_bytes: float
    ) -> int:
        """Blocks of the KV cache of the profile, whatever the GPU's memory."""
        blocks = self.kv_tokens // block_tokens
        if blocks < 1:
            raise CapacityError(
                f"profile {self.name}: kv_tokens = {self.kv_tokens} hold no block of "
                f"{block_tokens} tokens; make blocks smaller"
            )
        return blocks
