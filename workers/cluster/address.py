"""What `--workers` says: processes of this machine, or a Ray cluster. Knows neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from ...imaging.errors import BadCall

LOCAL = "local"
_NUMBERS = ("replicas", "store_mb")
_JOINED = "auto"
_FORMS = (
    "Use local, ray (starts Ray on this machine), ray://auto (the cluster this machine is a node of), or "
    "ray://HOST:PORT (any cluster), each of the last three optionally with ?replicas=N."
)


@dataclass(frozen=True)
class ClusterAddress:
    """Where Ray is, and how much of it may be used.

    Attributes:
        host: "HOST:PORT" of a cluster's client port; "auto" for the cluster this machine is a node of; "" starts Ray on
            this machine.
        replicas: how many requests may run at once, and so the most replicas of one model; None takes what the
            cluster has: one for each card, or for each worker's share of the processors.
        store_mb: shared memory of a Ray that is started here; None leaves Ray's choice.
    """

    host: str = ""
    replicas: int | None = None
    store_mb: int | None = None

    @property
    def is_joined(self) -> bool:
        """This machine is a node of the cluster."""
        return self.host == _JOINED


def cluster_of(words: str) -> ClusterAddress | None:
    """The cluster that words name; None for the processes of this machine.

    Raises:
        BadCall: words that name neither.
    """
    if words == LOCAL:
        return None
    if words.isdigit():
        raise BadCall(f"--workers says where models run. For {words} server processes use --processes {words}.")
    parts = urlsplit(words)
    if words.split("?")[0] == "ray":
        host = ""
    elif parts.scheme == "ray" and not parts.path.strip("/") and not parts.fragment:
        host = _host(words, parts.netloc)
    else:
        raise BadCall(f"--workers '{words}' names no workers. {_FORMS}")
    values = _numbers(words, parts.query)
    if host and "store_mb" in values:
        raise BadCall("store_mb is of a Ray that is started here; a cluster that runs has its own. Leave it out.")
    return ClusterAddress(host, **values)


def _host(words: str, netloc: str) -> str:
    if netloc in (LOCAL, _JOINED):
        return "" if netloc == LOCAL else _JOINED
    host, _, port = netloc.rpartition(":")
    if not host or "@" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadCall(f"--workers '{words}' lacks host or port. Write e.g. ray://gpu.example:10001. {_FORMS}")
    return netloc


def _numbers(words: str, query: str) -> dict[str, int]:
    pairs = parse_qsl(query, keep_blank_values=True)
    values = {name: int(value) for name, value in pairs if value.isdigit()}
    if [*values] != [name for name, _ in pairs] or set(values) - set(_NUMBERS) or 0 in values.values():
        raise BadCall(f"--workers '{words}': after '?' stand {' and '.join(_NUMBERS)}, each a whole number above 0.")
    return values
