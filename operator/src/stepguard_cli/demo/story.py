"""The demo's story: eight requests and what each of them shows."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stepguard_cli.console import CliError
from stepguard_cli.demo.client import Client, Exchange, Response, send

RELOAD_SECONDS: Final = 10.0
"""How long an edited policy may take before the demo calls it a failure; it should be well under one second."""
RELOAD_POLL_SECONDS: Final = 0.02
STEP_UP: Final = "insufficient_user_authentication"
OLD_RULE: Final = """\
    - path: {type: PathPrefix, value: /accounts}
"""
NEW_RULE: Final = """\
    - path: {type: PathPrefix, value: /accounts}
    require:
      acrValues: [urn:demo:passkey]
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One request of the story: what it is about, what was expected, what came."""

    title: str
    exchange: Exchange
    expected: str
    as_expected: bool
    edit: str = ""
    """What was changed in the policy file before the request."""


@dataclass(slots=True)
class Stage:
    """What the scenes act upon, and what one scene leaves for the next."""

    front: str
    policy_file: Path
    client: Client
    thief: Client
    token: str = ""
    strong_token: str = ""
    used: tuple[tuple[str, str], ...] = field(default=())
    """The headers of the good request, for its replay."""

    @property
    def accounts(self) -> str:
        """A resource that asks for a token."""
        return f"{self.front}/accounts"

    @property
    def transfers(self) -> str:
        """A risky operation."""
        return f"{self.front}/transfers"


def _challenged(response: Response, *words: str) -> bool:
    """Whether this is a 401 in whose challenges all the words occur."""
    challenges = " ".join(response.values("www-authenticate"))
    return response.status == 401 and all(word in challenges for word in words)  # noqa: PLR2004 - HTTP


def no_credentials(stage: Stage) -> Scene:
    """Row 6: both schemes are offered, nothing else is said."""
    exchange = send("GET", stage.accounts)
    good = _challenged(exchange.response, "DPoP ", "Bearer ") and "error=" not in str(exchange.response.headers)
    return Scene("Without credentials", exchange, "401, and both ways to authenticate", good)


def stolen_token(stage: Stage) -> Scene:
    """Row 14: the token alone opens nothing."""
    stage.token = stage.client.login()
    exchange = send("GET", stage.accounts, (("authorization", f"Bearer {stage.token}"),))
    good = _challenged(exchange.response, "invalid_token")
    return Scene("A stolen token, sent as it is", exchange, "401: the token is bound to a key", good)


def stolen_token_with_another_key(stage: Stage) -> Scene:
    """Row 23: a proof by another key does not help."""
    exchange = send("GET", stage.accounts, stage.thief.authorized("GET", stage.accounts, stage.token))
    good = _challenged(exchange.response, "invalid_token")
    return Scene("The stolen token, with a proof by the thief's key", exchange, "401: it is bound to another key", good)


def good_proof(stage: Stage) -> Scene:
    """The client it was given to passes."""
    stage.used = stage.client.authorized("GET", stage.accounts, stage.token)
    exchange = send("GET", stage.accounts, stage.used)
    good = exchange.response.status == 200 and '"alice"' in exchange.response.body  # noqa: PLR2004 - HTTP
    return Scene("The client itself, with its token and a proof", exchange, "200, and the application knows who", good)


def replay(stage: Stage) -> Scene:
    """Row 27: the very same request, seen on the wire, is worth nothing."""
    exchange = send("GET", stage.accounts, stage.used)
    good = _challenged(exchange.response, "invalid_dpop_proof")
    return Scene("The same proof again", exchange, "401: a proof works once", good)


def risky_operation(stage: Stage) -> Scene:
    """Row 24: a password is not enough here."""
    exchange = send("POST", stage.transfers, stage.client.authorized("POST", stage.transfers, stage.token))
    good = _challenged(exchange.response, STEP_UP, "urn:demo:passkey", 'max_age="300"')
    return Scene("A risky operation, after a login by password", exchange, "401: authenticate better, and how", good)


def after_step_up(stage: Stage) -> Scene:
    """The client does what the challenge says, and passes."""
    stage.strong_token = stage.client.login(acr_values="urn:demo:passkey", max_age="300")
    exchange = send("POST", stage.transfers, stage.client.authorized("POST", stage.transfers, stage.strong_token))
    good = exchange.response.status == 200 and "urn:demo:passkey" in exchange.response.body  # noqa: PLR2004 - HTTP
    return Scene("The same after step-up at the authorization server", exchange, "200", good)


def edited_policy(stage: Stage) -> Scene:
    """The file is edited while everything runs; the next requests meet the new rule."""
    text = stage.policy_file.read_text(encoding="utf-8")
    if OLD_RULE not in text:
        raise CliError(f"{stage.policy_file}: the rule that the demo edits is not there; restore the example file")
    stage.policy_file.write_text(text.replace(OLD_RULE, NEW_RULE), encoding="utf-8")
    edited = time.monotonic()
    while True:
        exchange = send("GET", stage.accounts, stage.client.authorized("GET", stage.accounts, stage.token))
        took = time.monotonic() - edited
        if (good := _challenged(exchange.response, STEP_UP)) or took > RELOAD_SECONDS:
            break
        time.sleep(RELOAD_POLL_SECONDS)
    title = "The policy is edited while everything runs"
    return Scene(title, exchange, f"401 under the new rule, {took * 1000:.0f} ms after the edit", good, NEW_RULE)


SCENES: Final[tuple[Callable[[Stage], Scene], ...]] = (
    no_credentials,
    stolen_token,
    stolen_token_with_another_key,
    good_proof,
    replay,
    risky_operation,
    after_step_up,
    edited_policy,
)
