"""Sizes of packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from models.errors import ConfigError
from workloads.checks import positive
from workloads.draws import BLOCK, part_of, share_edges

#: A mean may differ from the profile's by so much.
_NEAR = 0.01


def packet_sizes(sizes: object) -> PacketSizes | None:
    """`sizes` if it is None or sizes. Raises ConfigError for anything else."""
    if not (sizes is None or isinstance(sizes, PacketSizes)):
        raise ConfigError(
            f"packets: sizes is {sizes!r}; it must be null, or packet sizes, with a _target_"
        )
    return sizes


class PacketSizes:
    """Frames of a few sizes, by chance: `shares` maps each size in bytes to its relative share.

    Such as the mix of internet traffic {64: 7, 594: 4, 1518: 1}."""

    def __init__(self, shares: Mapping[float, float]) -> None:
        self.sizes = [positive("packet sizes: a size", float(size)) for size in shares]
        by_name = {str(size): share for size, share in shares.items()}
        self._edges = share_edges("packet sizes", by_name, by_name)
        self.mean_bytes = float(np.diff(self._edges) @ np.array(self.sizes))

    def check_mean(self, packet_bytes: float) -> None:
        """Raise ConfigError unless the mean is that of a traffic profile."""
        if abs(self.mean_bytes - packet_bytes) > _NEAR * packet_bytes:
            raise ConfigError(
                f"packet sizes: their mean is {self.mean_bytes:g} bytes, the profile's "
                f"packet_bytes is {packet_bytes:g}; they must agree"
            )

    def draw(self, rng: np.random.Generator) -> Iterator[float]:
        """Sizes without end."""
        values = np.array(self.sizes)
        while True:
            yield from values[part_of(self._edges, rng.random(BLOCK))].tolist()
