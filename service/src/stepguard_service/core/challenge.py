"""Challenges: WWW-Authenticate as RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3 and RFC 9728 §5.1 define it.

Every parameter is a quoted-string of the characters that RFC 6750 allows, so nothing is ever escaped, and nothing in a
challenge comes from the request it answers.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from stepguard_service.core.model import Rule, Scheme

_NOT_ALLOWED = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_SCHEME = re.compile(r"(DPoP|Bearer) ")
_PARAMETER = re.compile(r'([a-z_]+)="([\x20\x21\x23-\x5b\x5d-\x7e]*)"(?:, (?=[a-z])|\Z)')
_MAX_AGE = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate line. `max_age` in seconds; what is empty or None is left out, `realm` never is."""

    scheme: Scheme
    realm: str
    error: str = ""
    error_description: str = ""
    algs: tuple[str, ...] = ()
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    scope: tuple[str, ...] = ()
    resource_metadata: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What the challenges of a rule say whatever the fault: mostly one object for all rules that say the same.

    Compared by identity, so that it is cheap as a key.
    """

    realm: str
    bearer: bool
    """Whether Bearer is offered beside DPoP: not where the rule asks for DPoP, that would invite a bearer."""
    algs: tuple[str, ...]
    acr_values: tuple[str, ...]
    max_age: int | None
    scopes: tuple[str, ...]
    resource_metadata: str

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The schemes that are offered, in the order of their lines."""
        return (Scheme.DPOP, Scheme.BEARER) if self.bearer else (Scheme.DPOP,)


_shared_terms = lru_cache(maxsize=4096)(Terms)


def terms_of(rule: Rule) -> Terms:
    """What challenges of this rule say."""
    policy, require = rule.policy, rule.require
    return _shared_terms(
        realm=policy.name,
        bearer=not require.dpop_required,
        algs=policy.dpop.algorithms,
        acr_values=require.acr_values,
        max_age=require.max_age,
        scopes=require.scopes,
        resource_metadata=policy.resource_metadata.url if policy.resource_metadata else "",
    )


def write_challenge(challenge: Challenge) -> str:
    """The header value. Characters that RFC 6750 does not allow become underscores: they have no business there."""
    parameters = [
        ("realm", challenge.realm),
        ("error", challenge.error),
        ("error_description", challenge.error_description),
        ("algs", " ".join(challenge.algs)),
        ("acr_values", " ".join(challenge.acr_values)),
        ("max_age", "" if challenge.max_age is None else str(challenge.max_age)),
        ("scope", " ".join(challenge.scope)),
        ("resource_metadata", challenge.resource_metadata),
    ]
    written = [f'{name}="{_NOT_ALLOWED.sub("_", value)}"' for name, value in parameters if value or name == "realm"]
    return f"{challenge.scheme.value} {', '.join(written)}"


def parse_challenge(value: str) -> Challenge | None:
    """Read back what `write_challenge` wrote; None for anything that it cannot have written."""
    scheme = _SCHEME.match(value)
    if scheme is None:
        return None
    parameters: dict[str, str] = {}
    position = scheme.end()
    while position < len(value):
        parameter = _PARAMETER.match(value, position)
        if parameter is None or parameter[1] in parameters:
            return None
        parameters[parameter[1]] = parameter[2]
        position = parameter.end()
    max_age = parameters.pop("max_age", None)
    if "realm" not in parameters or (max_age is not None and not _MAX_AGE.fullmatch(max_age)):
        return None
    challenge = Challenge(
        scheme=Scheme(scheme[1]),
        realm=parameters.pop("realm"),
        error=parameters.pop("error", ""),
        error_description=parameters.pop("error_description", ""),
        algs=tuple(parameters.pop("algs", "").split()),
        acr_values=tuple(parameters.pop("acr_values", "").split()),
        max_age=None if max_age is None else int(max_age),
        scope=tuple(parameters.pop("scope", "").split()),
        resource_metadata=parameters.pop("resource_metadata", ""),
    )
    return None if parameters else challenge
