"""HTTP to one configured node: its own host and no other, bounded in bytes and time, every failure in words.

No body, header or address of an exchange reaches a log or an error: they may name patients.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ...imaging.errors import BadCall, OstensorError, Unavailable
from ...imaging.guards.withheld import withhold_header_values
from .downloads import Meter
from .nodes import Keys, Node
from .reaching import CONNECT_S, READ_S, WAIT_S, basic, bearer, missing_extra, tls_context, unreached, whose_key

if TYPE_CHECKING:
    import httpx

Params = Mapping[str, str | list[str]]
_WATCH_S = 0.2  # between looks whether the caller has left
_REDIRECTS = 3
_MOST_JSON = 64 * 1024**2


class Web:
    """A client of one node.

    Args:
        keys: tells the node's key by the name of its variable.
        transport: httpx's, where a test answers by itself.

    Raises:
        Unavailable: httpx is missing, or the variable with the key is not set.
    """

    def __init__(self, node: Node, keys: Keys, *, transport: httpx.BaseTransport | None = None) -> None:
        try:
            import httpx
        except ImportError:
            raise missing_extra("httpx", node.name) from None
        withhold_header_values()  # httpx logs addresses, and searches have patient IDs in them
        self.node = node
        self._client = httpx.Client(
            headers={"User-Agent": "ostensor", **bearer(node, keys)},
            auth=basic(node, keys),
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S, read=READ_S),
            verify=tls_context(node),
            trust_env=False,  # no proxy and no .netrc learns of it
            follow_redirects=False,
            transport=transport,
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def get_json(self, path: str, accept: str, params: Params | None = None, *, missing: str = "") -> Any:
        """What a path below the node answers, as JSON; None where it answers that there is nothing (204).

        Args:
            path: below the node's url, or a whole url of its host.
            missing: what is not there when it answers 404.

        Raises:
            BadCall: not there.
            Unavailable: as `failures` and `check_status` say, or no JSON, or too much.
        """
        with self.stream("GET", path, accept, params=params, missing=missing) as answer:
            if answer.status_code == 204:
                return None
            self.check_type(answer, "json", accept)
            content = bytearray()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > _MOST_JSON:
                    raise Unavailable(
                        f"'{self.node.name}' sends more than {_MOST_JSON >> 20} MiB of JSON. Ask for less."
                    )
        try:
            return json.loads(bytes(content))
        except (ValueError, RecursionError):
            raise Unavailable(
                f"'{self.node.name}' answered JSON that cannot be read. Call it again, or check its url: {self._check}."
            ) from None

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        accept: str,
        *,
        params: Params | None = None,
        content: Iterable[bytes] | None = None,
        content_type: str = "",
        meter: Meter | None = None,
        missing: str = "",
    ) -> Iterator[httpx.Response]:
        """An answer whose body is still to be read; redirects within the host are followed for GET.

        Args:
            meter: ends the exchange when it is over; the node may then take long until the next byte.

        Raises:
            BadCall, Unavailable: as `get_json`.
        """
        import httpx

        url = self.url(path)
        headers = {"Accept": accept, **({"Content-Type": content_type} if content_type else {})}
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S, read=WAIT_S if meter else READ_S)
        with self.failures():
            for _ in range(_REDIRECTS + 1):
                request = self._client.build_request(
                    method, url, params=params, headers=headers, content=content, timeout=timeout
                )
                answer = self._client.send(request, stream=True)
                try:
                    if not answer.is_redirect or method != "GET":
                        self.check_status(answer.status_code, missing)
                        with _stoppable(answer, meter):
                            yield answer
                        return
                    url, params = self.url(urljoin(str(answer.url), answer.headers.get("location", ""))), None
                finally:
                    answer.close()
            raise Unavailable(f"'{self.node.name}' redirects in circles. Check its url: {self._check}.")

    def url(self, path: str) -> str:
        """A path below the node's url, or a url of the very same scheme, host and port.

        Raises:
            Unavailable: it leads elsewhere.
        """
        if "://" not in path and not path.startswith("//"):
            return f"{self.node.url.rstrip('/')}/{path.lstrip('/')}"
        if _origin(path) != _origin(self.node.url):
            raise Unavailable(
                f"'{self.node.name}' sends us on to another host, and only the configured one is asked. Nothing was sent "
                "there. If that host is meant, configure it: ostensor archives add."
            )
        return path

    def check_status(self, status: int, missing: str = "") -> None:
        """Go on with an answer, or say why not.

        Raises:
            BadCall: what was asked for is not there.
            Unavailable: refused, busy or broken.
        """
        name = self.node.name
        if 200 <= status < 300:
            return
        if status in (401, 403):
            raise Unavailable(f"'{name}' refuses access ({status}). {whose_key(self.node)}")
        if status in (404, 410) and missing:
            do = "Check its id" if self.node.kind == "fhir" else f"Call list_files(root='{self.node.address}')"
            raise BadCall(f"'{name}' has no {missing} ({status}). {do}.")
        if status in (404, 405, 410):
            raise Unavailable(
                f"'{name}' has no such service ({status}): its url is not the root of it. Run: {self._check}."
            )
        if status == 409:
            raise Unavailable(f"'{name}' stored none of it ({status}). Ask whoever runs it which objects it takes.")
        if status == 413:
            raise BadCall(f"'{name}' takes nothing that large ({status}). Send fewer masks at once.")
        if status in (429, 503):
            raise Unavailable(f"'{name}' is busy or down for now ({status}). Call it again in a minute.")
        if status >= 500:
            raise Unavailable(f"'{name}' failed ({status}). Call it again; if it stays so, ask whoever runs it.")
        raise Unavailable(f"'{name}' does not take this request ({status}). Run: {self._check}.")

    def check_type(self, answer: httpx.Response, wanted: str, accept: str) -> None:
        """Refuse an answer of another kind.

        Raises:
            Unavailable: it is one.
        """
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if wanted not in kind:
            shown = (
                kind if kind and all(c.isalnum() or c in "./+-" for c in kind) and len(kind) < 60 else "something else"
            )
            raise Unavailable(
                f"'{self.node.name}' answered {shown} where {accept.partition(';')[0]} was asked for. Its url is perhaps "
                f"that of a web page. Run: {self._check}."
            )

    @property
    def _check(self) -> str:
        return f"ostensor archives check {self.node.name}"

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Whatever the network does, in words; ours pass.

        Raises:
            Unavailable: not reached, not trusted, too slow, or cut off.
        """
        import httpx

        name, words = self.node.name, None
        try:
            yield
        except OstensorError:
            raise
        except httpx.ConnectTimeout:
            words = f"'{name}' does not take a connection within {CONNECT_S:.0f} s. Is it up, and can this machine reach it?"
        except httpx.ConnectError as error:
            words = unreached(name, error)
        except httpx.TimeoutException:
            words = f"'{name}' stopped answering. Call it again; if it stays so, ask whoever runs it."
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError):
            words = f"'{name}' ended the connection before its answer was complete. Nothing was kept; call it again."
        except httpx.HTTPError as error:
            words = f"'{name}' cannot be asked ({type(error).__name__}). Run: {self._check}."
        except httpx.InvalidURL:
            words = f"'{name}' names an address that is none. Run: {self._check}."
        if words:
            raise Unavailable(words)


@contextmanager
def _stoppable(answer: httpx.Response, meter: Meter | None) -> Iterator[None]:
    """Hang up on an answer when the meter is over, also while nothing comes."""
    if meter is None:
        yield
        return
    import httpx

    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_S):
            if meter.is_over:
                stream = answer.extensions.get("network_stream")
                line = stream.get_extra_info("socket") if stream is not None else None
                if line is not None:
                    with suppress(OSError):
                        line.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except httpx.TransportError:
        meter.check()
        raise
    finally:
        ended.set()
        watcher.join()


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        port = -1
    return parts.scheme.lower(), (parts.hostname or "").lower(), port
