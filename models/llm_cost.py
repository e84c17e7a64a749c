"""What an iteration of a transformer costs on a tensor- and pipeline-parallel group of GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from models.efficiency import Efficiency
from models.gpu_spec import GpuSpec
from models.layer_operators import LayerOperators, check_split
from models.micro_batches import micro_batches
from models.step_cost import StepCost
from models.transformer import Transformer

__all__ = ["Efficiency", "TransformerCost"]


class TransformerCost:
    """Iteration cost of `model` on GPUs of one kind.

    An iteration is, for each layer, the operators of `LayerOperators` over all tokens of the
    batch and attention proper by sequence; then the language-model head on the sampled tokens;
    then, or beside it, the host's time. The batch's token count fixes everything but
    attention, whose time is a line in the cached tokens. Each sequence's cached tokens grow by
    what it computes, so the duration of a run of iterations is a line in the step's index and
    a floor: exactly a `Ramp`.

    tensor_parallel: every layer is cut over so many GPUs, with two all-reduces a layer.
    pipeline_parallel: equal groups of layers stand on so many stages. The batch is cut into
    `min(stages, sequences)` micro-batches (see `micro_batches`), all of which pass through all
    stages before the next iteration. The longest one, that with most tokens, sets the fill
    time: sum over micro-batches of a stage's time, plus (stages - 1) times the longest and its
    hand-over; the head runs on the last stage for each micro-batch. Decodes' context is taken
    as spread evenly over them. `weight_dtype`, `kv_dtype`: fp32, fp16, bf16, fp8, int8, int4.

    `active` of a step is the mean over the group's GPUs. Raises ConfigError where the model
    cannot be cut so.
    """

    def __init__(
        self,
        model: Transformer,
        gpu: GpuSpec,
        efficiency: Efficiency,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        weight_dtype: str = "fp16",
        kv_dtype: str = "fp16",
    ) -> None:
        check_split(model, tensor_parallel, pipeline_parallel)
        self.model = model
        self.gpu = gpu
        self.efficiency = efficiency
        self.tensor_parallel = tensor_parallel
        self.pipeline_parallel = pipeline_parallel
        self.operators = LayerOperators(
            model, gpu, efficiency, tensor_parallel, weight_dtype, kv_dtype
        )
        layers = model.layers // pipeline_parallel
        self._layers = layers
        fixed_s, (per_s, per_active) = self.operators.decode()
        self._decode_s = layers * fixed_s
        self._context_s = layers * per_s
        self._context_active = layers * per_active
        self._launch_s = layers * efficiency.launch_per_layer_s
        self._host_s = efficiency.host_s
        self._sequence_s = efficiency.host_per_sequence_s
        self._overlapped = efficiency.host_overlapped
        # Costs of a stage by tokens, of the head by sampled tokens, of a chunk by its size.
        self._linear: dict[int, tuple[float, float]] = {}
        self._decodes: dict[int, tuple[float, float, float, float, float]] = {}
        self._fixed: dict[tuple[int, int], tuple[float, float]] = {}
        self._heads: dict[int, tuple[float, float]] = {}
        self._chunks: dict[int, tuple[float, float, float, float]] = {}

    def step(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        """Cost of iterations of this composition (see `IterationCost`); units: seconds."""
        if self.pipeline_parallel > 1:
            return self._pipelined(decodes, context_tokens, chunks, sampled)
        if chunks or sampled != decodes:
            return self._mixed(decodes, context_tokens, chunks, sampled)
        try:
            first, slope, floor, active, active_slope = self._decodes[decodes]
        except KeyError:
            first, slope, floor, active, active_slope = self._decode(decodes)
        first += self._context_s * context_tokens
        active += self._context_active * context_tokens
        return StepCost(first, slope, floor, active, active_slope)

    def _decode(self, decodes: int) -> tuple[float, float, float, float, float]:
        """Cost of decode iterations without what grows with the context they read."""
        cost = self._mixed(decodes, 0, (), decodes)
        kept = (cost.first, cost.slope, cost.floor, cost.active_first, cost.active_slope)
        self._decodes[decodes] = kept
        return kept

    def _mixed(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        tokens = decodes
        if decodes:
            context_s = self._context_s
            context_active = self._context_active
            first = self._decode_s + context_s * context_tokens
            slope = context_s * decodes
            active = context_active * context_tokens
            active_slope = context_active * decodes
        else:
            first = slope = active = active_slope = 0.0
        for cached, size in chunks:
            tokens += size
            try:
                own_s, cached_s, own_active, cached_active = self._chunks[size]
            except KeyError:
                own_s, cached_s, own_active, cached_active = self._chunk(size)
            first += own_s + cached_s * cached
            active += own_active + cached_active * cached
            slope += cached_s * size
            active_slope += cached_active * size
        try:
            fixed_s, fixed_active = self._fixed[tokens, sampled]
        except KeyError:
            fixed_s, fixed_active = self._fix(tokens, sampled)
        host = self._host_s + self._sequence_s * (decodes + len(chunks))
        if not self._overlapped:
            fixed_s += host
        return StepCost(
            first + fixed_s, slope, self._launch_s + host, active + fixed_active, active_slope
        )

    def _pipelined(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        stages = self.pipeline_parallel
        parts = micro_batches(decodes, chunks, stages)
        head_s, head_active = self._head_cached(-(-sampled // len(parts)))
        context = context_tokens / decodes if decodes else 0.0
        first = slope = active = active_slope = 0.0
        longest_tokens = -1
        longest_s = longest_slope = 0.0
        for part_decodes, part_chunks in parts:
            tokens = part_decodes
            read = part_decodes * context
            t = self._context_s * read + (self._decode_s if part_decodes else 0.0)
            a = self._context_active * read
            t_slope = self._context_s * part_decodes
            a_slope = self._context_active * part_decodes
            for cached, size in part_chunks:
                tokens += size
                own_s, cached_s, own_active, cached_active = self._chunk_cached(size)
                t += own_s + cached_s * cached
                a += own_active + cached_active * cached
                t_slope += cached_s * size
                a_slope += cached_active * size
            linear_s, linear_active = self._linear_cached(tokens)
            t += linear_s
            a += linear_active
            first += t + head_s
            slope += t_slope
            active += a + head_active / stages
            active_slope += a_slope
            if tokens > longest_tokens:
                longest_tokens = tokens
                longest_s, longest_slope = t, t_slope
        fill = stages - 1
        first += fill * (longest_s + self.operators.send(longest_tokens))
        slope += fill * longest_slope
        host = self._host_s + self._sequence_s * (decodes + len(chunks))
        floor = self._launch_s * (len(parts) + fill) + host
        if not self._overlapped:
            first += host
        return StepCost(first, slope, floor, active, active_slope)

    def _fix(self, tokens: int, sampled: int) -> tuple[float, float]:
        """Cost of what depends on the numbers of tokens and of sampled tokens alone."""
        linear_s, linear_active = self._linear_cached(tokens)
        head_s, head_active = self._head_cached(sampled)
        fixed = self._fixed[tokens, sampled] = (linear_s + head_s, linear_active + head_active)
        return fixed

    def _linear_cached(self, tokens: int) -> tuple[float, float]:
        return self._linear.get(tokens) or self._stage(tokens)

    def _head_cached(self, sampled: int) -> tuple[float, float]:
        return self._heads.get(sampled) or self._head(sampled)

    def _chunk_cached(self, size: int) -> tuple[float, float, float, float]:
        return self._chunks.get(size) or self._chunk(size)

    def _stage(self, tokens: int) -> tuple[float, float]:
        if tokens < 1:
            raise ValueError(f"an iteration needs at least one token, not {tokens}")
        seconds, active = self.operators.linear(tokens)
        cost = self._linear[tokens] = (self._layers * seconds, self._layers * active)
        return cost

    def _head(self, sampled: int) -> tuple[float, float]:
        if sampled < 0:
            raise ValueError(f"sampled tokens must be >= 0, not {sampled}")
        cost = self._heads[sampled] = self.operators.head(sampled)
        return cost

    def _chunk(self, size: int) -> tuple[float, float, float, float]:
        if size < 1:
            raise ValueError(f"a chunk needs at least one token, not {size}")
        (own_s, own_active), (cached_s, cached_active) = self.operators.chunk(size)
        n = self._layers
        cost = self._chunks[size] = (
            n * own_s,
            n * cached_s,
            n * own_active,
            n * cached_active,
        )
        return cost
