"""Settings for all tests."""

import stepguard_service.before_grpc  # noqa: F401 - first of all, so that gRPC works here as in the service
from hypothesis import HealthCheck, settings

# How long one example takes says how busy the machine is; pytest's own timeout bounds the whole test.
settings.register_profile("stepguard", deadline=None)
settings.register_profile(
    "fuzz", deadline=None, max_examples=300, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("stepguard")
