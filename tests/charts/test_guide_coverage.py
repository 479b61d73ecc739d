"""The guides against the code: every state that somebody can meet is explained, and nothing else is named."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
import yaml
from stepguard_operator.conditions import Reason as StatusReason
from stepguard_operator.settings import FLAGS as OPERATOR_FLAGS
from stepguard_policy.compile.reasons import AcceptedReason, RefsReason
from stepguard_service.core.reasons import Reason
from stepguard_service.settings import FLAGS as SERVICE_FLAGS

from tests.support.chart import CHART
from tests.support.guides import GUIDES, text

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (ROOT / "service" / "src", ROOT / "operator" / "src")
METRIC: Final = re.compile(r"\bstepguard_(?!service\b|operator\b(?!_)|policy\b|cli\b)[a-z_]+[a-z]")
ALL_GUIDES: Final = sorted(path.name for path in GUIDES.glob("*.md"))
WIRING: Final = ("install.md", "istio.md", "envoy-gateway.md", "envoy.md", "operations.md")
ANSWERED_503: Final = {
    Reason.KEYS_UNAVAILABLE,
    Reason.INTROSPECTION_UNAVAILABLE,
    Reason.NONCE_KEYS_MISSING,
    Reason.REPLAY_STORE_UNAVAILABLE,
    Reason.REPLAY_STORE_FULL,
    Reason.REPLAY_QUOTA,
    Reason.INTERNAL_ERROR,
    Reason.NO_SNAPSHOT,
}


def section(title: str) -> str:
    """A section of the guide to operations."""
    content = (GUIDES / "operations.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", content, re.MULTILINE | re.DOTALL)
    return str(found)


def test_what_is_answered_with_503_is_what_the_rows_say() -> None:
    """Rows 12, 18a, 28 and F of docs/decisions.md, as the vocabulary itself names them."""
    tree = ast.parse((ROOT / "service" / "src" / "stepguard_service" / "core" / "reasons.py").read_text())
    (vocabulary,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    documented = {
        Reason[name.id]
        for (assigned, said) in zip(vocabulary.body, vocabulary.body[1:], strict=False)
        if isinstance(assigned, ast.Assign) and isinstance(name := assigned.targets[0], ast.Name)
        if isinstance(said, ast.Expr) and re.match(r"Row (12|18a|28|F\d):", str(ast.literal_eval(said.value)))
    }
    assert documented == ANSWERED_503


@pytest.mark.parametrize("reason", sorted({*StatusReason, *AcceptedReason, *RefsReason}))
def test_a_reason_of_a_condition_is_explained(reason: str) -> None:
    """What it means and what to do."""
    assert f"`{reason}`" in section("What to do when status says …")


def test_no_other_reason_of_a_condition_is_explained() -> None:
    """Neither one that was renamed."""
    in_tables = re.findall(r"^\|[^|]*\| `([A-Za-z]+)` \|", section("What to do when status says …"), re.MULTILINE)
    assert len(in_tables) > 15
    assert set(in_tables) <= {*StatusReason, *AcceptedReason, *RefsReason}


def test_every_reason_of_a_503_is_explained_and_no_other() -> None:
    """The same words as in metrics and logs."""
    in_tables = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", section("When requests are answered 503"), re.MULTILINE)
    assert {Reason(word) for cell in in_tables for word in re.findall("[a-z_]+", cell)} == ANSWERED_503


def exposed() -> set[str]:
    """Names of metrics in the code, as Prometheus shows them: counters with their suffix."""
    found = set()
    for source in SOURCES:
        for path in source.rglob("*.py"):
            for kind, name in re.findall(
                r"(counter|gauge|histogram)\w*\(\s*\"(stepguard_\w+)\"", path.read_text(), re.IGNORECASE
            ):
                found.add(name if kind.lower() != "counter" else f"{name}_total")
    return found


def test_metrics_in_the_guides_exist() -> None:
    """Under exactly these names."""
    named = {name for guide in ALL_GUIDES for name in METRIC.findall((GUIDES / guide).read_text())}
    assert len(named) > 5
    assert named <= exposed()


def test_labels_in_the_guides_exist() -> None:
    """`metric{label="value"}` says something only where there is such a label and value."""
    selectors = {found for guide in ALL_GUIDES for found in re.findall(r"stepguard_\w+\{\w+=\"\w+\"\}", text(guide))}
    assert selectors == {
        'stepguard_decisions_total{mode="Audit"}',
        'stepguard_decisions_total{outcome="unavailable"}',
        'stepguard_jwks_refresh_total{result="failure"}',
    }


def test_flags_in_the_guides_exist() -> None:
    """In prose, where nobody runs them; the command line's own are in the guide to policies."""
    known = {f"--{name}" for name in [flag.name for flag in SERVICE_FLAGS] + [flag.name for flag in OPERATOR_FLAGS]}
    prose = [re.sub(r"```.*?```", "", (GUIDES / guide).read_text(), flags=re.DOTALL) for guide in WIRING]
    named = {flag for content in prose for flag in re.findall(r"`(--[a-z-]+)", content)}
    assert named
    assert named <= known


def test_values_of_the_chart_in_the_guides_exist() -> None:
    """As they are written in prose: `service.replay.url`."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for guide in WIRING:
        for path in re.findall(
            r"`(?!tls\.(?:crt|key)`)((?:service|operator|tls|crds|rbac|serviceMonitor)\.[A-Za-z.]+)", text(guide)
        ):
            node = values
            for member in path.rstrip(".").split("."):
                assert member in node, f"{guide}: {path}"
                node = node[member]


# What was found by running Istio, Envoy Gateway and Envoy in front of an ext_authz service: guide → its words about it.
TRAPS: Final[dict[str, tuple[str, str]]] = {
    "Istio: an ALLOW policy still refuses": ("istio.md", "an ALLOW policy may still refuse"),
    "Istio: CORS comes after the question": ("istio.md", "CORS filter comes after the question"),
    "Istio: the default timeout is ten minutes": ("istio.md", "the default is 600 s"),
    "Istio: an outage looks like a decision": ("istio.md", "the default is 403"),
    "Istio: what extensionProviders cannot set": ("istio.md", "what extensionProviders cannot set"),
    "Istio: two DPoP headers joined by a comma": ("istio.md", "joined by a comma"),
    "Istio: a headless Service breaks it": ("istio.md", "Behind the headless one every request is answered 503"),
    "Istio: the port's name": ("istio.md", "The port must be named `grpc`"),
    "Istio: paths in a CUSTOM rule": ("istio.md", "pass *unasked*"),
    "Istio: dry-run and misspelt providers": ("istio.md", "answers 403 to everything"),
    "Istio: dead replicas": ("istio.md", "A retry alone does not help"),
    "Istio: the connect timeout": ("istio.md", "is longer than the whole timeout"),
    "Istio: the back-off": ("istio.md", "Envoy also ends each try after max_interval"),
    "Istio: a repeated question is no replay": ("istio.md", "A repeated question carries the id of the request"),
    "Istio: its route retries do not ask": ("istio.md", "own retries of a route do not ask again"),
    "Istio: certificates without an EnvoyFilter": ("istio.md", "`service.clientCertificate: xfcc-last` works"),
    "Istio: which paths arrive as sent": ("istio.md", "`//`, `%2F`, `%5c` and `;x` arrive as sent"),
    "Istio: methods in lower case": ("istio.md", "Methods in lower case"),
    "Istio: hosts without a route": ("istio.md", "A host without a route is answered 404 and never asked about"),
    "Istio: ambient waypoints": ("istio.md", "without a waypoint nobody asks"),
    "Istio: nonces overwrite the application's": ("istio.md", "`DPoP-Nonce` on a response is Stepguard's"),
    "Envoy Gateway: CORS comes first": ("envoy-gateway.md", "Preflights are answered by the CORS filter"),
    "Envoy Gateway: the default timeout": ("envoy-gateway.md", "the default is 10 s"),
    "Envoy Gateway: what SecurityPolicy cannot set": ("envoy-gateway.md", "what SecurityPolicy cannot set"),
    "Envoy Gateway: retries draw any replica": ("envoy-gateway.md", "the second question goes to another replica"),
    "Envoy Gateway: which headers are sent": ("envoy-gateway.md", "it must name `authorization` and `dpop`"),
    "Envoy Gateway: routes chosen anew": ("envoy-gateway.md", "Leave `recomputeRoute` unset"),
    "Envoy Gateway: slashes are merged": ("envoy-gateway.md", "`//` is merged before the question"),
    "Envoy Gateway: what is answered unasked": ("envoy-gateway.md", "both unasked"),
    "Envoy Gateway: a route's policy replaces": ("envoy-gateway.md", "replaces the gateway's whole one"),
    "Envoy Gateway: no endpoint is a 500": ("envoy-gateway.md", "a direct 500 on all routes"),
    "Envoy Gateway: failOpen": ("envoy-gateway.md", "the question would be left out altogether"),
    "Envoy Gateway: the back-off": ("envoy-gateway.md", "Envoy ends each try after maxInterval"),
    "Envoy: the route cache": ("envoy.md", "nothing after it may clear the route cache"),
    "Envoy: a cache of answers": ("envoy.md", "No cache of ext_authz answers"),
    "Envoy: CORS comes before": ("envoy.md", "after a CORS filter"),
}
EVERYWHERE: Final = {
    "internal redirects": "Internal redirects are asked about again",
    "websockets and streams": "streams",
    "retries of hops before": "retry on 503",
    "the first hop": "at one hop, the first",
    "health paths": "`Anonymous` rule",
}


@pytest.mark.parametrize(("guide", "words"), TRAPS.values(), ids=TRAPS)
def test_a_trap_is_named(guide: str, words: str) -> None:
    """In the guide of the system that has it."""
    assert words in text(guide).replace("# ", "")


@pytest.mark.parametrize("words", EVERYWHERE.values(), ids=EVERYWHERE)
@pytest.mark.parametrize("guide", ["istio.md", "envoy-gateway.md", "envoy.md"])
def test_what_holds_everywhere_is_said_everywhere(guide: str, words: str) -> None:
    """Whichever guide somebody reads, it is the only one."""
    assert words in text(guide)
