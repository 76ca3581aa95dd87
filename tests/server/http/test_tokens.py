"""JSON web tokens: signed here with keys of our own, checked as from an authorization server."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from mcp.server.auth.provider import AccessToken

from ostensor.imaging.errors import BadCall
from ostensor.server.http.tokens import JwtVerifier, TokenFile, owner_of, toolsets_of
from ostensor.tools.desk.desk import Desk

from ...toys.http_toys import Site, scan_bytes, served

ISSUER = "https://login.example.org"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def key_set(folder: Path) -> Path:
    path = folder / "jwks.json"
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    path.write_text(json.dumps({"keys": [{**public, "kid": "one", "use": "sig", "alg": "ES256"}]}), encoding="utf-8")
    return path


def token(key: Any = KEY, algorithm: str = "ES256", kid: str = "one", **claims: Any) -> str:
    values = {
        "iss": ISSUER, "sub": "ada", "aud": "https://scans.example.org/mcp", "client_id": "chat",
        "scope": "openid ostensor:core", "exp": int(time.time()) + 300, **claims,
    }  # fmt: skip
    kept = {name: value for name, value in values.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def site(desk: Desk, tmp_path: Path) -> Iterator[Site]:
    settings = {"auth": "oauth", "issuer": ISSUER, "public_url": "https://scans.example.org/mcp"}
    with served(desk, jwks=str(key_set(tmp_path)), **settings) as made:
        yield made


def status(site: Site, made: str) -> int:
    return site.request("POST", "/upload", made, params={"name": "ct.nii"}, content=scan_bytes()).status_code


def test_a_token_of_the_issuer_for_this_server_is_taken(site: Site) -> None:
    assert status(site, token()) == 201
    assert status(site, token(aud=["https://elsewhere.example.org", "https://scans.example.org/mcp"])) == 201
    assert not site.ask(token(), "list_models").is_error


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"aud": "https://elsewhere.example.org/mcp"},
        {"aud": None},
        {"iss": "https://evil.example.org"},
        {"sub": None},
        {"nbf": int(time.time()) + 3600},
        {"key": OTHER},
        {"kid": "two"},
        {"key": RSA, "algorithm": "RS256"},
        {"key": None, "algorithm": "none"},
        {"key": "a secret that is long enough for HS256", "algorithm": "HS256"},
    ],
    ids=[
        "expired",
        "no expiry",
        "other audience",
        "no audience",
        "other issuer",
        "no subject",
        "not yet valid",
        "other key",
        "other key id",
        "rsa key",
        "unsigned",
        "shared secret",
    ],
)
def test_expired_foreign_and_forged_tokens_are_refused(site: Site, wrong: dict[str, Any]) -> None:
    refused = site.request("POST", "/mcp", token(**wrong), json={})
    assert refused.status_code == 401
    assert "resource_metadata=" in refused.headers["www-authenticate"]


def test_a_token_without_our_scopes_is_not_enough(site: Site) -> None:
    assert status(site, token(scope="openid profile")) == 403
    assert status(site, token(scope=None, scp=["ostensor:core"])) == 201


def test_the_metadata_name_server_issuer_and_scopes(site: Site) -> None:
    """RFC 9728: where a client looks after a 401."""
    found = site.request("GET", "/.well-known/oauth-protected-resource/mcp").json()
    assert found["resource"] == "https://scans.example.org/mcp"
    assert found["authorization_servers"] == [ISSUER] or found["authorization_servers"] == [f"{ISSUER}/"]
    assert "ostensor:clinical" in found["scopes_supported"]


def test_subjects_own_and_issuers_tell_equal_names_apart() -> None:
    def made(subject: str | None, issuer: str, client: str = "chat") -> str:
        return owner_of(AccessToken(token="", client_id=client, subject=subject, scopes=[], claims={"iss": issuer}))

    assert made("ada", "a", "chat") == made("ada", "a", "editor")
    assert len({made("ada", "a"), made("ben", "a"), made("ada", "b"), made(None, "a"), made(None, "a", "editor")}) == 5


def test_scopes_open_toolsets_the_server_offers() -> None:
    assert toolsets_of(["ostensor:core"], ("core", "clinical", "viewer")) == ("core", "viewer")
    assert toolsets_of(["ostensor:all"], ("core",)) == ("core",)
    assert toolsets_of(["ostensor:language", "email"], ("all",)) == ("language",)
    assert toolsets_of(["core", "all"], ("all",)) == ()


@pytest.mark.parametrize(
    ("name", "toolsets", "days", "fact"),
    [("", ["core"], 1, "name"), ("a", ["cor"], 1, "cor"), ("a", [], 1, "Allowed"), ("a", ["core"], 0, "more than 0")],
)
def test_tokens_that_cannot_be_made(tmp_path: Path, name: str, toolsets: list[str], days: float, fact: str) -> None:
    with pytest.raises(BadCall, match=fact):
        TokenFile(tmp_path).add(name, toolsets=toolsets, days=days)


def test_a_missing_key_set_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match=r"none\.json"):
        JwtVerifier(issuer=ISSUER, resource="https://a/mcp", jwks=str(tmp_path / "none.json"))
