"""The nodes a person configured: a private TOML file that names variables for keys and never holds a key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...imaging.guards.hosts import is_this_machine
from ...imaging.guards.private import close_to_others, make_private_folder

Kind = Literal["dicomweb", "dimse", "fhir"]
Keys = Callable[[str], str | None]
KINDS: tuple[Kind, ...] = ("dicomweb", "dimse", "fhir")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_AE_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,16}")  # PS3.5 6.2, AE: no backslash, no control characters
_MOST_FILE = 1_000_000  # bytes of the file


@dataclass(frozen=True)
class Node:
    """One archive.

    Attributes:
        name: as callers write it in an address, `dicomweb://NAME`.
        url: root of the service, for dicomweb and fhir.
        host: with `port`, `aet` (the archive's AE title) and `calling` (ours), for dimse.
        user: for Basic authentication; its password lies in the variable `password_env`.
        token_env: variable with a bearer token.
        verify_tls: whether certificates are checked; `ca_file` holds a hospital's own authority.
        tls: dimse over TLS.
        plain_http: a url of another machine may be http, so that scans and keys travel unencrypted.
        may_store: results may be stored there.
        shared: callers of an HTTP server with tokens may use it, too.
        most_gb: of one download.
    """

    name: str
    kind: Kind
    url: str = ""
    host: str = ""
    port: int = 0
    aet: str = ""
    calling: str = "OSTENSOR"
    user: str = ""
    password_env: str = ""
    token_env: str = ""
    verify_tls: bool = True
    ca_file: str = ""
    tls: bool = False
    plain_http: bool = False
    may_store: bool = False
    shared: bool = False
    most_gb: float = 4.0

    def __post_init__(self) -> None:
        """Refuse a node that cannot work, or that would send keys where everybody reads them."""
        if not NAME.fullmatch(self.name):
            raise _wrong(self, "has a name that no address can hold", "Use small letters, digits and '-'")
        if self.kind not in KINDS:
            raise _wrong(self, f"is of kind '{str(self.kind)[:20]}'", f"Allowed: {', '.join(KINDS)}")
        for name in ("password_env", "token_env"):
            if getattr(self, name) and not _VARIABLE.fullmatch(getattr(self, name)):
                raise _wrong(self, f"has a {name} that names no environment variable", "Give its name, never the key")
        if self.token_env and (self.user or self.password_env):
            raise _wrong(self, "has both a token and a password", "Keep one of them")
        if bool(self.user) != bool(self.password_env):
            raise _wrong(self, "has a user without a password or the reverse", "Set both user and password_env")
        if not 0 < self.most_gb <= 64:
            raise _wrong(self, f"allows downloads of {self.most_gb} GB", "Allowed: more than 0, at most 64")
        if self.kind == "fhir" and self.may_store:
            raise _wrong(self, "is a FHIR server with may_store", "Results are stored in DICOM archives only")
        _check_dimse(self) if self.kind == "dimse" else _check_url(self)

    @property
    def address(self) -> str:
        """What callers write to see what it holds."""
        return f"{self.kind}://{self.name}"


def no_keys(variable: str) -> str | None:
    """Of a desk that nobody gave keys."""
    del variable
    return None


@dataclass(frozen=True)
class ArchiveAccess:
    """Which nodes a desk may use.

    Attributes:
        file: of the nodes; None for none.
        keys: value of a variable that a node names; only `commands` reads the environment.
        shared_only: only nodes that are shared, for callers from other machines.
    """

    file: Path | None = None
    keys: Keys = no_keys
    shared_only: bool = False


NO_ARCHIVES = ArchiveAccess()


def _wrong(node: Node, fact: str, do: str) -> BadCall:
    return BadCall(f"The archive '{str(node.name)[:40]}' {fact}. {do}.")


def _check_url(node: Node) -> None:
    parts = urlsplit(node.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _wrong(
            node, "has no http(s) url", "Give the root of its service, e.g. https://pacs.example.org/dicom-web"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _wrong(node, "has a url with a user, key or query in it", "Name a variable in token_env or password_env")
    if parts.scheme == "http" and not node.plain_http and not is_this_machine(parts.hostname):
        raise _wrong(
            node, "would send scans and keys unencrypted", "Use https, or set plain_http if the network is trusted"
        )
    if node.host or node.port or node.aet or node.tls:
        raise _wrong(node, "has host, port, aet or tls, which are for dimse", "Remove them")


def _check_dimse(node: Node) -> None:
    if node.url or node.user or node.token_env:
        raise _wrong(node, "has a url, user or token, which are not for dimse", "Give host, port and aet")
    if not node.host or re.search(r"[\s/@]", node.host) or not 0 < node.port < 65536:
        raise _wrong(node, "has no usable host and port", "Give e.g. host='pacs.example.org', port=4242")
    if not _AE_TITLE.fullmatch(node.aet) or not _AE_TITLE.fullmatch(node.calling):
        raise _wrong(node, "has no usable AE titles", "aet and calling are 1 to 16 printable characters")


def read_nodes(file: Path | None) -> dict[str, Node]:
    """The nodes of a file by name; none where there is no file.

    Raises:
        BadCall: it is no TOML, or a node in it is wrong.
    """
    if file is None or not file.exists():
        return {}
    if file.stat().st_size > _MOST_FILE:
        raise BadCall(f"'{file.name}' is too large for a list of archives. Allowed: {_MOST_FILE} bytes. Write it anew.")
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8")).get("archives", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # its words may hold what somebody wrote by mistake: a key
        raise BadCall(
            f"'{file.name}' is no valid TOML. Correct it, or remove it and run `ostensor archives add`."
        ) from None
    if not isinstance(tables, Mapping):
        raise BadCall(f"'{file.name}' has no tables [archives.NAME]. Run `ostensor archives add` to write one.")
    return {name: _node(name, values) for name, values in tables.items()}


def _node(name: str, values: Any) -> Node:
    if not isinstance(values, Mapping):
        raise BadCall(f"The archive '{name[:40]}' is no table. Write [archives.{name[:40]}] and its settings below it.")
    types = {
        one.name: {"int": (int,), "float": (int, float), "bool": (bool,)}.get(str(one.type), (str,))
        for one in fields(Node)
    }
    unknown = sorted(set(values) - (set(types) - {"name"}))
    if unknown:
        raise BadCall(
            f"The archive '{name[:40]}' has an unknown setting '{unknown[0][:40]}'. Allowed: {', '.join(list(types)[1:])}. "
            "Keys are named by variable (token_env, password_env), never written."
        )
    for key, value in values.items():
        if not isinstance(value, types[key]) or (isinstance(value, bool) and bool not in types[key]):
            raise BadCall(
                f"'{key}' of the archive '{name[:40]}' is of the wrong type. Allowed: {types[key][-1].__name__}."
            )
    if "kind" not in values:
        raise BadCall(f"The archive '{name[:40]}' has no kind. Allowed: {', '.join(KINDS)}. Set one.")
    return Node(name=name, **values)


def write_nodes(file: Path, nodes: Mapping[str, Node]) -> None:
    """Write the file anew, for its owner alone."""
    make_private_folder(file.parent) if not file.parent.exists() else None
    empty = {one.name: one.default for one in fields(Node)}
    lines = ["# Archives of `ostensor`; keys are named by environment variable and never stand here."]
    for node in nodes.values():
        lines += ["", f"[archives.{node.name}]"]
        told = {key: value for key, value in vars(node).items() if key != "name" and value != empty[key]}
        lines += [f"{key} = {json.dumps(value)}" for key, value in told.items()]
    write_atomically(file, lambda out: out.write(("\n".join(lines) + "\n").encode()))
    close_to_others(file)
