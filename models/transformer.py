"""Architectures of decoder-only transformers, and what follows from them: parameters, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import ConfigError

_BYTES = {
    "fp32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5,
}
_COUNTS = (
    "layers",
    "hidden",
    "heads",
    "kv_heads",
    "head_size",
    "ffn",
    "vocab",
    "max_context_tokens",
)
# Embeddings, norms and the head of a model with narrow weights stay at 16 bits.
_WIDE = 2.0


def dtype_bytes(dtype: str) -> float:
    """Bytes of one number of `dtype`. Raises ConfigError for an unknown name."""
    try:
        return _BYTES[dtype]
    except KeyError:
        raise ConfigError(f"dtype = {dtype!r} is not one of {', '.join(_BYTES)}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """Shape of a decoder-only transformer.

    layers, hidden, heads, kv_heads, head_size: as in its configuration file; `kv_heads` below
    `heads` is grouped-query attention. ffn: inner width of the MLP. vocab: rows of the
    embedding. max_context_tokens: longest sequence. gated_mlp: two up projections (SwiGLU).
    tied_embeddings: the head shares the embedding. parallel_attention: attention and MLP read
    the same norm (GPT-J). position_embeddings: rows of a learned position table (0: rotary).
    attention_bias, mlp_bias, norm_bias, head_bias: which operators add a bias.
    source: key -> document, for every number.

    Raises ConfigError with key and value.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    vocab: int
    max_context_tokens: int
    source: Mapping[str, str]
    gated_mlp: bool = True
    tied_embeddings: bool = False
    parallel_attention: bool = False
    position_embeddings: int = 0
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    head_bias: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("model: name is empty; give the model's name")
        for key in _COUNTS:
            value = getattr(self, key)
            where = f"model {self.name}: {key} = {value!r}"
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{where} must be a whole number >= 1")
            if not self.source.get(key):
                raise ConfigError(f"{where} has no entry in `source`")
        rows = self.position_embeddings
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
            raise ConfigError(
                f"model {self.name}: position_embeddings = {rows!r} must be a whole number >= 0"
            )
        if self.heads % self.kv_heads:
            raise ConfigError(
                f"model {self.name}: kv_heads = {self.kv_heads} must divide heads = {self.heads}"
            )

    @property
    def qkv_width(self) -> int:
        """Columns of the joint query, key and value projection."""
        return (self.heads + 2 * self.kv_heads) * self.head_size

    @property
    def attention_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_size

    @property
    def up_width(self) -> int:
        """Columns of the up projection, the gate's included."""
        return (2 if self.gated_mlp else 1) * self.ffn

    @property
    def layer_matrix_parameters(self) -> int:
        """Weights of the matrices of one layer (what every token multiplies)."""
        attention = self.hidden * self.qkv_width + self.attention_width * self.hidden
        return attention + self.hidden * (self.up_width + self.ffn)

    @property
    def layer_parameters(self) -> int:
        """All weights of one layer: matrices, biases, norms."""
        count = self.layer_matrix_parameters
        if self.attention_bias:
            count += self.qkv_width + self.hidden
        if self.mlp_bias:
            count += self.up_width + self.hidden
        norms = 1 if self.parallel_attention else 2
        return count + norms * self._norm_parameters

    @property
    def embedding_parameters(self) -> int:
        """Token and position tables."""
        return (self.vocab + self.position_embeddings) * self.hidden

    @property
    def head_parameters(self) -> int:
        """Weights of the language-model head that are not the embedding's."""
        matrix = 0 if self.tied_embeddings else self.vocab * self.hidden
        return matrix + (self.vocab if self.head_bias else 0)

    @property
    def parameters(self) -> int:
        """All weights of the model."""
        layers = self.layers * self.layer_parameters
        return layers + self._norm_parameters + self.embedding_parameters + self.head_parameters

    @property
    def _norm_parameters(self) -> int:
        return self.hidden * (2 if self.norm_bias else 1)

    def weight_bytes(self, dtype: str) -> float:
        """Bytes of the weights; below 16 bits only the layers' matrices are narrow."""
        width = dtype_bytes(dtype)
        narrow = self.layers * self.layer_matrix_parameters
        return width * narrow + max(width, _WIDE) * (self.parameters - narrow)

    def kv_bytes_per_token(self, dtype: str) -> float:
        """Bytes of the keys and values of one token, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_size * dtype_bytes(dtype)

    def flops_per_token(self) -> float:
        """FLOPs of the layers' matrices for one token (forward, attention proper left out)."""
        return 2.0 * self.layers * self.layer_matrix_parameters
