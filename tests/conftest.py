"""Settings for all tests: the same examples in every run, on a slow machine as on a fast one."""

from __future__ import annotations

from hypothesis import settings

# No deadline: no test asserts seconds. New examples: pytest --hypothesis-profile=default
settings.register_profile("microbp", deadline=None, derandomize=True)
settings.load_profile("microbp")
