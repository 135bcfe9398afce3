"""Settings of the suite: property tests depend on the seed alone, not on the machine's speed or on earlier runs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("minidl", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("minidl")
