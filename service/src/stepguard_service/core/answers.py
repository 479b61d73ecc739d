"""Verdicts as answers: enforced or only audited, with everything that log, metrics and dynamic metadata say of them."""

from stepguard_service.core.allowance import allowance, identity_of, nonce_headers
from stepguard_service.core.checks import has_all_scopes
from stepguard_service.core.decision import Granted, Refused, Verified
from stepguard_service.core.matching import HostRules, RuleSet
from stepguard_service.core.model import (
    Access,
    Allow,
    Answer,
    Mode,
    Outcome,
    Refuse,
    Request,
    Rule,
    Scheme,
    UpstreamAuthorization,
)
from stepguard_service.core.place import Document, Nowhere, Place, Preflight, is_grpc, listed_origin
from stepguard_service.core.reasons import Reason
from stepguard_service.core.refusal import cors_headers, refusal, with_headers
from stepguard_service.core.rulings import RULINGS

_DOCUMENT_HEADERS = (
    ("content-type", "application/json"),
    ("cache-control", "max-age=3600"),
    ("access-control-allow-origin", "*"),
)
_WITHOUT_RULE = frozenset({Reason.NO_RULE, Reason.ACCESS_DENIED})
"""Row 4: whether it is enforced is the host's mode, not that of a policy."""


def granted(place: Place, grant: Granted, reason: Reason, *, nonce: str = "") -> Answer:
    """The request goes on. `nonce` is a new one for the client where it is time for that."""
    rule, verified = grant.entry.rule, grant.verified
    allow, dropped = _allow(place, rule, verified, nonce=nonce)
    return Answer(
        response=allow,
        outcome=Outcome.ALLOW,
        reason=reason,
        policy=rule.policy.name,
        rule=rule.name,
        mode=rule.policy.mode,
        metadata=_metadata(Outcome.ALLOW, reason, rule=rule, verified=verified),
        dropped_claim_headers=dropped,
    )


def refused(place: Place, refused_: Refused, *, scheme: Scheme | None, nonce: str = "") -> Answer:
    """The request ends here, or would if its policy were enforced.

    `scheme` is the one that the client used; `nonce` goes with `use_dpop_nonce`.
    """
    reason, entry, verified = refused_.reason, refused_.entry, refused_.verified
    if entry is None:
        return _refused_by_host(place.request, place.rules, reason)
    rule = entry.rule
    mode = place.rules.mode if reason in _WITHOUT_RULE else rule.policy.mode
    dropped = 0
    response: Allow | Refuse
    if mode is Mode.AUDIT:
        response, dropped = _allow(place, rule, verified, nonce=nonce)
    else:
        response = refusal(
            reason,
            entry.terms,
            scheme=scheme,
            grpc=is_grpc(place.request),
            scope_lacking=verified is not None and has_all_scopes(verified.facts, 0) is not None,
        )
        if nonce:
            response = with_headers(response, ("dpop-nonce", nonce))
        response = _readable(place.request, place.rules, response)
    outcome = RULINGS[reason].outcome
    return Answer(
        response=response,
        outcome=outcome,
        reason=reason,
        policy=rule.policy.name,
        rule=rule.name,
        mode=mode,
        audited=mode is Mode.AUDIT,
        metadata=_metadata(outcome, reason, rule=rule, verified=verified),
        dropped_claim_headers=dropped,
    )


def nowhere(request: Request, rules: RuleSet, where: Nowhere, *, allow_unmatched: bool) -> Answer:
    """Rows 1 to 3a. `allow_unmatched`: hosts of no policy are let through."""
    if where.rules is not None:
        return _refused_by_host(request, where.rules, where.reason)
    if where.reason is Reason.UNKNOWN_HOST and allow_unmatched:
        return Answer(
            response=allowance(request.headers, rules.identity_headers),
            outcome=Outcome.ALLOW,
            reason=where.reason,
            metadata=_metadata(Outcome.ALLOW, where.reason),
        )
    return unavailable_or_refused(where.reason, grpc=is_grpc(request))


def preflight(request: Request, found: Preflight) -> Answer:
    """Row 3c."""
    rules = found.rules
    return Answer(
        response=_allow_unruled(request, rules),
        outcome=Outcome.PREFLIGHT,
        reason=Reason.PREFLIGHT,
        policy=rules.owner,
        mode=rules.mode,
        metadata=_metadata(Outcome.PREFLIGHT, Reason.PREFLIGHT, policy=rules.owner),
    )


def document(found: Document) -> Answer:
    """Row 3b (RFC 9728 §3.2)."""
    policy = found.policy
    return Answer(
        response=Refuse(200, _DOCUMENT_HEADERS, found.metadata.document),
        outcome=Outcome.METADATA,
        reason=Reason.METADATA_DOCUMENT,
        policy=policy.name,
        mode=policy.mode,
        metadata=_metadata(Outcome.METADATA, Reason.METADATA_DOCUMENT, policy=policy.name),
    )


def unavailable_or_refused(reason: Reason, *, grpc: bool) -> Answer:
    """A refusal for which no policy stands: rows 1 to 2, F1 and F2."""
    outcome = RULINGS[reason].outcome
    return Answer(
        response=refusal(reason, grpc=grpc), outcome=outcome, reason=reason, metadata=_metadata(outcome, reason)
    )


def _refused_by_host(request: Request, rules: HostRules, reason: Reason) -> Answer:
    """Rows 3, 3a and 4 where no rule applies: audited where all policies of the host are."""
    audited = rules.mode is Mode.AUDIT
    outcome = RULINGS[reason].outcome
    if audited:
        response: Allow | Refuse = _allow_unruled(request, rules)
    else:
        response = _readable(request, rules, refusal(reason, grpc=is_grpc(request)))
    return Answer(
        response=response,
        outcome=outcome,
        reason=reason,
        policy=rules.owner,
        mode=rules.mode,
        audited=audited,
        metadata=_metadata(outcome, reason, policy=rules.owner),
    )


def _readable(request: Request, rules: HostRules, refuse: Refuse) -> Refuse:
    """With the headers that let a page of a listed origin read it."""
    origin = listed_origin(request, rules) if rules.allow_origins else ""
    return with_headers(refuse, *cors_headers(origin)) if origin else refuse


def _allow(place: Place, rule: Rule, verified: Verified | None, *, nonce: str) -> tuple[Allow, int]:
    """The allowance under a rule, and how many identity headers it could not set."""
    identity = identity_of(rule.policy, verified.facts.token.claims if verified else {})
    allow = allowance(
        place.request.headers,
        place.rules.stripped,
        policy=rule.policy,
        verified=verified,
        identity=identity,
        anonymous=rule.access is Access.ANONYMOUS,
        response_headers=nonce_headers(nonce, listed_origin(place.request, place.rules)) if nonce else (),
    )
    return allow, identity.dropped


def _allow_unruled(request: Request, rules: HostRules) -> Allow:
    """No rule applies, so what any policy of the host hides from the application stays hidden."""
    hide_proof = any(policy.authorization is not UpstreamAuthorization.KEEP for policy in rules.policies)
    return allowance(request.headers, rules.stripped, hide_proof=hide_proof)


def _metadata(
    outcome: Outcome,
    reason: Reason,
    *,
    policy: str = "",
    rule: Rule | None = None,
    verified: Verified | None = None,
) -> dict[str, str]:
    """Dynamic metadata. Whose the request is stands in it only where credentials passed rows 6 to 23."""
    metadata: dict[str, str] = {"decision": outcome, "reason": reason}
    if rule is not None:
        metadata["policy"] = rule.policy.name
        metadata["rule"] = rule.name
    elif policy:
        metadata["policy"] = policy
    if verified is not None:
        token = verified.facts.token
        metadata["iss"] = token.issuer.issuer
        for name in ("sub", "client_id"):
            if isinstance(value := token.claims.get(name), str):
                metadata[name] = value
        if token.binding.jkt is not None:
            metadata["jkt"] = token.binding.jkt
        if token.acr is not None:
            metadata["acr"] = token.acr
    return metadata
