"""What stands between us and a node: time, certificates, keys, packages; and why it was not reached, in words."""

from __future__ import annotations

import socket
import ssl

from ...imaging.errors import Unavailable
from .nodes import Keys, Node

INSTALL = "pip install 'ostensor[archive]'"
CONNECT_S, READ_S, WAIT_S = 5.0, 10.0, 60.0  # to connect; for an answer; for the next bytes of a series being packed


def missing_extra(package: str, name: str) -> Unavailable:
    """What to do where a package of the extra is not installed."""
    return Unavailable(f"The archive '{name}' needs the package {package}, which is not installed. Run: {INSTALL}")


def unreached(name: str, error: BaseException) -> str:
    """Why no connection came about, by what lies behind an error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return (
                f"The certificate of '{name}' is not trusted. Name the hospital's authority in ca_file of the archive; "
                "verify_tls = false only where the network itself is trusted."
            )
        if isinstance(seen, ssl.SSLError):
            return f"'{name}' speaks no TLS that we accept. Check scheme and port of its url."
        if isinstance(seen, socket.gaierror):
            return f"The host of '{name}' is not known to this machine's DNS. Check its url, or the network."
        if isinstance(seen, ConnectionRefusedError):
            return f"Nothing listens where '{name}' should be (connection refused). Is it up? Check host and port."
        seen = seen.__cause__ or seen.__context__
    return f"'{name}' cannot be reached. Is it up, and can this machine reach it? Run: ostensor archives check {name}."


def tls_context(node: Node) -> ssl.SSLContext:
    """How certificates are checked.

    Raises:
        Unavailable: the file of the authority cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=node.ca_file or None)
    except OSError:  # ssl.SSLError among them
        raise Unavailable(
            f"ca_file of '{node.name}' cannot be read. Give a PEM file with the authority's certificate."
        ) from None
    if not node.verify_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def whose_key(node: Node) -> str:
    """What to do where a node refuses its key."""
    variable = node.token_env or node.password_env
    if variable:
        return f"The variable {variable} holds its key: check it, and what the account may do."
    return (
        "No key is configured for it: ostensor archives add NAME … --token-env VARIABLE (or --user and --password-env)."
    )


def _key(variable: str, node: Node, keys: Keys) -> str:
    found = (keys(variable) or "").strip()
    if not found:
        raise Unavailable(
            f"The variable {variable}, which holds the key of '{node.name}', is not set. Set it where the server starts."
        )
    if not found.isascii() or not found.isprintable():
        raise Unavailable(f"The variable {variable} holds characters that no key has. Set it to the key alone.")
    return found


def bearer(node: Node, keys: Keys) -> dict[str, str]:
    """The header with a node's token; none where it has none.

    Raises:
        Unavailable: its variable is not set, or holds no key.
    """
    return {"Authorization": f"Bearer {_key(node.token_env, node, keys)}"} if node.token_env else {}


def basic(node: Node, keys: Keys) -> tuple[str, str] | None:
    """User and password of a node; None where it has none.

    Raises:
        Unavailable: as `bearer`.
    """
    return (node.user, _key(node.password_env, node, keys)) if node.password_env else None
