"""The processes that read policies for us."""

from pathlib import Path

from tests.support.processes import wait_until


def reading_processes() -> list[int]:
    """The children of this process that read policies now, zombies included."""
    lists = [children.read_text().split() for children in Path("/proc/self/task").glob("*/children")]
    return [
        int(child) for some in lists for child in some if b"policy_files" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def next_reading() -> int:
    """Wait for a process that reads policies."""
    return wait_until(reading_processes, "policies are being read")[0]
