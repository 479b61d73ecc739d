"""What people read: the comments of values.yaml, and the notes after an installation."""

import re
from collections.abc import Iterator

import pytest

from tests.support.chart import CHART, EXISTING, SHARED_STORE, Values, rendered_files

KEY = re.compile(r"^( *)([A-Za-z]+):")


def uncommented(text: str) -> Iterator[str]:
    """Keys at the begin of a line that no comment stands above. What stands inside { } is explained by that comment."""
    before, inside_resources = "", 0
    for line in text.splitlines():
        found = KEY.match(line)
        if found and inside_resources and len(found[1]) > inside_resources:
            continue
        inside_resources = 0
        if found:
            if not before.lstrip().startswith("#"):
                yield found[2]
            # The members of `resources` are Kubernetes' own.
            inside_resources = len(found[1]) if found[2] == "resources" else 0
        before = line


def test_every_value_has_a_comment_above_it() -> None:
    """In values.yaml, which is what `helm show values` prints."""
    assert list(uncommented((CHART / "values.yaml").read_text())) == []


def notes(values: Values) -> str:
    """NOTES.txt with these values."""
    (text,) = (text for name, text in rendered_files(values).items() if name.endswith("NOTES.txt"))
    return text


NOTES: dict[str, tuple[Values, str]] = {
    "the next step": ({}, "kubectl wait --for=condition=Ready stepuppolicies --all --all-namespaces"),
    "where Envoy has to ask": ({}, "stepguard.stepguard-system.svc.cluster.local, port 9191"),
    "that hosts are free": ({}, "hostGrants is empty"),
    "that a restart forgets": ({}, "replay store is in the memory"),
    "that nonces have no keys": (
        {"tls": {**EXISTING["tls"], "nonceKeysSecret": ""}},
        "tls.nonceKeysSecret is empty",
    ),
    "that unmatched hosts are open": ({"service": {"unmatchedHosts": "unsafe-allow"}}, "hosts without a policy are"),
    "that proofs can be used twice": (
        {"service": {**SHARED_STORE["service"], "replay": {"url": "redis://r", "onOutage": "unsafe-allow"}}},
        "proofs can be used twice",
    ),
}


@pytest.mark.parametrize(("values", "said"), NOTES.values(), ids=NOTES)
def test_the_notes_say(values: Values, said: str) -> None:
    """What to do next, and what these values mean."""
    assert said in notes(values)


def test_the_notes_do_not_warn_of_what_is_right() -> None:
    """A warning that is always there is read by nobody."""
    good = notes({**SHARED_STORE, "hostGrants": [{"hosts": ["*.a.example"], "namespaces": ["a"]}]})
    assert not any(word in good for word in ("hostGrants", "memory", "unsafe", "nonce"))
