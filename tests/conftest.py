"""Settings of the suite: property tests depend on the seed alone, not on the machine's speed or on earlier runs."""

from __future__ import annotations

import signal

from browser import browser as browser  # a fixture
from hypothesis import HealthCheck, Phase, settings

# The planted bugs make tests fail dozens of times in each run: one failure of a test is enough, and unexplained.
settings.register_profile(
    "minidl",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=set(Phase) - {Phase.explain},
    report_multiple_bugs=False,
)
settings.load_profile("minidl")

# A process started in the background ignores Ctrl-C, and so do its children, unless somebody asks for it again.
signal.signal(signal.SIGINT, signal.default_int_handler)
