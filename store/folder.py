"""The folder of a store: its catalogue, its arrays, and transactions that know whether both are still there.

A catalogue (SQLite in WAL mode, or a PostgreSQL database that servers share) beside array files named by their content.
The folder and all in it are for its owner alone. Arrays are on disk, or at their shared place, before their row is
committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..imaging.errors import Failed, Unavailable
from ..imaging.guards.private import close_to_others, make_private_file, make_private_folder
from .arrays import ArrayFiles
from .audit import AuditLog
from .catalogue.engines import engine_of
from .catalogue.together import EventLog
from .catalogue.upgrading import prepare
from .jobs import JobsLedger
from .objects.copies import SharedArrays
from .objects.identities import SharedSources
from .objects.remote import Remote
from .quota import Quota
from .records import Facts, beats, metadata
from .shared import ALONE, Shared
from .sources import SourceFiles

_NOBODY = "a test of the disk"
_MB = 1_000_000
_TRIES = 3  # to keep an array while somebody else cleans up

# What lies in the folder, made here, by the server (uploads, callers, keys, limits) or by agents; earlier versions left
# it readable. Other files of the folder are not ours to change.
_OURS = (
    "catalogue.sqlite*", "audit.jsonl", "arrays", "sources", "uploads", "callers", "agent", "index", "archives",
    "tokens.json", "http.key", "limits.sqlite*",
)  # fmt: skip


class StoreFolder(JobsLedger):
    """One folder with its catalogue.

    Args:
        folder: made if missing; holds `catalogue.sqlite`, `arrays/` and `audit.jsonl`.
        shared: a database and a place for arrays instead of the folder's own, for several servers.

    Attributes:
        quota: the room it may take; None for as much as there is.
    """

    def __init__(self, folder: Path, *, shared: Shared = ALONE) -> None:
        make_private_folder(folder)
        self.folder = folder.resolve()
        for name in _OURS:
            for path in self.folder.glob(name):
                close_to_others(path)
        self.quota: Quota | None = None
        self.shared = shared
        self.arrays, self.sources = _files(self.folder, shared)
        if not shared.catalogue:
            make_private_file(self.folder / "catalogue.sqlite")  # SQLite gives its -wal and -shm files the same rights
        super().__init__(engine_of(self.folder, shared))
        prepare(self.engine, shared.schema, metadata)
        self.audit: AuditLog | EventLog = (
            EventLog(self.engine, self.owner) if shared.catalogue else AuditLog(self.folder / "audit.jsonl")
        )
        self._place = self._identity()

    def close(self) -> None:
        """Let go of the catalogue's files; the next use opens them again. A shared catalogue's connections are everybody's."""
        if not self.shared.catalogue:
            self.engine.dispose()

    def _identity(self) -> tuple[tuple[int, int], ...]:
        """What the folder and its catalogue are to the file system."""
        places = (
            (self.folder, self.folder / "catalogue.sqlite") if self.engine.dialect.name == "sqlite" else (self.folder,)
        )
        statuses = [place.stat() for place in places]
        return tuple((status.st_dev, status.st_ino) for status in statuses)

    def check_there(self) -> None:
        """Refuse to go on when the folder was removed or replaced underneath: SQLite would not notice.

        Raises:
            Unavailable: it was.
        """
        try:
            there = self._identity() == self._place
        except OSError:
            there = False
        if not there:
            raise Unavailable(
                "The store's folder was removed or replaced while this program ran, so nothing can be kept. "
                "Put it back, or start the program again."
            )

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction in a store that is still there, before and after."""
        self.check_there()
        with super().writing() as connection:
            yield connection
        self.check_there()

    @contextmanager
    def alone(self) -> Iterator[sa.Connection]:
        """A transaction during which nobody else adds an entry."""
        with self.writing() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                place = f'"{self.shared.schema}".' if self.shared.schema else ""
                # Masks first, as `remove_image` takes them: in another order the two would wait for each other.
                connection.exec_driver_sql(f"LOCK TABLE {place}masks, {place}images IN SHARE ROW EXCLUSIVE MODE")
            yield connection

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Arrays that cannot be read because the whole store is away say that."""
        try:
            yield
        except Failed:
            self.check_there()
            raise

    def try_to_write(self) -> None:
        """Change something in the catalogue that changes nothing.

        Raises:
            one of `STORAGE_ERRORS`: it cannot be written.
        """
        with self.writing() as connection:
            connection.execute(beats.insert().values(owner=_NOBODY, at=0.0))
            connection.execute(beats.delete().where(beats.c.owner == _NOBODY))

    @contextmanager
    def room(self, needed: int) -> Iterator[None]:
        """Room for so many bytes while they are written.

        Raises:
            BadCall: there is none left for whom the store belongs to.
        """
        if self.quota is None or not needed:
            yield
            return
        self.quota.promise(needed)
        try:
            yield
        finally:
            self.quota.keep(needed, needed)

    def keep(
        self, table: sa.Table, key: str, row: Mapping[str, Any], place: Path, put: Callable[[], None], needed: int
    ) -> None:
        """Write an array, then its entry; and again, when somebody cleaned up in between.

        Args:
            needed: bytes at most, for the quota; nothing when it is there already.
        """
        with self.room(0 if self.arrays.has(place) else needed):
            for _ in range(_TRIES):
                self.check_there()
                put()
                self._insert_once(table, key, row)
                if self.arrays.has(place) and self.row(table, key, row[key]) is not None:
                    return
        raise Failed("The store was cleaned up while something was kept in it, three times over. Call it again.")

    def _insert_once(self, table: sa.Table, key: str, values: Mapping[str, Any]) -> None:
        try:
            with self.writing() as connection:
                connection.execute(table.insert().values(**values))
        except sa.exc.IntegrityError:  # the same content is there already, perhaps from another process
            if self.row(table, key, values[key]) is None:
                raise

    def row(self, table: sa.Table, key: str, value: str) -> Facts | None:
        """The row of a handle, or None."""
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(table).where(table.c[key] == value)).mappings().first()
            return None if row is None else dict(row)

    def known(self, table: sa.Table, key: str) -> str:
        """The latest handles of a kind, in a sentence."""
        with self.engine.connect() as connection:
            latest = list(connection.scalars(sa.select(table.c[key]).order_by(table.c.created.desc()).limit(3)))
        return f"Latest: {', '.join(latest)}." if latest else "There is none yet."


def _files(folder: Path, shared: Shared) -> tuple[ArrayFiles, SourceFiles]:
    """Arrays, and the DICOM identifiers: they stay in the store."""
    if not shared.arrays:
        return ArrayFiles(folder / "arrays"), SourceFiles(folder / "sources")
    remote = Remote(shared.arrays, shared.options)
    copies = SharedArrays(folder / "arrays", remote, shared.cache_mb * _MB)
    return copies, SharedSources(folder / "sources", remote)
