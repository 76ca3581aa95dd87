"""Small things at the web server: sizes of headers, preflight, scopes of an odd kind, arguments of prompts."""

from collections.abc import Iterator
from typing import Any

import pytest
from mcp import MCPError

from ostensor.server.http.app import HEADERS_BYTES
from ostensor.server.http.tokens import TokenFile
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk

from ..server.http.test_tokens import site as oauth_site
from ..server.http.test_tokens import status, token
from ..toys.http_toys import Site, served

__all__ = ["oauth_site"]
PAGE = "https://chat.example.org"


@pytest.fixture
def site(desk: Desk) -> Iterator[Site]:
    with served(desk, auth="tokens", allowed_origins=(PAGE,)) as made:
        yield made


def test_a_header_has_the_limit_that_the_documentation_says(site: Site) -> None:
    few = {"X-A": "a" * (HEADERS_BYTES - 2000)}
    assert site.request("GET", "/healthz", headers=few).status_code == 200
    for many in ({"X-A": "a" * HEADERS_BYTES}, {f"X-{n}": "b" * 100 for n in range(320)}):
        assert site.request("GET", "/healthz", headers=many).status_code in (400, 431)
    assert site.request("GET", "/healthz?" + "a" * HEADERS_BYTES).status_code in (400, 431)


def test_preflight_is_answered_for_allowed_origins_only(site: Site, desk: Desk) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for path in ("/mcp", "/upload", "/files/a.nii"):
        answer = site.request("OPTIONS", path, headers={"Origin": PAGE, **asked})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        foreign = site.request("OPTIONS", path, headers={"Origin": "https://evil.example", **asked})
        assert foreign.status_code == 403
        assert "access-control-allow-origin" not in foreign.headers
    ada = TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)
    answer = site.request("POST", "/upload", ada, headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, PAGE)
    assert "access-control-allow-origin" not in site.request("POST", "/upload", ada).headers


@pytest.mark.parametrize("scope", [7, {"a": 1}, [1, 2], [["ostensor:core"]], True])
def test_scopes_that_are_none_are_401(oauth_site: Site, scope: Any) -> None:  # the fixture of that name
    assert status(oauth_site, token(scope=scope)) == 401


async def ask_prompt(desk: Desk, name: str, arguments: dict[str, str]) -> str:
    from mcp import Client

    async with Client(build_server(desk)) as client:
        try:
            answer = await client.get_prompt(name, arguments)
        except MCPError as error:
            return f"{error.code} {error}"
    return str(answer.messages[0].content)


@pytest.mark.parametrize(
    ("name", "arguments", "fact"),
    [
        ("check_report", {"nope": "x"}, "'nope' is not an argument of check_report. Arguments: image_id, report"),
        ("nope", {}, "Unknown prompt 'nope'. Prompts: check_report"),
        ("check_report", {"image_id": "\x00"}, "NUL"),
        ("measure_lesion", {"description": "a" * 60_000}, "more than 50000"),
    ],
)
def test_a_bad_argument_of_a_prompt_is_a_proper_error(
    desk: Desk, name: str, arguments: dict[str, str], fact: str
) -> None:
    import anyio

    answer = anyio.run(ask_prompt, desk, name, arguments)
    assert answer.startswith("-32602 ")
    assert fact in answer
