"""A file is written wholly or not at all; what a killed writer left is swept away."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .machine import is_running, machine
from .private import is_private, make_folder, open_private

_TEMPORARY = re.compile(r"\..+\.(?:([0-9a-f]{12})-)?(\d+)\.[0-9a-f]+\.tmp")
_FOREIGN_S = 3600.0  # a writer of another machine, or before the last start, has done something to its file by then


def write_atomically(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write through a temporary file, fsync and rename: readers see the old file or the new one.

    In a private folder the file is private: only its owner may read it.

    Args:
        fill: gets the open binary file and writes the content.
    """
    make_folder(path.parent)
    opener = open_private if is_private(path.parent) else None
    temporary = path.parent / f".{path.name[:150]}.{machine()}-{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "wb", opener=opener) as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def abandoned(folder: Path, pattern: str = ".*.tmp") -> Iterator[Path]:
    """Temporary files below a folder whose writer is gone, or of another machine and not touched for an hour."""
    for path in sorted(folder.glob(pattern)):
        met = _TEMPORARY.fullmatch(path.name)
        if met is None or path.is_symlink():
            continue
        if met[1] in (None, machine()):
            if not is_running(int(met[2])):
                yield path
        elif time.time() - path.lstat().st_mtime > _FOREIGN_S:
            yield path


def sweep(folder: Path) -> int:
    """Remove what killed writers left in a folder; answers how many files."""
    found = list(abandoned(folder))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)
