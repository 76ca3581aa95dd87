"""Asking one server, the one the user named: no redirect is followed, no proxy used, no answer without a bound. Torch-free."""

from __future__ import annotations

import functools
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from ....imaging.errors import BadCall
from ....imaging.guards.hosts import is_this_machine
from ..engine import Engine
from ..refusals import refusal

CONNECT_S = 5.0
READ_S = 120.0  # between two pieces of an answer; a click of nnInteractive's takes seconds on a CPU
MOST_BYTES = 4 << 30  # of an answer
MOST_JSON = 16 << 20
MOST_LINE = 1 << 20
_LOST = 410


class Server:
    """One server.

    Args:
        engine: its url, and the variable that holds its key.

    Raises:
        BadCall: an address that would send scans in plain text over a network.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        check_url(engine)
        key = os.environ[engine.key_env] if engine.key_env and engine.key_env in os.environ else ""
        if not (key.isascii() and key.isprintable()):  # what no header can hold would be told in an error of httpx's
            raise refusal("engine_unreachable", f"The variable {engine.key_env} holds no key: it has odd characters.")
        self.headers: dict[str, str] = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
        self._client = httpx2.Client(
            base_url=engine.url.rstrip("/"), timeout=timeout, follow_redirects=False, trust_env=False, verify=_trusted()
        )

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def ask(
        self, method: str, path: str, *, json_body: Any = None, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None, most: int | None = None,
    ) -> httpx2.Response:  # fmt: skip
        """An answer that came whole.

        Args:
            most: bytes it may have; default `MOST_BYTES`.

        Raises:
            Unavailable: no answer, a wrong key, no free place, a lost session.
            BadCall: the server refuses what it was asked.
            Failed: it failed.
        """
        content = json.dumps(json_body).encode() if json_body is not None else body
        kind = "application/json" if json_body is not None else "application/octet-stream"
        sent = {**self.headers, "Content-Type": kind, **(headers or {})}
        with self.failures(), self._client.stream(method, path, content=content, headers=sent, params=params) as answer:
            self._check(answer)
            pieces, length = [], 0
            for piece in answer.iter_bytes():
                length += len(piece)
                if length > (MOST_BYTES if most is None else most):
                    raise refusal(
                        "engine_geometry_broken", f"'{self.engine.name}' answers more than such an answer can hold."
                    )
                pieces.append(piece)
            whole = httpx2.Response(answer.status_code, headers=_plain(answer.headers), content=b"".join(pieces))
        return whole

    def json(self, method: str, path: str, **named: Any) -> dict[str, Any]:
        """An answer that is a JSON object; refusals as of `ask`."""
        return self.object_in(self.ask(method, path, most=MOST_JSON, **named).content)

    def object_in(self, content: bytes | str) -> dict[str, Any]:
        """A JSON object.

        Raises:
            Failed: it is none.
        """
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise refusal(
                "engine_crashed",
                f"The server of '{self.engine.name}' does not answer in JSON. Is it of the right kind?",
            )
        return found

    @contextmanager
    def lines(self, path: str, pause_s: float) -> Iterator[Iterator[str]]:
        """The lines of an answer as they come, without empty ones; `httpx2.ReadTimeout` when none comes within the pause."""
        timeout = httpx2.Timeout(READ_S, connect=CONNECT_S, read=pause_s)
        with self._client.stream("GET", path, headers=self.headers, timeout=timeout) as answer:
            self._check(answer)
            yield self._lines_of(answer)

    def _lines_of(self, answer: httpx2.Response) -> Iterator[str]:
        left = b""
        for piece in answer.iter_bytes():
            *lines, left = (left + piece).split(b"\n")
            if len(left) > MOST_LINE:
                raise refusal(
                    "engine_crashed",
                    f"The server of '{self.engine.name}' does not stop talking. Is it of the right kind?",
                )
            yield from (line.decode("utf-8", "replace") for line in lines if line.strip())
        if left.strip():
            yield left.decode("utf-8", "replace")

    @contextmanager
    def failures(self, *, pauses: bool = False) -> Iterator[None]:
        """What httpx raises, as one of ours; a read that takes too long is left as it is where pauses are looked for."""
        name = self.engine.name
        try:
            yield
        except httpx2.ConnectError:
            raise refusal("engine_unreachable", f"Nobody answers at the address of '{name}'. Start its server, or mend url in its "
                          "engine.toml.") from None  # fmt: skip
        except httpx2.TimeoutException as error:
            if pauses and isinstance(error, httpx2.ReadTimeout):
                raise
            raise refusal("engine_unreachable", f"The server of '{name}' took too long to answer. Look whether it runs, then call "
                          "again.") from None  # fmt: skip
        except httpx2.HTTPError as error:
            raise refusal(
                "engine_unreachable", f"The connection to '{name}' broke ({type(error).__name__}). Call again."
            ) from None

    def _check(self, answer: httpx2.Response) -> None:
        """Refuse every status that is no success; the server's own words are not repeated."""
        status, name = answer.status_code, self.engine.name
        if status < 300:
            return
        if status in (401, 403):
            where = (
                f"The variable {self.engine.key_env} holds it"
                if self.engine.key_env
                else "Add the engine again with --key-env"
            )
            raise refusal("engine_unreachable", f"The server of '{name}' refuses the key. {where}.")
        if status == 503:
            told = answer.headers.get("Retry-After", "")
            after = f" Try again in {told} s." if told.isdigit() else " Try again later."
            raise refusal("engine_busy", f"The server of '{name}' has no free place.{after}")
        if status == _LOST:
            raise LeaseLost
        if status == 404:
            raise NotThere
        if status < 400:
            raise refusal(
                "engine_unreachable",
                f"The server of '{name}' sends us elsewhere, which is not followed. Give its own address.",
            )
        if status < 500:
            raise refusal("engine_unsupported", f"The server of '{name}' refuses the call (status {status}). Is it of the right kind and version?")  # fmt: skip
        raise refusal("engine_crashed", f"The server of '{name}' failed (status {status}). Its own log says why.")


class LeaseLost(Exception):
    """The server gave our session away (410)."""


class NotThere(Exception):
    """The server does not know what it was asked for (404)."""


def check_url(engine: Engine) -> None:
    """Refuse addresses that are none, or that send scans in plain text over a network.

    Raises:
        BadCall: one of these.
    """
    try:
        parts = urlsplit(engine.url)
        is_whole = bool(parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0))
    except ValueError:  # brackets or a port that are none
        is_whole = False
    if not is_whole or parts.username or parts.query or not engine.url.isprintable() or " " in engine.url:
        raise BadCall(
            f"'{engine.name}' needs the address of its server, e.g. --url http://127.0.0.1:1527 (keys go into --key-env)."
        )
    if parts.scheme == "http" and not is_this_machine(parts.hostname) and not engine.options.get("plain_text"):
        raise BadCall(
            f"'{engine.name}' would send scans to {parts.hostname} in plain text. Use https, an SSH tunnel to 127.0.0.1, or say "
            "--option plain_text=true if the network is yours."
        )


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The authorities that are believed; reading them takes longer than a click."""
    return httpx2.create_ssl_context(trust_env=False)


def _plain(headers: httpx2.Headers) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() not in ("content-encoding", "content-length", "transfer-encoding")}  # fmt: skip


def draft_of(options: Mapping[str, Any], adapter: str, title: str, **facts: Any) -> Engine:
    """The engine of a server, before it was asked; `url`, `name`, `key_env` and `plain_text` are the user's.

    Args:
        facts: what is so of every server of this kind.
    """
    return Engine(
        name=str(options.get("name") or adapter),
        adapter=adapter,
        title=title,
        where="http",
        url=str(options.get("url") or ""),
        key_env=str(options.get("key_env") or ""),
        orientation_from="adapter",
        options={"plain_text": True} if options.get("plain_text") else {},
        **facts,
    )


def asked_of(engine: Engine) -> dict[str, Any]:
    """What a server says it can do (`/capabilities`).

    Raises:
        OstensorError: it does not answer, or not as such a server does.
    """
    server = Server(engine)
    try:
        return server.json("GET", "/capabilities")
    except (NotThere, LeaseLost):
        raise refusal("engine_unsupported", f"What answers at the address of '{engine.name}' has no /capabilities. Is it of the right kind?") from None  # fmt: skip
    finally:
        server.close()
