"""Whether an address is this machine's own, to which plain text may go."""

from __future__ import annotations

import ipaddress


def is_this_machine(host: str | None) -> bool:
    """Whether a host of a url is a loopback address or its usual name."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
