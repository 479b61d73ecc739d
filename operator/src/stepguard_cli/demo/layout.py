"""Where the demo's parts are: its example files, its ports, and copies of the files that name those ports."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import yaml

from stepguard_cli.console import CliError

PACKAGED: Final = Path(__file__).parent / "files"
SOURCE_TREE: Final = Path(__file__).parents[4] / "examples" / "demo"
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1. The defaults are those that the example files name."""

    front: int = 10000
    application: int = 10001
    authorization_server: int = 10002
    stepguard: int = 9191
    admin: int = 9192

    @property
    def front_url(self) -> str:
        """Where clients send requests: Envoy."""
        return f"http://localhost:{self.front}"

    @property
    def authorization_server_url(self) -> str:
        """The authorization server; also its issuer identifier."""
        return f"http://{HOST}:{self.authorization_server}"


DEFAULT_PORTS: Final = Ports()


def example_files() -> Path:
    """The folder of the example files: inside the installed package, or the source tree's. Raises CliError."""
    for folder in (PACKAGED, SOURCE_TREE):
        if (folder / "envoy.yaml").is_file():
            return folder
    raise CliError(f"{PACKAGED}: the demo's example files are missing; install stepguard again")


def choose_ports() -> Ports:
    """The default ports, each replaced by a free one where somebody listens on it already."""
    with _Chooser() as chooser:
        return Ports(
            front=chooser.choose(DEFAULT_PORTS.front),
            application=chooser.choose(DEFAULT_PORTS.application),
            authorization_server=chooser.choose(DEFAULT_PORTS.authorization_server),
            stepguard=chooser.choose(DEFAULT_PORTS.stepguard),
            admin=chooser.choose(DEFAULT_PORTS.admin),
        )


class _Chooser:
    """Keeps every chosen port bound until all are chosen, so that no two are the same."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for held in self._held:
            held.close()

    def choose(self, preferred: int) -> int:
        held = socket.socket()
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((HOST, preferred))
        except OSError:
            held.bind((HOST, 0))
        return int(held.getsockname()[1])


def copy_policies(source: Path, target: Path, ports: Ports) -> None:
    """Copy the example's policies, with the ports in use, to a new folder."""
    target.mkdir()
    for file in sorted((source / "policies").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        text = text.replace(DEFAULT_PORTS.authorization_server_url, ports.authorization_server_url)
        text = text.replace(DEFAULT_PORTS.front_url, ports.front_url)
        (target / file.name).write_text(text, encoding="utf-8")


def copy_envoy_config(source: Path, target: Path, ports: Ports) -> None:
    """Copy the example's Envoy configuration with the ports in use."""
    mapping = {
        DEFAULT_PORTS.front: ports.front,
        DEFAULT_PORTS.application: ports.application,
        DEFAULT_PORTS.stepguard: ports.stepguard,
    }
    config = yaml.safe_load((source / "envoy.yaml").read_text(encoding="utf-8"))
    target.write_text(yaml.safe_dump(_with_ports(config, mapping), sort_keys=False), encoding="utf-8")


def _with_ports(node: object, mapping: dict[int, int]) -> object:
    if isinstance(node, dict):
        return {
            key: mapping.get(value, value) if key == "port_value" else _with_ports(value, mapping)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_with_ports(item, mapping) for item in node]
    return node
