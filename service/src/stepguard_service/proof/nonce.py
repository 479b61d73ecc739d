"""DPoP nonces of this resource server (RFC 9449 §9): stateless, so that replicas with the same keys agree.

A nonce is base64url of 32 bytes: time (8, Unix seconds, big-endian) ‖ random (8) ‖ the first 16 of
HMAC-SHA-256(key, "stepguard-nonce-v1" ‖ 0 ‖ host ‖ 0 ‖ time ‖ random). The random part keeps nonces unpredictable
(§8) and unequal; the host keeps one from being used at another API of this service.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from stepguard_policy.nonce_keys import key_id

from stepguard_service.limits import NONCE_LIFETIME
from stepguard_service.proof.jose import decode_text

_TIME = 8
_RANDOM = 8
_MAC = 16
_LENGTH = _TIME + _RANDOM + _MAC


@dataclass(frozen=True, slots=True, repr=False)
class NonceKeys:
    """Keys of at least 32 bytes: the first signs, all verify, so that a rotation loses no client."""

    keys: tuple[bytes, ...]

    def issue(self, host: str, now: float) -> str:
        """A fresh nonce for `host`, which is in lower case and without port."""
        unsigned = int(now).to_bytes(_TIME, "big") + secrets.token_bytes(_RANDOM)
        return urlsafe_b64encode(unsigned + _mac(self.keys[0], host, unsigned)).rstrip(b"=").decode()

    def check(self, nonce: str, host: str, now: float, skew: int) -> float | None:
        """Its age in seconds, not below 0, or None where it is not ours, not this host's, or not of this time.

        Valid from `skew` seconds before its own time (another replica's clock may be ahead) until 300 seconds after.
        """
        raw = decode_text(nonce)
        if raw is None or len(raw) != _LENGTH:
            return None
        unsigned, mac = raw[: _TIME + _RANDOM], raw[_TIME + _RANDOM :]
        if not any(hmac.compare_digest(mac, _mac(key, host, unsigned)) for key in self.keys):
            return None
        age = now - int.from_bytes(unsigned[:_TIME], "big")
        return max(age, 0.0) if -skew <= age <= NONCE_LIFETIME else None

    @property
    def ids(self) -> tuple[str, ...]:
        """Short hashes of the keys, the signing one first: for reports."""
        return tuple(key_id(key) for key in self.keys)


def random_keys() -> NonceKeys:
    """Keys that live as long as the process: for a single replica."""
    return NonceKeys((secrets.token_bytes(32),))


def _mac(key: bytes, host: str, unsigned: bytes) -> bytes:
    message = b"stepguard-nonce-v1\0" + host.encode() + b"\0" + unsigned
    return hmac.digest(key, message, "sha256")[:_MAC]
