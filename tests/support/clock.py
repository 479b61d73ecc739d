"""The clock of tests that run real processes, whose clock they cannot set."""

import time


def clock_now() -> float:
    """Unix seconds."""
    return time.time()  # noqa: TID251 - the one place in tests that reads the clock
