"""Duration of ring collectives by the alpha-beta model."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCollectives:
    """Collectives among equal peers, each with one link of `bandwidth_bytes_per_s` (reached,
    one direction). A collective takes `latency_s`, `hop_s` for each ring step, and the time of
    the bytes that each peer sends (Thakur et al. 2005, ring algorithms).

    `size_bytes` is the whole tensor: the reduced one, the gathered one, the one before its
    scatter. One peer alone has nothing to send: 0 s.
    """

    bandwidth_bytes_per_s: float
    latency_s: float = 0.0
    hop_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.bandwidth_bytes_per_s > 0.0:
            raise ConfigError(
                f"collectives: bandwidth_bytes_per_s = {self.bandwidth_bytes_per_s!r} must be > 0"
            )
        for key in ("latency_s", "hop_s"):
            if not getattr(self, key) >= 0.0:
                raise ConfigError(f"collectives: {key} = {getattr(self, key)!r} must be >= 0")

    def all_reduce(self, size_bytes: float, peers: int) -> float:
        """Sum over peers, known to all: 2 (n-1) steps, 2 (n-1)/n of the tensor sent by each."""
        return self._ring(size_bytes, peers, 2)

    def all_gather(self, size_bytes: float, peers: int) -> float:
        """Every peer's part to all: n-1 steps, (n-1)/n of the tensor sent by each."""
        return self._ring(size_bytes, peers, 1)

    def reduce_scatter(self, size_bytes: float, peers: int) -> float:
        """Sum over peers, a part to each: as the all-gather."""
        return self._ring(size_bytes, peers, 1)

    def send(self, size_bytes: float) -> float:
        """From one peer to another."""
        return self.latency_s + self.hop_s + size_bytes / self.bandwidth_bytes_per_s

    def _ring(self, size_bytes: float, peers: int, rounds: int) -> float:
        if peers < 1:
            raise ValueError(f"a collective needs at least one peer, not {peers}")
        if peers == 1:
            return 0.0
        steps = rounds * (peers - 1)
        sent = steps / peers * size_bytes
        return self.latency_s + steps * self.hop_s + sent / self.bandwidth_bytes_per_s
