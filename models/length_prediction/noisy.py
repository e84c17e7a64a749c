"""The true length with a relative and an absolute error."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np

from models.length_prediction.charged import Charged, number


@dataclass(frozen=True, kw_only=True)
class Noisy(Charged):
    """x (1 + N(0, `relative`)) + N(0, `mae_tokens` sqrt(pi / 2)), at least 0.

    The first is the option of LAMPS's release (mars-repository/mars-codebase), where `relative`
    is 0; the second has a mean absolute error of `mae_tokens`.
    """

    relative: float = 0.0
    mae_tokens: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("relative", self.relative)
        number("mae_tokens", self.mae_tokens)

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """Predicted output tokens; two normal numbers are drawn, whatever the errors."""
        relative = self.relative * float(rng.standard_normal())
        tokens = self.mae_tokens * sqrt(pi / 2.0) * float(rng.standard_normal())
        return max(0.0, output_tokens * (1.0 + relative) + tokens)
