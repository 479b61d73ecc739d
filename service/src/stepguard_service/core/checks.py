"""What must hold, one small named check a line of docs/decisions.md, in the order of its rows.

Each tuple is one stage; between the stages stands work that costs something (signatures), which is done only for what
passed everything before it. A check gives None where it is satisfied, else the reason for refusing.
"""

from collections.abc import Callable
from typing import NamedTuple

from stepguard_service.core.credentials import Presented
from stepguard_service.core.model import AccessToken, Proof, Rule, Scheme
from stepguard_service.core.reasons import Reason
from stepguard_service.limits import PROOF_LENGTH, TOKEN_LENGTH


class Facts(NamedTuple):
    """A verified token, how it was presented and under which rule: a tuple, because every request makes one."""

    rule: Rule
    presented: Presented
    token: AccessToken
    certificate: str | None
    """`x5t#S256` of the client's certificate; looked up only for tokens that are bound to one."""
    nonce_keys: bool
    """Whether this replica can make and check nonces."""


class Proven(NamedTuple):
    """A verified token with a verified proof."""

    token: AccessToken
    proof: Proof


# --- rows 6 to 9: what was presented --------------------------------------------------------------------------------


def has_credentials(presented: Presented, _: int) -> Reason | None:
    """Row 6: an Authorization header with a scheme that we know."""
    return Reason.NO_CREDENTIALS if presented.scheme is None else None


def has_one_credential(presented: Presented, _: int) -> Reason | None:
    """Row 7 (RFC 6750 §3.1, RFC 9449 §7.2): one Authorization value."""
    return Reason.AMBIGUOUS_CREDENTIALS if presented.authorization.several else None


def is_well_formed(presented: Presented, _: int) -> Reason | None:
    """Row 8 (RFC 9449 §7.1): the scheme, spaces, one token68."""
    return None if presented.authorization.token else Reason.MALFORMED_AUTHORIZATION


def is_not_too_long(presented: Presented, _: int) -> Reason | None:
    """Row 9: bounded headers. The proof counts only where it will be looked at."""
    if presented.authorization.length > TOKEN_LENGTH:
        return Reason.TOKEN_TOO_LONG
    too_long = presented.scheme is Scheme.DPOP and len(presented.proof) > PROOF_LENGTH
    return Reason.PROOF_TOO_LONG if too_long else None


# --- rows 13 to 20: the token's binding and whether there is one proof ----------------------------------------------


def binding_is_understood(facts: Facts, _: int) -> Reason | None:
    """Row 13 (RFC 7800 §3.1): a bound token that we cannot check is refused."""
    return Reason.TOKEN_BINDING_UNKNOWN if facts.token.binding.not_understood else None


def bound_token_comes_as_dpop(facts: Facts, _: int) -> Reason | None:
    """Row 14 (RFC 9449 §7.2): a DPoP-bound token is never a bearer token."""
    bearer = facts.presented.scheme is Scheme.BEARER
    return Reason.BOUND_TOKEN_AS_BEARER if bearer and facts.token.binding.jkt is not None else None


def dpop_token_is_bound(facts: Facts, _: int) -> Reason | None:
    """Row 15 (RFC 9449 §6): any key would prove possession of a token that is bound to none."""
    dpop = facts.presented.scheme is Scheme.DPOP
    return Reason.UNBOUND_TOKEN_AS_DPOP if dpop and facts.token.binding.jkt is None else None


def dpop_is_used_where_required(facts: Facts, _: int) -> Reason | None:
    """Row 16: the rule asks for DPoP; a bound token under Bearer was row 14."""
    bearer = facts.presented.scheme is Scheme.BEARER
    return Reason.DPOP_REQUIRED if bearer and facts.rule.require.dpop_required else None


def bearer_has_no_proof(facts: Facts, _: int) -> Reason | None:
    """Row 17: a proof beside a token that no key is bound to says that the client is confused."""
    bearer = facts.presented.scheme is Scheme.BEARER
    return Reason.STRAY_PROOF if bearer and facts.presented.proof else None


def certificate_is_the_bound_one(facts: Facts, _: int) -> Reason | None:
    """Row 18 (RFC 8705 §3): the client's certificate is the one that the token is bound to."""
    bound = facts.token.binding.x5t
    return Reason.CERTIFICATE_MISMATCH if bound is not None and facts.certificate != bound else None


def nonces_can_be_checked(facts: Facts, _: int) -> Reason | None:
    """Row 18a: a policy that requires nonces needs keys for them."""
    needed = facts.presented.scheme is Scheme.DPOP and facts.rule.policy.dpop.nonce_required
    return Reason.NONCE_KEYS_MISSING if needed and not facts.nonce_keys else None


def has_a_proof(facts: Facts, _: int) -> Reason | None:
    """Row 19: a DPoP header. Where nonces are required the client is told of them at once."""
    if facts.presented.scheme is Scheme.BEARER or facts.presented.proof:
        return None
    return Reason.NONCE_MISSING if facts.rule.policy.dpop.nonce_required else Reason.PROOF_MISSING


def has_one_proof(facts: Facts, _: int) -> Reason | None:
    """Row 20 (RFC 9449 §4.3, item 1): one DPoP header; lines of one name are joined by a comma."""
    dpop = facts.presented.scheme is Scheme.DPOP
    return Reason.PROOF_REPEATED if dpop and "," in facts.presented.proof else None


# --- row 23: the proof's key ----------------------------------------------------------------------------------------


def key_is_the_bound_one(proven: Proven, _: int) -> Reason | None:
    """Row 23 (RFC 9449 §4.3, item 12): the proof's key is the one that the token is bound to."""
    return None if proven.proof.jkt == proven.token.binding.jkt else Reason.PROOF_KEY_MISMATCH


# --- rows 24 and 25: authentication and scope -----------------------------------------------------------------------


def authentication_is_strong_enough(facts: Facts, _: int) -> Reason | None:
    """Row 24 (RFC 9470 §3): `acr` is one of the rule's values, compared as strings."""
    wanted = facts.rule.require.acr_values
    return Reason.INSUFFICIENT_ACR if wanted and facts.token.acr not in wanted else None


def authentication_is_fresh_enough(facts: Facts, now: int) -> Reason | None:
    """Row 24 (RFC 9470 §3): the user authenticated actively at most `max_age` seconds ago, equality included."""
    max_age, auth_time = facts.rule.require.max_age, facts.token.auth_time
    if max_age is None:
        return None
    if auth_time is None or auth_time > now + facts.token.issuer.clock_skew or now - auth_time > max_age:
        return Reason.STALE_AUTHENTICATION
    return None


def has_all_scopes(facts: Facts, _: int) -> Reason | None:
    """Row 25 (RFC 6750 §3.1): every scope that the rule asks for."""
    return None if facts.token.scopes.issuperset(facts.rule.require.scopes) else Reason.INSUFFICIENT_SCOPE


CREDENTIAL_CHECKS: tuple[Callable[[Presented, int], Reason | None], ...] = (
    has_credentials,
    has_one_credential,
    is_well_formed,
    is_not_too_long,
)
BINDING_CHECKS: tuple[Callable[[Facts, int], Reason | None], ...] = (
    binding_is_understood,
    bound_token_comes_as_dpop,
    dpop_token_is_bound,
    dpop_is_used_where_required,
    bearer_has_no_proof,
    certificate_is_the_bound_one,
    nonces_can_be_checked,
    has_a_proof,
    has_one_proof,
)
PROOF_CHECKS: tuple[Callable[[Proven, int], Reason | None], ...] = (key_is_the_bound_one,)
REQUIREMENT_CHECKS: tuple[Callable[[Facts, int], Reason | None], ...] = (
    authentication_is_strong_enough,
    authentication_is_fresh_enough,
    has_all_scopes,
)
