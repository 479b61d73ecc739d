"""What is in force, as one JSON-like document: for the debug socket. No secret is in it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from stepguard_service.core.matching import HostRules
from stepguard_service.core.path_index import Entry
from stepguard_service.stores.keys import IssuerKeys
from stepguard_service.stores.replay import ReplayStore
from stepguard_service.stores.rules import RuleStore
from stepguard_service.transport.rules_loader import RulesLoader


@dataclass(frozen=True, slots=True)
class LastReload:
    """How the last reading of the folder went. `at` in Unix seconds."""

    at: float
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Where everything that is shown comes from."""

    rules: RuleStore
    loader: RulesLoader
    keys: Callable[[float], Sequence[IssuerKeys]]
    replay: ReplayStore
    nonce_key_ids: Callable[[], Sequence[str]]
    last_reload: Callable[[], LastReload | None]
    unsafe: Mapping[str, bool]

    def document(self) -> Mapping[str, object]:
        """As it is now."""
        rule_set, in_force, reload = self.rules.current, self.loader.in_force, self.last_reload()
        return {
            "snapshot": {"hash": in_force.hash, "since": in_force.since} if in_force else None,
            "policies": [
                {"name": name, "hash": digest, "error": in_force.problems.get(name, "")}
                for name, digest in in_force.policies.items()
            ]
            if in_force
            else [],
            "hosts": [_host(host) for host in rule_set.hosts] if rule_set else [],
            "issuers": [asdict(state) for state in self.keys(time.monotonic())],
            "last_reload": asdict(reload) if reload else None,
            "replay_store": {
                "kind": self.replay.kind,
                "shared": self.replay.shared,
                "entries": self.replay.entries(),
            },
            "nonce_key_ids": list(self.nonce_key_ids()),
            "unsafe": [switch for switch, on in self.unsafe.items() if on],
        }


def _host(host: HostRules) -> Mapping[str, object]:
    return {
        "pattern": host.pattern,
        "policies": [policy.name for policy in host.policies],
        "rules": [_rule(entry) for entry in host.entries],
    }


def _rule(entry: Entry) -> Mapping[str, object]:
    rule = entry.rule
    return {
        "policy": rule.policy.name,
        "rule": rule.name,
        "mode": rule.policy.mode.value,
        "path_type": entry.path_type.value,
        "path": entry.path,
        "method": entry.method,
        "access": rule.access.value,
        "conditional": rule.condition is not None,
        "require": asdict(rule.require),
    }
