"""Keys fetched from the issuer over HTTP: RS256, rotation, and an issuer that cannot be reached."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ostensor.server.http.tokens import JwtVerifier

from .test_tokens import ISSUER, token

RESOURCE = "https://scans.example.org/mcp"
OLD, NEW = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


class Issuer:
    """An authorization server's key set, as a page; `keys` may change while it runs."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.asked = 0
        issuer = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps({"keys": [_public(key, name) for name, key in issuer.keys.items()]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"


def _public(key: Any, name: str) -> dict[str, Any]:
    return {
        **json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())),
        "kid": name,
        "use": "sig",
        "alg": "RS256",
    }


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    made.keys = {"old": OLD}
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def holder(verifier: JwtVerifier, made: str) -> str | None:
    found = anyio.run(verifier.verify_token, made)
    return None if found is None else found.subject


def test_keys_are_fetched_once_and_again_when_the_issuer_rotates_them(issuer: Issuer) -> None:
    verifier = JwtVerifier(issuer=ISSUER, resource=RESOURCE, jwks=issuer.url)
    old, new = token(OLD, "RS256", "old"), token(NEW, "RS256", "new")
    assert holder(verifier, old) == "ada"
    assert holder(verifier, old) == "ada"
    assert issuer.asked == 1
    assert holder(verifier, new) is None, "not published yet"
    issuer.keys = {"new": NEW}
    assert holder(verifier, new) is None, "unknown keys are asked for twice a minute at most"
    assert issuer.asked == 1
    assert verifier._remote is not None
    verifier._remote.cooldown_duration = 0.0  # half a minute later
    assert holder(verifier, new) == "ada"
    assert holder(verifier, token(OLD, "RS256", "new")) is None, "signed by the old key under the new name"


def test_wrong_issuers_audiences_and_times_are_refused_with_a_fetched_key(issuer: Issuer) -> None:
    verifier = JwtVerifier(issuer=ISSUER, resource=RESOURCE, jwks=issuer.url)
    for wrong in ({"iss": "https://evil.example.org"}, {"aud": "https://elsewhere.example.org"}, {"exp": 1_000_000}):
        assert holder(verifier, token(OLD, "RS256", "old", **wrong)) is None


def test_nobody_is_let_in_while_the_issuer_cannot_be_reached(issuer: Issuer) -> None:
    verifier = JwtVerifier(issuer=ISSUER, resource=RESOURCE, jwks="http://127.0.0.1:9/keys")
    assert holder(verifier, token(OLD, "RS256", "old")) is None
