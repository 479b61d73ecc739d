"""The host grants of the installation, from a YAML file that may change (a ConfigMap mount)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from stepguard_policy.compile import Allowance, HostGrant

FIELDS: Final = frozenset({"hosts", "namespaces", "allow"})


class BadGrantsError(Exception):
    """The file cannot be read, or is not what it should be. One line that names the place."""


def read_grants(path: Path) -> tuple[HostGrant, ...]:
    """Every grant of the file. Raises BadGrantsError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadGrantsError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadGrantsError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, list):
        raise BadGrantsError(f"{path}: a list of {{hosts, namespaces, allow}} is needed")
    return tuple(_grant(item, f"{path}: [{index}]") for index, item in enumerate(content))


def _grant(item: object, place: str) -> HostGrant:
    if not isinstance(item, Mapping) or not {"hosts", "namespaces"} <= item.keys() <= FIELDS:
        raise BadGrantsError(f"{place}: hosts and namespaces are needed, and allow is all there may be beside them")
    allow = _strings(item.get("allow", []), f"{place}.allow")
    if unknown := [word for word in allow if word not in list(Allowance)]:
        raise BadGrantsError(f"{place}.allow: {unknown[0]!r} is none of {', '.join(Allowance)}")
    hosts = _strings(item["hosts"], f"{place}.hosts")
    namespaces = _strings(item["namespaces"], f"{place}.namespaces")
    try:
        return HostGrant(hosts, namespaces, frozenset(map(Allowance, allow)))
    except ValueError as error:
        raise BadGrantsError(f"{place}.hosts: {error}") from error


def _strings(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise BadGrantsError(f"{place}: a list of strings is needed")
    return tuple(value)
