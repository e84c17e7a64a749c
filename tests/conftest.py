"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples on every machine and in every run; no deadline, since a machine may be busy.
settings.register_profile(
    "orrery",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("orrery")
