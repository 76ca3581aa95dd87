"""Who calls: bearer tokens made here, or JSON web tokens of an authorization server, and what they allow."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
import jwt
from mcp.server.auth.provider import AccessToken, principal_components

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...tools.desk.settings import TOOLSETS

log = logging.getLogger(__name__)

PREFIX = "ostensor:"
SCOPES = (*(PREFIX + name for name in TOOLSETS), PREFIX + "all")
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_S = 30  # clocks differ a little
SIGNING_IN = anyio.CapacityLimiter(8)  # threads that check tokens and count requests, and do nothing else
_LONGEST = 8192  # characters of a token; longer ones are not looked at


def toolsets_of(scopes: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    """The toolsets a caller gets: those granted ("ostensor:NAME") that the server offers.

    Whoever may use the core tools may look at the scan too, so "core" brings the viewer.
    """
    granted = {scope.removeprefix(PREFIX) for scope in scopes if scope.startswith(PREFIX)}
    granted |= {"viewer"} if "core" in granted else set()
    return tuple(name for name in TOOLSETS if granted & {name, "all"} and set(offered) & {name, "all"})


def owner_of(token: AccessToken) -> str:
    """Who owns what a token makes: opaque, the same for every token of one person at one issuer."""
    client, issuer, subject = principal_components(token)
    who = json.dumps([issuer or "", subject or "", "" if subject else client])
    return hashlib.sha256(who.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class IssuedToken:
    """A token as it is kept: its hash, not itself.

    Attributes:
        expires: seconds since 1970.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...]
    expires: int


class TokenFile:
    """Bearer tokens of one store, in a file only its owner may read.

    Args:
        folder: of the store.
        resource: what the tokens are for, `HttpSettings.url`.
    """

    def __init__(self, folder: Path, resource: str = "") -> None:
        self.path = folder / "tokens.json"
        self.resource = resource

    def tokens(self) -> tuple[IssuedToken, ...]:
        """Every token, also expired ones."""
        if not self.path.exists():
            return ()
        rows = json.loads(self.path.read_text(encoding="utf-8"))
        return tuple(IssuedToken(**{**row, "scopes": tuple(row["scopes"])}) for row in rows)

    def add(self, name: str, *, toolsets: Sequence[str], days: float) -> str:
        """Make a token and answer it; it is not kept and cannot be shown again.

        Args:
            name: of the person or program; several tokens of one name share what they own.

        Raises:
            BadCall: no name, an unknown toolset, or a life that is not above 0 days.
        """
        if not name.strip() or len(name) > 100:
            raise BadCall("A token needs a name of 1 to 100 characters, such as the person's.")
        unknown = set(toolsets) - set(TOOLSETS) - {"all"}
        if unknown or not toolsets:
            raise BadCall(f"Unknown toolsets {sorted(unknown)}. Allowed: all, {', '.join(TOOLSETS)}.")
        if not days > 0:
            raise BadCall(f"A token of {days} days would never be valid. Give more than 0.")
        token = secrets.token_urlsafe(32)
        scopes = tuple(PREFIX + toolset for toolset in toolsets)
        made = IssuedToken(name, _hashed(token), scopes, int(time.time() + days * 86_400))
        self._write((*self.tokens(), made))
        return token

    def revoke(self, name: str) -> int:
        """Remove every token of this name; answers how many."""
        kept = tuple(token for token in self.tokens() if token.name != name)
        removed = len(self.tokens()) - len(kept)
        if removed:
            self._write(kept)
        return removed

    def _write(self, tokens: Sequence[IssuedToken]) -> None:
        data = json.dumps([asdict(token) for token in tokens], indent=1).encode()
        write_atomically(self.path, lambda file: _private(file, data))

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token's holder, or None; see the SDK's `TokenVerifier`. The file is read anew, so revoking works at once."""
        if len(token) > _LONGEST:
            return None
        digest = _hashed(token)
        for known in await anyio.to_thread.run_sync(self.tokens, limiter=SIGNING_IN):
            if secrets.compare_digest(known.sha256, digest):
                return AccessToken(
                    token=token,
                    client_id=known.name,
                    subject=known.name,
                    scopes=list(known.scopes),
                    expires_at=known.expires,
                    resource=self.resource,
                )
        return None


class JwtVerifier:
    """Access tokens as JSON web tokens (RFC 9068) of one issuer, checked with its public keys.

    Args:
        resource: the audience a token must name, `HttpSettings.url`.
        jwks: https address or file of the issuer's JSON web key set.
    """

    def __init__(self, *, issuer: str, resource: str, jwks: str) -> None:
        self.issuer, self.resource = issuer, resource
        self._remote = jwt.PyJWKClient(jwks, cache_keys=True, lifespan=300) if "://" in jwks else None
        self._file = None if "://" in jwks else Path(jwks)
        if self._file is not None and not self._file.is_file():
            raise BadCall(f"The key set '{self._file.name}' does not exist. Give a file or an https address as jwks.")

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token's holder, or None; see the SDK's `TokenVerifier`."""
        if len(token) > _LONGEST:
            return None
        try:
            claims = await anyio.to_thread.run_sync(self._claims, token, limiter=SIGNING_IN)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            log.info("a bearer token was refused: %s", type(error).__name__)
            return None
        scopes = _scopes(claims)
        if scopes is None:
            log.info("a bearer token was refused: its scopes are no text and no list of texts")
            return None
        subject = str(claims["sub"])
        return AccessToken(
            token=token,
            client_id=str(claims.get("client_id", claims.get("azp", subject))),
            subject=subject,
            scopes=scopes,
            expires_at=int(claims["exp"]),
            resource=self.resource,
            claims={"iss": claims["iss"]},
        )

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._key(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            audience=[self.resource, self.resource.removesuffix("/")],
            issuer=self.issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    def _key(self, token: str) -> jwt.PyJWK:
        if self._remote is not None:
            return self._remote.get_signing_key_from_jwt(token)
        assert self._file is not None
        keys = jwt.PyJWKSet.from_json(self._file.read_text(encoding="utf-8")).keys
        wanted = jwt.get_unverified_header(token).get("kid")
        for key in keys:
            if wanted is None or key.key_id == wanted:
                return key
        raise jwt.InvalidKeyError("no key of this name")


def _scopes(claims: dict[str, Any]) -> list[str] | None:
    """The scopes of a token (RFC 9068: one text; some issuers: a list of texts); None when they are something else."""
    scope = claims.get("scope", claims.get("scp", ""))
    if isinstance(scope, str):
        return scope.split()
    if isinstance(scope, list) and all(isinstance(part, str) for part in scope):
        return scope
    return None


def _hashed(token: str) -> str:
    """Tokens are 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _private(file: BinaryIO, data: bytes) -> None:
    if os.name == "posix":
        os.fchmod(file.fileno(), 0o600)
    file.write(data)
