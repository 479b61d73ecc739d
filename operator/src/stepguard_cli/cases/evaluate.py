"""Cases, decided by the service's own code."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stepguard.policy.v1 import policy_pb2 as pb
from stepguard_policy.hosts import Authority, parse_authority
from stepguard_service.core.model import Allow, Answer, DpopSettings, Origin, Policy
from stepguard_service.proof.htu import request_target

from stepguard_cli.cases.keys import SigningIssuer, new_key, with_test_keys
from stepguard_cli.cases.model import Case, ProofCase, TokenCase
from stepguard_cli.console import CliError
from stepguard_cli.engine import Engine, engine
from stepguard_cli.proofs import PrivateKey, make_proof, public_jwk, thumbprint
from stepguard_cli.requests import Target, parse_url

NOW: Final = 1_800_000_000
"""The time of every case: nothing that a case can say depends on the day."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case. `differences` are empty where everything was as expected."""

    case: Case
    answer: Answer
    differences: tuple[str, ...]


@contextlib.contextmanager
def bench(snapshot: pb.PolicySnapshot) -> Iterator["Bench"]:
    """Where cases are decided under the policies of a snapshot. Raises CliError."""
    changed, issuers = with_test_keys(snapshot)
    with engine(changed) as decider:
        yield Bench(decider, issuers)


@dataclass(frozen=True, slots=True)
class Bench:
    """The service's own decision, and who can sign tokens that it accepts."""

    engine: Engine
    issuers: Mapping[str, SigningIssuer]

    def evaluate(self, case: Case) -> Result:
        """Decide the case. Raises CliError where it cannot be made."""
        target = parse_url(case.request.url)
        headers = {**case.request.headers, **self._credentials(case, target)}
        if case.proof is ProofCase.REPEATED:
            self.engine.decide(target.request(case.request.method, headers, request_id="first"), NOW)
        answer = self.engine.decide(target.request(case.request.method, headers), NOW)
        return Result(case, answer, tuple(_differences(case, answer)))

    def _credentials(self, case: Case, target: Target) -> Mapping[str, str]:
        if case.token is None:
            return {}
        issuer = _issuer(case.token, self.issuers)
        policy = _a_policy(self.engine, target)
        client, other = (_client_key(policy.dpop if policy else None) for _ in range(2))
        claims = dict(case.token.claims)
        if case.token.authenticated_ago is not None:
            claims.setdefault("auth_time", NOW - case.token.authenticated_ago)
        if not case.token.bound:
            return {"authorization": f"Bearer {issuer.token(claims, NOW)}"}
        token = issuer.token({"cnf": {"jkt": thumbprint(public_jwk(client))}, **claims}, NOW)
        headers = {"authorization": f"DPoP {token}"}
        if case.proof is not ProofCase.MISSING:
            origin = policy.origin if policy else Origin()
            headers["dpop"] = make_proof(
                other if case.proof is ProofCase.OTHER_KEY else client,
                case.request.method,
                url=request_target(origin, target.authority, target.path) or case.request.url,
                now=NOW,
                token=token,
                nonce=_nonce(self.engine, policy, target),
            )
        return headers


def _issuer(token: TokenCase, issuers: Mapping[str, SigningIssuer]) -> SigningIssuer:
    name = token.issuer or (next(iter(issuers)) if len(issuers) == 1 else "")
    if name in issuers:
        return issuers[name]
    raise CliError(f"token.issuer: name one of the TokenIssuers: {', '.join(issuers) or 'there is none'}")


def _a_policy(decider: Engine, target: Target) -> Policy | None:
    """The oldest policy of the host: how its clients address it, and which algorithms and nonces they use."""
    authority = parse_authority(target.authority)
    rules = decider.rules.find(authority.host) if isinstance(authority, Authority) else None
    return rules.policies[0] if rules and rules.policies else None


def _client_key(settings: DpopSettings | None) -> PrivateKey:
    algorithms = settings.algorithms if settings and settings.algorithms else ("ES256",)
    return new_key("ES256" if "ES256" in algorithms else algorithms[0])


def _nonce(decider: Engine, policy: Policy | None, target: Target) -> str | None:
    authority = parse_authority(target.authority)
    if policy is None or not policy.dpop.nonce_required or not isinstance(authority, Authority):
        return None
    return decider.nonces.issue(authority.host, NOW)


def _differences(case: Case, answer: Answer) -> Iterator[str]:
    got: dict[str, object] = {
        "outcome": answer.outcome,
        "status": 200 if isinstance(answer.response, Allow) else answer.response.status,
        "policy": answer.policy,
        "rule": answer.rule,
        "reason": answer.reason,
    }
    for name, value in got.items():
        wanted = getattr(case.expect, name)
        if wanted is not None and wanted != value:
            yield f"{name}: expected {wanted}, got {value or 'none'}"
