"""A proof verified in one go, as each batch of the service does it in three steps."""

from stepguard_service.core.model import DpopSettings, Proof, Rejected
from stepguard_service.proof.dpop import HeaderCache, NonceCheck, is_signed, judge_proof, read_proof


def verify_proof(
    value: str,
    *,
    settings: DpopSettings,
    method: str,
    target: str,
    ath: str,
    nonce: NonceCheck | None,
    now: int,
    headers: HeaderCache | None = None,
) -> Proof | Rejected:
    """Check the value of the DPoP header of a request for `method` and `target` (as `request_target` gives it).

    `ath` is the hash of the access token; `now` is in Unix seconds. `headers` remembers parsed headers; None: nothing
    is remembered. Raises ValueError where the policy requires nonces and there is no `nonce` to check them with.
    """
    proof = read_proof(value, settings, headers)
    if isinstance(proof, Rejected):
        return proof
    return judge_proof(
        proof,
        is_signed(proof),
        method=method,
        target=target,
        ath=ath,
        nonce=nonce,
        now=now,
        headers=headers,
    )
