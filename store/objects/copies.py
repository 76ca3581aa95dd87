"""Arrays that several servers share, with a bounded copy on this machine's disk for its workers to map.

The copy has the names of a store of its own (`images/ab/<hash>.npy`), and all processes of the machine share it. What
comes from the shared place is checked, every block of it, before anybody sees it. The copies used least lately go
first when there are too many; those of the last minutes stay, because a worker may be about to map them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ...imaging.errors import Failed
from ...imaging.region import Region
from ...imaging.volume import BoolArray, FloatArray, Grid
from ..arrays import ArrayFiles
from .remote import Remote

Array = TypeVar("Array")

_RECENT_S = 600.0  # copies used so lately stay, whatever the bound says
_ABANDONED_S = 3600.0  # a writer has brought its file by then
_SWEEP_S = 30.0  # copies are counted no more often


class SharedArrays(ArrayFiles):
    """Arrays at a shared place.

    Args:
        folder: of the copies.
        most: bytes the copies may take.
    """

    is_shared = True

    def __init__(self, folder: Path, remote: Remote, most: int) -> None:
        super().__init__(folder)
        self.remote, self.most = remote, most
        self._swept = -_SWEEP_S

    def put_image(self, content_hash: str, array: FloatArray) -> None:
        """Write the voxels here, then there; nobody names them before both are done."""
        super().put_image(content_hash, array)
        self._share(self.image_path(content_hash))

    def put_mask(self, content_hash: str, array: BoolArray) -> None:
        """Write the bits here, then there."""
        super().put_mask(content_hash, array)
        self._share(self.mask_path(content_hash))

    def has(self, path: Path) -> bool:
        """Whether the shared place has it; a copy here does not count."""
        return self.remote.entry(self._name(path)) is not None

    def here(self, path: Path) -> Path:
        """The same path, once a whole copy lies there.

        Raises:
            Failed: nobody has it, or what came is damaged.
            Unavailable: the shared place does not answer.
        """
        try:
            os.utime(path)  # used now
            return path
        except FileNotFoundError:
            pass
        if not self.remote.get(self._name(path), path):
            raise Failed("A shared array is missing. Open the scan again or make the mask again, which writes it anew.")
        if not self.is_intact(path):
            path.unlink(missing_ok=True)
            raise Failed(
                "A shared array arrived damaged. Call it again; if it lasts, open the scan again, which writes it anew."
            )
        self._keep_within()
        return path

    def image(self, content_hash: str) -> FloatArray:
        """The voxels, mapped read-only from the copy; a damaged copy is fetched anew."""
        return self._read(self.image_path(content_hash), lambda: super(SharedArrays, self).image(content_hash))

    def mask(self, content_hash: str) -> BoolArray:
        """The bits as booleans (x y z)."""
        return self._read(self.mask_path(content_hash), lambda: super(SharedArrays, self).mask(content_hash))

    def mask_region(self, content_hash: str, grid: Grid) -> Region:
        """The mask cut to its voxels, on its image's grid."""
        return self._read(
            self.mask_path(content_hash), lambda: super(SharedArrays, self).mask_region(content_hash, grid)
        )

    def all(self) -> Iterator[Path]:
        """Where the copy of every array of the shared place lies or would lie."""
        for kind, suffix in (("images", ".npy"), ("masks", ".bits")):
            yield from sorted(
                self.folder / entry.name for entry in self.remote.all(kind) if entry.name.endswith(suffix)
            )

    def free(self, path: Path, older_than_s: float) -> int:
        """Delete an array that is old enough, there and here; answers the bytes freed there."""
        entry = self.remote.entry(self._name(path))
        if entry is None or entry.age_s < older_than_s:
            return 0
        self.remote.remove(entry.name)
        path.unlink(missing_ok=True)
        return entry.size

    @property
    def is_there(self) -> bool:
        """Whether the shared place answers."""
        return self.remote.is_there

    def sweep(self) -> int:
        """Delete what killed writers left at the shared place; answers the bytes freed."""
        return self.remote.sweep(_ABANDONED_S)

    def bytes_kept(self) -> int:
        """What all arrays of the shared place take."""
        return sum(entry.size for kind in ("images", "masks") for entry in self.remote.all(kind))

    def _share(self, path: Path) -> None:
        entry = self.remote.entry(self._name(path))
        if entry is None or entry.size != path.stat().st_size:
            self.remote.put(self._name(path), path)
        self._keep_within()

    def _read(self, path: Path, read: Callable[[], Array]) -> Array:
        self.here(path)
        try:
            return read()
        except Failed:
            path.unlink(missing_ok=True)
        self.here(path)
        return read()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _keep_within(self) -> None:
        """Keep the copies within their bound; at most every `_SWEEP_S` seconds."""
        if time.monotonic() - self._swept < _SWEEP_S:
            return
        self._swept = time.monotonic()
        self.shrink()

    def shrink(self) -> int:
        """Delete copies used least lately until the rest is within the bound; answers the bytes freed."""
        found = []
        for path in self.local():
            try:
                status = path.stat()
            except FileNotFoundError:  # another process was first
                continue
            found.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in found) - self.most
        freed = 0
        for used, size, path in sorted(found):
            if freed >= excess or time.time() - used < _RECENT_S:
                break
            path.unlink(missing_ok=True)
            freed += size
        return freed
