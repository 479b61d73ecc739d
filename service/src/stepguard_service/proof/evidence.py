"""What the verifiers make of the credentials of one request: the evidence that `core.decision` asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stepguard_service.core.credentials import Presented
from stepguard_service.core.model import AccessToken, Policy, Proof, Rejected
from stepguard_service.core.place import Place
from stepguard_service.core.reasons import Reason
from stepguard_service.core.slow import Introspected, Need, NeedIntrospection, NeedKeys, Unavailable, Waited
from stepguard_service.proof.certificate import CertificateSource, presented_certificate
from stepguard_service.proof.dpop import (
    HeaderCache,
    UnverifiedProof,
    header_cache,
    is_signed,
    judge_proof,
    read_proof,
)
from stepguard_service.proof.htu import request_target
from stepguard_service.proof.introspection import accept_introspection, confirm_jwt
from stepguard_service.proof.nonce import NonceKeys

Waits = Mapping[tuple[type[Need], str], Waited]
"""What a request waited for already, by kind and the issuer's hash, and what came of it."""

NO_WAITS: Waits = MappingProxyType({})


def _nothing_remembered(_: NeedIntrospection) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Verifiers:
    """What judges credentials; made once for all requests.

    `token` is `TokenVerifier.verify`, `nonces` gives the keys in force for nonces, None where there are none,
    `introspected` what the issuer said about the token and still counts.
    """

    token: Callable[[str, Policy, int], AccessToken | Rejected | Need]
    nonces: Callable[[], NonceKeys | None]
    introspected: Callable[[NeedIntrospection], Introspected | None] = _nothing_remembered
    certificate_source: CertificateSource = CertificateSource.PEER
    proof_headers: HeaderCache = field(default_factory=header_cache)


class RequestEvidence:
    """The evidence of one request at one time; each thing is verified once for one policy."""

    __slots__ = (
        "_now",
        "_place",
        "_policy",
        "_presented",
        "_proof",
        "_read",
        "_signed",
        "_token",
        "_verifiers",
        "_waits",
    )

    def __init__(self, verifiers: Verifiers, place: Place, presented: Presented, *, waits: Waits, now: int) -> None:
        self._verifiers = verifiers
        self._place = place
        self._presented = presented
        self._waits = waits
        self._now = now
        self._policy: Policy | None = None
        self._token: AccessToken | Rejected | Need | None = None
        self._read: UnverifiedProof | Rejected | None = None
        self._signed: bool | None = None
        self._proof: Proof | Rejected | None = None

    def token(self, policy: Policy) -> AccessToken | Rejected | Need:
        """The access token under this policy (rows 10 to 12)."""
        if self._token is None or policy is not self._policy:
            self._policy, self._read, self._signed, self._proof = policy, None, None, None
            self._token = self._verify_token(policy)
        return self._token

    def certificate(self) -> str | None:
        """`x5t#S256` of the client certificate, from where the platform says."""
        return presented_certificate(self._place.request, self._verifiers.certificate_source)

    def nonce_keys(self) -> bool:
        """Whether there are keys for nonces."""
        return self._verifiers.nonces() is not None

    def signature(self, policy: Policy) -> Callable[[], None] | None:
        """What verifies the proof's signature, for `proof` to know; None where nothing hangs on that any more."""
        if self._read is None:
            self._read = read_proof(self._presented.proof, policy.dpop, self._verifiers.proof_headers)
        return self._verify_signature if self._signed is None and isinstance(self._read, UnverifiedProof) else None

    def proof(self, policy: Policy, token: AccessToken) -> Proof | Rejected:
        """The proof under the policy that `token` was asked for (rows 21 and 22)."""
        if self._proof is None:
            if (verify := self.signature(policy)) is not None:
                verify()
            self._proof = self._judge_proof(policy, token)
        return self._proof

    def _verify_signature(self) -> None:
        if isinstance(self._read, UnverifiedProof):
            self._signed = is_signed(self._read)

    def _verify_token(self, policy: Policy) -> AccessToken | Rejected | Need:
        found = self._verifiers.token(self._presented.authorization.token, policy, self._now)
        match found:
            case NeedKeys():
                return self._after_keys(found)
            case NeedIntrospection():
                return self._after_introspection(found, policy)
            case AccessToken(issuer=issuer) if issuer.introspection is not None and issuer.introspection.always:
                return self._after_introspection(
                    NeedIntrospection(issuer, self._presented.authorization.token), policy, jwt=found
                )
            case _:
                return found

    def _after_keys(self, need: NeedKeys) -> Rejected | Need:
        waited = self._waits.get((NeedKeys, need.issuer.hash))
        if waited is None:
            return need
        if isinstance(waited, Unavailable) or need.kid is None:
            return Rejected(Reason.KEYS_UNAVAILABLE, "the issuer's keys could not be fetched")
        return Rejected(Reason.TOKEN_KEY_UNKNOWN, "the issuer has no key with this kid")

    def _after_introspection(
        self, need: NeedIntrospection, policy: Policy, *, jwt: AccessToken | None = None
    ) -> AccessToken | Rejected | Need:
        """Judged anew for every request, whoever remembered the answer. `jwt`: the issuer is always asked (row 11a)."""
        waited = self._waits.get((NeedIntrospection, need.issuer.hash)) or self._verifiers.introspected(need)
        if waited is None:
            return need
        if not isinstance(waited, Introspected):
            return Rejected(Reason.INTROSPECTION_UNAVAILABLE, "the issuer could not be asked about the token")
        if jwt is not None:
            return confirm_jwt(jwt, waited.members, policy=policy, token=need.token, now=self._now)
        return accept_introspection(waited.members, need.issuer, policy=policy, token=need.token, now=self._now)

    def _judge_proof(self, policy: Policy, token: AccessToken) -> Proof | Rejected:
        read, request = self._read, self._place.request
        if not isinstance(read, UnverifiedProof):
            return Rejected(Reason.PROOF_MISSING) if read is None else read
        target = request_target(policy.origin, request.authority, request.target)
        if target is None:
            return Rejected(Reason.PROOF_TARGET, "the request has no URI that a proof could name")
        return judge_proof(
            read,
            self._signed is True,
            method=request.method,
            target=target,
            ath=token.ath,
            nonce=self._nonce_check(policy) if policy.dpop.nonce_required else None,
            now=self._now,
            headers=self._verifiers.proof_headers,
        )

    def _nonce_check(self, policy: Policy) -> Callable[[str], float | None]:
        nonces, skew = self._verifiers.nonces(), policy.dpop.clock_skew
        return lambda nonce: None if nonces is None else nonces.check(nonce, self._place.host, self._now, skew)
