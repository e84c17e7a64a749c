"""The operators of a transformer layer on one GPU of a tensor-parallel group."""

from __future__ import annotations

from collections.abc import Iterable

from models.collectives import RingCollectives
from models.efficiency import Efficiency
from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from models.roofline import Roofline
from models.transformer import Transformer, dtype_bytes

#: Seconds, and those seconds weighted by the share of the dynamic power range drawn.
Cost = tuple[float, float]

#: Element-wise kernels before attention.
_BEFORE = 3
_NARROW = 2.0  # bytes; activations have 16 bits beside narrower weights


def check_split(model: Transformer, tensor_parallel: int, pipeline_parallel: int) -> None:
    """Raise ConfigError where the model cannot be cut into so many parts."""
    for key, parts in (
        ("tensor_parallel", tensor_parallel),
        ("pipeline_parallel", pipeline_parallel),
    ):
        if isinstance(parts, bool) or not isinstance(parts, int) or parts < 1:
            raise ConfigError(f"{key} = {parts!r} must be a whole number >= 1")
    for what, count in (("heads", model.heads), ("ffn", model.ffn)):
        if count % tensor_parallel:
            raise ConfigError(
                f"tensor_parallel = {tensor_parallel} must divide {what} = {count} of {model.name}"
            )
    if model.kv_heads % tensor_parallel and tensor_parallel % model.kv_heads:
        raise ConfigError(
            f"tensor_parallel = {tensor_parallel} must divide kv_heads = {model.kv_heads} of "
            f"{model.name}, or be a multiple of it (heads are then copied)"
        )
    if model.layers % pipeline_parallel:
        raise ConfigError(
            f"pipeline_parallel = {pipeline_parallel} must divide layers = {model.layers} of "
            f"{model.name}"
        )


def kv_heads_per_gpu(model: Transformer, tensor_parallel: int) -> int:
    """KV heads that each GPU of the group keeps (copied where there are fewer than GPUs)."""
    return max(1, model.kv_heads // tensor_parallel)


class LayerOperators:
    """Costs of the operators of one layer, of the language-model head and of collectives.

    Matrix products of `tokens` rows by a k x n weight: 2 tokens k n FLOPs; weight, input and
    output bytes. With 8-bit weights on a card that has an 8-bit path, inputs have 8 bits and
    the 8-bit rate counts; without the path only the weight bytes shrink. Element-wise traffic
    per token: norms 4 h bytes each, additions 6 h, activation 6 f/tp (5 f/tp where its output
    has 8 bits; two thirds without a gate), rotary embedding, split and KV write together
    6 (heads + 2 kv heads) head_size / tp, for 16-bit activations.
    Prefill attention of q tokens after c cached ones: 4 q (c + q/2) heads head_size / tp FLOPs.
    """

    def __init__(
        self,
        model: Transformer,
        gpu: GpuSpec,
        efficiency: Efficiency,
        tensor_parallel: int = 1,
        weight_dtype: str = "fp16",
        kv_dtype: str = "fp16",
    ) -> None:
        check_split(model, tensor_parallel, 1)
        self.model = model
        self.peers = tensor_parallel
        weight = dtype_bytes(weight_dtype)
        self._weight_bytes = weight
        self._activation_bytes = max(weight, _NARROW)
        wide = gpu.flops_32bit if weight > _NARROW else gpu.flops_16bit
        if weight == 1.0 and gpu.flops_8bit is not None:
            flops = gpu.flops_8bit
            self._input_bytes = 1.0
        else:
            flops = wide
            self._input_bytes = self._activation_bytes
        self._efficiency = efficiency
        self._bandwidth = gpu.memory_bandwidth_bytes_per_s
        self._gemm = self._roofline(efficiency.gemm_compute * flops, efficiency.gemm_memory)
        self._head_gemm = self._roofline(efficiency.gemm_compute * wide, efficiency.gemm_memory)
        self._traffic_bytes_per_s = efficiency.elementwise_memory * self._bandwidth
        self._collectives = RingCollectives(
            bandwidth_bytes_per_s=efficiency.link * gpu.link_bandwidth_bytes_per_s,
            latency_s=efficiency.collective_s,
            hop_s=efficiency.collective_hop_s,
        )
        self._sends = RingCollectives(
            bandwidth_bytes_per_s=efficiency.send_link * gpu.link_bandwidth_bytes_per_s,
            latency_s=efficiency.send_s,
        )
        h = model.hidden
        #: What comes before attention is first, here as in `elementwise`.
        self.matrices: dict[str, tuple[int, int]] = {
            "attn_pre_proj": (h, self._qkv_width()),
            "attn_post_proj": (model.attention_width // tensor_parallel, h),
            "mlp_up_proj": (h, model.up_width // tensor_parallel),
            "mlp_down_proj": (model.ffn // tensor_parallel, h),
        }
        # Of each: FLOPs of a token, bytes of the weight, and of a token's input and output.
        self._work = [
            (
                2.0 * k * n,
                self._weight_bytes * k * n,
                self._input_bytes * k + self._activation_bytes * n,
            )
            for k, n in self.matrices.values()
        ]
        self.elementwise: dict[str, float] = self._elementwise_bytes()
        self._set_attention(gpu, kv_dtype)

    def matrix_work(self, name: str, tokens: int) -> tuple[float, float]:
        """FLOPs and bytes of one of `matrices` for `tokens` tokens."""
        k, n = self.matrices[name]
        moved = (
            self._weight_bytes * k * n
            + self._input_bytes * tokens * k
            + self._activation_bytes * tokens * n
        )
        return 2.0 * tokens * k * n, moved

    def matrix(self, name: str, tokens: int) -> Cost:
        """One of `matrices` for `tokens` tokens."""
        return self._gemm.cost(*self.matrix_work(name, tokens))

    def traffic(self, name: str, tokens: int) -> Cost:
        """One of `elementwise` for `tokens` tokens: its bytes, or the shortest such kernel."""
        (cost,) = self._traffic([self.elementwise[name]], tokens)
        return cost

    def all_reduce(self, tokens: int) -> Cost:
        """Sum of the hidden states of `tokens` tokens over the group."""
        seconds = self._collectives.all_reduce(self._hidden_bytes(tokens), self.peers)
        return seconds, min(1.0, self._efficiency.power_link) * seconds

    def send(self, tokens: int) -> float:
        """Seconds to hand hidden states to the next pipeline stage, each peer its own part."""
        return self._sends.send(self._hidden_bytes(tokens) / self.peers)

    def linear(self, tokens: int) -> Cost:
        """All of a layer but attention proper: what depends on the token count alone."""
        _, whole = self.linear_parts(tokens)
        return whole

    def before_attention(self, tokens: int) -> Cost:
        """The part of `linear` that comes before attention."""
        before, _ = self.linear_parts(tokens)
        return before

    def linear_parts(self, tokens: int) -> tuple[Cost, Cost]:
        """The part of `linear` that comes before attention (norm, projection, rotary embedding,
        KV write), and all of it."""
        cost = self._gemm.cost
        matrices = [
            cost(tokens * flops, fixed + tokens * each) for flops, fixed, each in self._work
        ]
        traffic = self._traffic(self.elementwise.values(), tokens)
        before = [matrices[0], *traffic[:_BEFORE]]
        parts = [*matrices, *traffic, *[self.all_reduce(tokens)] * 2]
        seconds = self._efficiency.layer_overhead_s + sum([s for s, _ in parts])
        return (
            (sum([s for s, _ in before]), sum([a for _, a in before])),
            (seconds, sum([a for _, a in parts])),
        )

    def head(self, sampled: int) -> Cost:
        """Language-model head on `sampled` tokens, and the gathering of its logits."""
        if sampled == 0:
            return 0.0, 0.0
        h, columns = self.model.hidden, self.model.vocab / self.peers
        width = self._activation_bytes
        moved = width * (h * columns + sampled * (h + columns))
        seconds, active = self._head_gemm.cost(2.0 * sampled * h * columns, moved)
        gather = self._collectives.all_gather(width * sampled * self.model.vocab, self.peers)
        return seconds + gather, active + min(1.0, self._efficiency.power_link) * gather

    def chunk(self, size: int) -> tuple[Cost, Cost]:
        """Prefill attention of a layer for `size` tokens: what they cost among themselves, and
        more for each cached token before them (the longer of its FLOPs and its bytes)."""
        per_cached = self._attention(size * self._pair_s, self._kv_s)
        own_s, own_active = self._attention(0.5 * size * size * self._pair_s, size * self._kv_s)
        return (self._efficiency.attention_kernel_s + own_s, own_active), per_cached

    def decode(self) -> tuple[float, Cost]:
        """Decode attention of a layer: fixed time, and what each KV token read costs."""
        return self._efficiency.attention_kernel_s, self._attention(self._pair_s, self._kv_s)

    def _traffic(self, moved: Iterable[float], tokens: int) -> list[Cost]:
        """Kernels that move so many bytes a token."""
        least_s = self._efficiency.elementwise_kernel_s
        power = min(1.0, self._efficiency.power_memory)
        moving = [each * tokens / self._traffic_bytes_per_s for each in moved]
        return [(max(least_s, moving_s), power * moving_s) for moving_s in moving]

    def _attention(self, compute_s: float, memory_s: float) -> Cost:
        work_s = max(compute_s, memory_s)
        e = self._efficiency
        return work_s, min(work_s, e.power_compute * compute_s + e.power_memory * memory_s)

    def _roofline(self, flops: float, share: float) -> Roofline:
        e = self._efficiency
        return Roofline(
            flops_per_s=flops,
            bytes_per_s=share * self._bandwidth,
            exponent=e.roofline_exponent,
            kernel_s=e.kernel_s,
            power_compute=e.power_compute,
            power_memory=e.power_memory,
        )

    def _qkv_width(self) -> int:
        model, peers = self.model, self.peers
        heads = model.heads // peers + 2 * kv_heads_per_gpu(model, peers)
        return heads * model.head_size

    def _elementwise_bytes(self) -> dict[str, float]:
        model, peers, wide = self.model, self.peers, self._activation_bytes
        norm = 2.0 * wide * model.hidden
        ins = model.up_width // peers
        rotated = model.head_size * (model.heads // peers + kv_heads_per_gpu(model, peers))
        traffic = {
            "input_layernorm": norm,
            "attn_rope": 2.0 * wide * rotated,
            "attn_kv_write": 3.0 * wide * self._qkv_width() - 2.0 * wide * rotated,
            "post_attention_layernorm": norm,
            "mlp_act": wide * ins + self._input_bytes * (model.ffn // peers),
            "add": 3.0 * wide * model.hidden,
        }
        if model.parallel_attention:
            del traffic["post_attention_layernorm"]
        return traffic

    def _set_attention(self, gpu: GpuSpec, kv_dtype: str) -> None:
        model, e = self.model, self._efficiency
        width = dtype_bytes(kv_dtype)
        reads = e.decode_attention_memory if width >= _NARROW else e.decode_attention_memory_8bit
        kv_bytes = 2.0 * kv_heads_per_gpu(model, self.peers) * model.head_size * width
        wide = gpu.flops_32bit if self._activation_bytes > _NARROW else gpu.flops_16bit
        self._pair_s = (
            4.0 * model.attention_width / self.peers / (e.prefill_attention_compute * wide)
        )
        self._kv_s = kv_bytes / (reads * self._bandwidth)

    def _hidden_bytes(self, tokens: int) -> float:
        return self._activation_bytes * tokens * self.model.hidden
