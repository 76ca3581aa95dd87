"""A place for files behind an address of fsspec: a folder that machines share, or a bucket of an object store."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ...imaging.errors import BadCall, Unavailable
from ...imaging.guards.atomic import write_atomically

_WHOLE_AT_ONCE = {"s3", "s3a", "gs", "gcs", "abfs", "az"}  # an upload is seen when it is complete, or never
_PATIENCE = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}  # s, of S3 only
_PART = ".part-"
_PIECE = 1 << 22


@dataclass(frozen=True)
class Entry:
    """A file that lies there.

    Attributes:
        name: below the address.
        age_s: by its clock and ours, which may differ by minutes.
    """

    name: str
    size: int
    age_s: float


class Remote:
    """Files by name below an address.

    Args:
        url: such as `s3://bucket/folder` or `file:///mnt/shared`.
        options: of fsspec for this kind of address, such as `endpoint_url`, `key` and `secret`.

    Raises:
        BadCall: fsspec knows no such kind of address.
        Unavailable: what fsspec needs for it is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError:
            raise _lacking() from None
        self.kind = url.partition("://")[0].lower() if "://" in url else "file"
        given = dict(options)
        if self.kind in ("s3", "s3a"):
            given["config_kwargs"] = {**_PATIENCE, **given.get("config_kwargs", {})}
        try:
            self._files, root = url_to_fs(url, **given, use_listings_cache=False, skip_instance_cache=True)
        except ImportError:
            raise _lacking() from None
        except (ValueError, TypeError) as error:
            raise BadCall(
                f"Arrays cannot be kept at an address of the kind '{self.kind[:20]}' with these options "
                f"({type(error).__name__}). Give a folder, file:///FOLDER or s3://BUCKET/FOLDER."
            ) from None
        self.root = root.rstrip("/")
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def entry(self, name: str) -> Entry | None:
        """What lies there under this name, or None.

        Raises:
            Unavailable: the place does not answer; so do all others here.
        """
        with self._reached():
            try:
                return self._entry(self._files.info(self._path(name)))
            except FileNotFoundError:
                return None

    def put(self, name: str, path: Path) -> None:
        """Bring a file there; under its name there is nothing, or all of it."""
        place = self._path(name)
        with self._reached():
            if self.kind in _WHOLE_AT_ONCE:
                self._files.put_file(str(path), place)
                return
            self._make_folder(place.rpartition("/")[0])
            part = f"{place}{_PART}{secrets.token_hex(8)}"
            try:
                with path.open("rb") as source, self._files.open(part, "wb") as target:
                    while piece := source.read(_PIECE):
                        target.write(piece)
                    target.flush()
                    if self.kind == "file":
                        os.fsync(target.fileno())
                self._files.mv(part, place)
            except BaseException:
                if self._files.exists(part):
                    self._files.rm_file(part)
                raise

    def get(self, name: str, path: Path) -> bool:
        """Bring a file here, whole or not at all; False when there is none."""
        with self._reached():
            try:
                with self._files.open(self._path(name), "rb") as source:
                    write_atomically(path, lambda file: _copy(source, file))
            except FileNotFoundError:
                return False
        return True

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens when it is gone."""
        with self._reached():
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def all(self, below: str) -> Iterator[Entry]:
        """Every finished file below a name."""
        yield from (entry for entry in self._found(below) if _PART not in entry.name)

    def _found(self, below: str) -> Iterator[Entry]:
        with self._reached():
            try:
                found = self._files.find(self._path(below), detail=True)
            except FileNotFoundError:
                return
        yield from map(self._entry, found.values())

    def sweep(self, older_than_s: float) -> int:
        """Delete what killed writers left of files; answers the bytes freed."""
        if self.kind in _WHOLE_AT_ONCE:  # the store of objects does so itself, by its rule for unfinished uploads
            return 0
        freed = 0
        for entry in self._found(""):
            if _PART in entry.name and entry.age_s >= older_than_s:
                self.remove(entry.name)
                freed += entry.size
        return freed

    @property
    def is_there(self) -> bool:
        """Whether the place answers; a folder that is not there, such as one that is not mounted, does not."""
        try:
            with self._reached():
                found = bool(self._files.isdir(self.root) if self.kind == "file" else self._files.exists(self.root))
        except Unavailable:
            return False
        return found or self.kind != "file"

    def _entry(self, facts: Mapping[str, Any]) -> Entry:
        changed = facts.get("LastModified") or facts.get("mtime") or facts.get("created")
        if isinstance(changed, int | float):
            changed = datetime.fromtimestamp(changed, UTC)
        age_s = (datetime.now(UTC) - changed).total_seconds() if isinstance(changed, datetime) else 0.0
        name = str(facts["name"]).removeprefix(self.root).lstrip("/")
        return Entry(name, int(facts["size"] or 0), age_s)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _make_folder(self, folder: str) -> None:
        with self._lock:
            if folder not in self._made:
                self._files.makedirs(folder, exist_ok=True)
                self._made.add(folder)

    @cached_property
    def _kinds_of_failure(self) -> tuple[type[Exception], ...]:
        """What the library behind this kind of address raises beside OSError."""
        if self.kind not in ("s3", "s3a"):
            return (OSError,)
        from botocore.exceptions import BotoCoreError, ClientError

        return (OSError, BotoCoreError, ClientError)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except self._kinds_of_failure as error:
            if getattr(error, "filename", None) is not None and self.kind != "file":
                raise  # of this machine's own disk
            raise Unavailable(
                f"The store of arrays does not answer ({type(error).__name__}). What is kept there is not lost, and scans "
                "used here lately can still be read. Wait a moment, then call it again; if it lasts, check its address, "
                "keys and room."
            ) from None


def _copy(source: Any, target: Any) -> None:
    while piece := source.read(_PIECE):
        target.write(piece)


def _lacking() -> Unavailable:
    return Unavailable(
        "What arrays at an address need is not installed. Install it with `pip install 'ostensor[shared]'`, "
        "and `pip install s3fs` for s3://."
    )
