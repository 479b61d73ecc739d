"""Which machine this is, which core does what, and how fast OpenSSL is on the server's."""

import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1

_TOOLS = {
    "openssl": "openssl",
    "taskset": "util-linux",
    "redis-server": "redis-server",
}


def require_tools() -> None:
    """End with one line for each tool that is missing."""
    absent = {tool: package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    missing = [f"make bench: {tool} is missing: install {package}" for tool, package in absent.items()]
    if (os.cpu_count() or 1) <= LOAD_CORE:
        missing.append("make bench: two cores are needed, one for the server and one for the load")
    if missing:
        sys.exit("\n".join(missing))


def on_server_core(*arguments: str | Path) -> list[str | Path]:
    """The command that runs a program on the server's core."""
    return ["taskset", "-c", str(SERVER_CORE), *arguments]


def stay_on_load_core() -> None:
    """Keep this process, and what it starts, off the server's core."""
    os.sched_setaffinity(0, {LOAD_CORE})


def openssl_verifies(seconds: int) -> float:
    """P-256 verifications a second on the server's core, by `openssl speed`."""
    command = on_server_core("openssl", "speed", "-seconds", str(seconds), "ecdsap256")
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])


def about() -> dict[str, str]:
    """What the figures depend on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("grpcio", "cryptography", "protobuf", "xds-protos")},
    }
