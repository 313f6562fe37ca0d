"""What all tests share: hypothesis draws the same examples in every run.

A red test is red again when it is run again, and a slow machine is no failure. New examples come
with `--hypothesis-profile=explore`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", settings.get_profile("quick"), derandomize=False)
settings.load_profile("quick")
