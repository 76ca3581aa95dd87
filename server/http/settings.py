"""How the server is reached over HTTP: address, names it answers to, who may call, how much."""

from __future__ import annotations

import ipaddress
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ...imaging.errors import BadCall

Auth = Literal["none", "tokens", "oauth"]


@dataclass(frozen=True)
class HttpSettings:
    """Everything about HTTP; the defaults suit one person on one machine.

    Attributes:
        public_url: address clients use, with the path; behind a proxy it differs from host and port.
        allowed_hosts: further `Host` headers to answer to, "name" or "name:port"; "name:*" takes any port.
        allowed_origins: further `Origin` headers of pages that may call, "https://name".
        auth: "none" (loopback addresses only), "tokens" (`ostensor tokens`), or "oauth" (JSON web
            tokens of an authorization server).
        issuer: of the tokens, for "oauth".
        jwks: the issuer's public keys: an https address or a file.
        shared_roots: folders every caller may open files from and write to, beside their own one.
        workers: server processes.
        per_minute: requests per caller and minute; a quarter of them may come at once.
        upload_mb: the largest single upload.
        quota_mb: what one caller may keep in the store.
        drain_s: seconds running jobs get to end when the server is stopped.
        metrics: answer /metrics and /status, which name no caller and no scan, to whoever reaches the address.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    public_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    auth: Auth = "none"
    issuer: str = ""
    jwks: str = ""
    shared_roots: tuple[str, ...] = ()
    workers: int = 1
    per_minute: int = 1200
    upload_mb: int = 2048
    quota_mb: int = 20_480
    drain_s: float = 20.0
    metrics: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be served safely."""
        if self.auth not in ("none", "tokens", "oauth"):
            raise BadCall(f"Unknown auth '{self.auth}'. Allowed: none, tokens, oauth.")
        if self.auth == "none" and not is_loopback(self.host):
            raise BadCall(
                f"'{self.host}' can be reached from other machines, and nobody would be asked for a password. "
                "Use 127.0.0.1, or set auth to tokens or oauth (docs/http.md)."
            )
        if self.auth == "oauth" and not (self.issuer and self.jwks and self.public_url):
            raise BadCall("auth = 'oauth' needs issuer, jwks and public_url. Set all three (docs/http.md).")
        if self.jwks.startswith("http://") and not is_loopback(urlsplit(self.jwks).hostname or ""):
            raise BadCall("Keys fetched over plain http could be anybody's. Give jwks as https or as a file.")
        for name in ("workers", "per_minute", "upload_mb", "quota_mb"):
            if getattr(self, name) < 1:
                raise BadCall(f"{name} = {getattr(self, name)} is not possible. It must be at least 1.")

    @property
    def url(self) -> str:
        """What clients call; also the resource tokens must be issued for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}/mcp"

    @property
    def hosts(self) -> tuple[str, ...]:
        """`Host` headers that are answered, whatever the address: a foreign one is a rebinding attack."""
        public = urlsplit(self.url)
        named = (self.host, "localhost", "127.0.0.1", "[::1]", public.hostname or "", public.netloc)
        names = [f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name for name in named if name]
        plain = [name for name in dict.fromkeys(names) if name not in ("0.0.0.0", "[::]")]
        return (*plain, *(f"{name}:*" for name in plain if not _has_port(name)), *self.allowed_hosts)

    @property
    def origins(self) -> tuple[str, ...]:
        """`Origin` headers that are answered: this server's own pages, and those named."""
        public = urlsplit(self.url)
        return (
            f"{public.scheme}://{public.netloc}",
            *(f"http://{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")),
            *self.allowed_origins,
        )


def _has_port(name: str) -> bool:
    return name.rpartition(":")[2].isdigit() and not name.endswith("]")


def is_loopback(host: str) -> bool:
    """True for an address only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def address(http: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"; without a host, 127.0.0.1.

    Raises:
        BadCall: it is not an address.
    """
    host, _, port = http.rpartition(":")
    if ":" not in http or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise BadCall(f"'{http}' is not HOST:PORT. Give e.g. 127.0.0.1:8765.")
    return host.strip("[]") or "127.0.0.1", int(port)


def http_settings(http: str, config: Path | None, **given: Any) -> HttpSettings:
    """The address, then the TOML file, then what was given on the command line (None: not given).

    Raises:
        BadCall: unreadable file, unknown or wrongly typed setting, or an unsafe combination.
    """
    host, port = address(http)
    values = {"host": host, "port": port, **(_read(config) if config is not None else {})}
    values.update({name: value for name, value in given.items() if value is not None})
    known = {field.name: field for field in fields(HttpSettings)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadCall(f"Unknown HTTP settings: {', '.join(unknown)}. Allowed: {', '.join(known)}.")
    for name, value in list(values.items()):
        default = known[name].default
        if isinstance(default, tuple) and isinstance(value, list):
            values[name] = tuple(str(item) for item in value)
        elif isinstance(default, float) and isinstance(value, int):
            values[name] = float(value)
        elif type(value) is not type(default):
            raise BadCall(f"The HTTP setting {name} must be a {type(default).__name__}, not {type(value).__name__}.")
    return HttpSettings(**values)


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadCall(f"'{config.name}' cannot be read ({type(error).__name__}). Give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCall(f"'{config.name}' is not TOML: {error}. See docs/http.md.") from None
