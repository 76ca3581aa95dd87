"""Where a store keeps what several servers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Shared:
    """A database for the catalogue and a place for arrays, beside the store's folder; nothing of it is ever printed.

    Attributes:
        catalogue: SQLAlchemy's address of a PostgreSQL database; "" for the SQLite file of the folder.
        arrays: fsspec's address of a folder or bucket; "" for the folder itself.
        options: what fsspec needs to know about `arrays`, such as `endpoint_url`.
        cache_mb: what copies of shared arrays may take in the folder.
        schema: of the database; "" for the one its address leads to. Every caller of a server has one.
    """

    catalogue: str = field(default="", repr=False)
    arrays: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    cache_mb: int = 20_480
    schema: str = ""

    def of_caller(self, owner: str) -> Shared:
        """The same database and place, in a part that is this caller's alone."""
        return replace(
            self,
            schema=f"caller_{owner}" if self.catalogue else "",
            arrays=f"{self.arrays.rstrip('/')}/callers/{owner}" if self.arrays else "",
        )


ALONE = Shared()
"""Nothing is shared: a folder is all of the store."""
