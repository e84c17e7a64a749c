"""Size-based scheduling with limited preemption by predicted sizes, in closed form (M/G/1)."""

from models.limited_preemption.joint_sizes import JointSizes
from models.limited_preemption.means import (
    Means,
    limited_preemption,
    limited_preemption_response_s,
    limited_preemption_wait_s,
)

__all__ = [
    "JointSizes",
    "Means",
    "limited_preemption",
    "limited_preemption_response_s",
    "limited_preemption_wait_s",
]
