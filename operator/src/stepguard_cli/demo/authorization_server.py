"""The demo's authorization server: the code flow (RFC 6749 §4.1) with DPoP (RFC 9449 §5) and step-up (RFC 9470 §4).

It has one user, alice, who is always there and agrees to everything: what a browser and a login page would do happens
in one redirect. Asked for `urn:demo:passkey` she uses her passkey, else her password. The proof at the token endpoint
is verified, and the token that is given out is bound to the proof's key.
"""

import secrets
import threading
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import jwt

from stepguard_cli.demo.servers import Asked, Told
from stepguard_cli.proofs import new_key, public_jwk, thumbprint

PASSKEY: Final = "urn:demo:passkey"
PASSWORD: Final = "urn:demo:password"  # noqa: S105 - the name of a way to authenticate
TOKEN_LIFETIME: Final = 3600
PROOF_LIFETIME: Final = 60
KEY_ID: Final = "demo-1"


@dataclass(frozen=True, slots=True)
class Login:
    """What the user did when a code was given out."""

    client_id: str
    acr: str
    auth_time: int


class AuthorizationServer:
    """Gives out codes, and tokens for codes."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._key = new_key()
        self._codes: dict[str, Login] = {}
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Told:
        """One request, whatever it asks for."""
        now = int(time.time())
        match asked.method, asked.path:
            case "GET", "/jwks":
                return Told({"keys": [public_jwk(self._key) | {"kid": KEY_ID, "use": "sig", "alg": "ES256"}]})
            case "GET", "/authorize":
                return self._authorize(asked, now)
            case "POST", "/token":
                return self._token(asked, now)
            case _:
                return Told({"error": "not_found"}, status=404)

    def _authorize(self, asked: Asked, now: int) -> Told:
        acr = PASSKEY if PASSKEY in asked.parameters.get("acr_values", "").split() else PASSWORD
        code = secrets.token_urlsafe(16)
        with self._lock:
            self._codes[code] = Login(asked.parameters.get("client_id", "demo"), acr, now)
        target = asked.parameters.get("redirect_uri", "http://localhost/callback")
        return Told({}, 302, {"location": f"{target}?{urlencode({'code': code})}"})

    def _token(self, asked: Asked, now: int) -> Told:
        with self._lock:
            login = self._codes.pop(asked.parameters.get("code", ""), None)
        if asked.parameters.get("grant_type") != "authorization_code" or login is None:
            return Told({"error": "invalid_grant"}, status=400)
        jkt = self._proven_key(asked.headers.get("dpop", ""), now)
        if jkt is None:
            return Told({"error": "invalid_dpop_proof"}, status=400)
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": "alice",
            "client_id": login.client_id,
            "iat": now,
            "exp": now + TOKEN_LIFETIME,
            "jti": secrets.token_urlsafe(12),
            "acr": login.acr,
            "auth_time": login.auth_time,
            "cnf": {"jkt": jkt},
        }
        token = jwt.encode(claims, self._key, "ES256", headers={"typ": "at+jwt", "kid": KEY_ID})
        return Told({"access_token": token, "token_type": "DPoP", "expires_in": TOKEN_LIFETIME})

    def _proven_key(self, proof: str, now: int) -> str | None:
        """The thumbprint of the key that signed the proof; None where the proof is not good for the token endpoint."""
        try:
            header = jwt.get_unverified_header(proof)
            jwk = {name: str(header["jwk"][name]) for name in ("crv", "kty", "x", "y")}
            key = jwt.PyJWK.from_dict(jwk, algorithm="ES256")
            claims = jwt.decode(proof, key, algorithms=["ES256"], options={"require": ["iat", "jti", "htm", "htu"]})
        except (jwt.PyJWTError, KeyError, TypeError):
            return None
        stated = (header.get("typ"), claims["htm"], claims["htu"])
        expected = ("dpop+jwt", "POST", f"{self._issuer}/token")
        return thumbprint(jwk) if stated == expected and now - int(claims["iat"]) <= PROOF_LIFETIME else None
