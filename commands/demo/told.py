"""What the demo was told: every call, and what was found in each scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Told:
    """One call as the page shows it."""

    tool: str
    arguments: dict[str, Any]
    text: str
    result: dict[str, Any]
    pictures: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Looked:
    """What was found in a scan.

    Attributes:
        made_ml: structure -> its true volume, of a made scan.
    """

    name: str
    rows: list[dict[str, Any]]
    picture: bytes
    made_ml: dict[str, float]

    @property
    def present(self) -> list[dict[str, Any]]:
        """The rows one may rely on."""
        return [row for row in self.rows if row["verdict"] == "present"]
