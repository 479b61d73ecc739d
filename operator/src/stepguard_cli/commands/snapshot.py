"""`stepguard snapshot`: what a running service has in force."""

import argparse
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from stepguard_cli.console import CliError, Console, Style, columns

TIMEOUT_SECONDS: Final = 10.0
CHUNK: Final = 64 * 1024

Document = Mapping[str, Any]
"""What the service writes to its debug socket: JSON that a newer service may add to."""


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("socket", type=Path, metavar="SOCKET", help="the service's --debug-socket")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print what is in force; 1 where the service says that something of it is wrong."""
    document = _read(arguments.socket)
    try:
        lines, problems = list(_lines(document, console)), list(_problems(document))
    except (KeyError, TypeError, ValueError):
        raise CliError(f"{arguments.socket}: use the stepguard of the service's own version") from None
    for line in lines:
        console.line(line)
    for problem in problems:
        console.line(console.styled(problem, Style.BAD))
    console.document(document)
    return 1 if problems else 0


def _read(path: Path) -> Document:
    received = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(path))
            while chunk := connection.recv(CHUNK):
                received += chunk
    except OSError as error:
        raise CliError(f"{path}: cannot ask the service: {error.strerror or error}") from None
    try:
        document: Document = json.loads(received)
    except ValueError:
        raise CliError(f"{path}: whoever listens there is no stepguard-service") from None
    if not isinstance(document, dict):
        raise CliError(f"{path}: whoever listens there is no stepguard-service")
    return document


def _problems(document: Document) -> Iterator[str]:
    if "error" in document:
        yield str(document["error"])
    for policy in document.get("policies", ()):
        if policy["error"]:
            yield f"policy {policy['name']}: {policy['error']}"
    for issuer in document.get("issuers", ()):
        if issuer.get("error"):
            yield f"issuer {issuer['name']}: {issuer['error']}"
    reload = document.get("last_reload") or {}
    yield from (f"last reload: {error}" for error in reload.get("errors", ()))


def _lines(document: Document, console: Console) -> Iterator[str]:
    snapshot = document.get("snapshot")
    if snapshot is None:
        yield "no snapshot is in force"
        return
    since = datetime.fromtimestamp(snapshot["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield f"snapshot {snapshot['hash'][:12]} in force since {since}"
    for host in document["hosts"]:
        yield ""
        yield console.styled(host["pattern"], Style.STRONG) + f"  {', '.join(host['policies']) or 'denied'}"
        yield from (f"  {line}" for line in columns([_rule(rule) for rule in host["rules"]]))
    yield ""
    for issuer in document["issuers"]:
        yield f"issuer {issuer['name']}: {len(issuer['key_ids'])} keys"
    store = document["replay_store"]
    yield f"replay store {store['kind']}: {store['entries']} entries"
    for switch in document["unsafe"]:
        yield console.styled(f"unsafe: {switch}", Style.WARN)


def _rule(rule: Document) -> Sequence[str]:
    require = rule["require"]
    demands = [
        "dpop" if require["dpop_required"] else "",
        f"acr {' or '.join(require['acr_values'])}" if require["acr_values"] else "",
        f"at most {require['max_age']} s ago" if require["max_age"] is not None else "",
        f"scopes {' '.join(require['scopes'])}" if require["scopes"] else "",
        "when …" if rule["conditional"] else "",
        "audit" if rule["mode"] == "Audit" else "",
    ]
    shown = ", ".join(filter(None, demands))
    where = f"{rule['path_type']} {rule['path']}"
    return rule["method"] or "any", where, rule["access"], f"{rule['policy']} {rule['rule']}", shown
