"""Settings for all tests."""

from hypothesis import settings

# How long one example takes says how busy the machine is; pytest's own timeout bounds the whole test.
settings.register_profile("stepguard", deadline=None)
settings.load_profile("stepguard")
