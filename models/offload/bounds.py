"""What offloading can gain at most, in closed form (for NEO, arXiv 2411.01142)."""

from __future__ import annotations

from typing import NamedTuple

from models.errors import ConfigError
from models.offload.offload_cost import OffloadCost

#: Prompts beside which one more is bound by computing on any GPU.
_SATURATING = 64


class Bounds(NamedTuple):
    """Seconds of one request, and what they allow of throughput over that of the GPUs alone.

    `prefill_s`: of its prompt, beside others that saturate the GPUs. `decode_s`: its share of the
    iterations of the GPUs alone, with their memory full. `host_s`: reading its KV on the host,
    where all of it decodes there. `pass_s`: what an iteration of two sub-batches with one prompt
    takes besides that: a pass through the weights for the second, which is narrow, decode attention
    on full GPUs, small kernels twice, and the host's own time; `wide_pass_s`: the same where the
    second is as wide as a request has tokens, as it is if one ends for each that begins.
    """

    prefill_s: float
    decode_s: float
    host_s: float
    pass_s: float
    wide_pass_s: float

    @property
    def prefill_ceiling(self) -> float:
        """All decoding is free."""
        return (self.prefill_s + self.decode_s) / self.prefill_s

    @property
    def host_ceiling(self) -> float:
        """The GPUs alone and the host add up, and the host never waits."""
        return 1.0 + (self.prefill_s + self.decode_s) / self.host_s

    @property
    def one_prefill_ceiling(self) -> float:
        """Each iteration has one prompt: NEO puts off those that are not needed to hide the
        host, so that one is left, and pays a pass for it."""
        return (self.prefill_s + self.decode_s) / (self.prefill_s + self.pass_s)

    @property
    def one_prefill_wide_ceiling(self) -> float:
        """The same, with all tokens of a request in the second sub-batch."""
        return (self.prefill_s + self.decode_s) / (self.prefill_s + self.wide_pass_s)


def bounds(cost: OffloadCost, prompt_tokens: int, output_tokens: int, gpu_kv_tokens: int) -> Bounds:
    """Bounds for requests of such lengths on GPUs that hold so many KV tokens: memory is taken to
    be full of requests half way through their output. Raises ConfigError where not one fits."""
    for key, value in (("prompt_tokens", prompt_tokens), ("output_tokens", output_tokens)):
        if value < 1:
            raise ConfigError(f"bounds: {key} = {value!r} must be >= 1")
    held = prompt_tokens + 0.5 * output_tokens
    if gpu_kv_tokens < held:
        raise ConfigError(
            f"bounds: gpu_kv_tokens = {gpu_kv_tokens!r} holds no request of {held:g} tokens"
        )
    batch = gpu_kv_tokens / held
    decodes = round(batch)
    iteration_s = cost.cost.step(decodes, gpu_kv_tokens, (), decodes).step(0)
    layers = cost.layers
    wide = _SATURATING * prompt_tokens
    prompt_s = cost.linear_s(wide + prompt_tokens) - cost.linear_s(wide)
    second_s = max(0.0, cost.linear_s(output_tokens) - cost.linear_s(decodes))
    pass_s = iteration_s + layers * cost.cost.efficiency.layer_overhead_s
    return Bounds(
        layers * (prompt_s + cost.prefill_s(prompt_tokens)),
        output_tokens * iteration_s / batch,
        output_tokens * held * layers * cost.kv_bytes / cost.host.read_bytes_per_s,
        pass_s,
        pass_s + layers * second_s,
    )
