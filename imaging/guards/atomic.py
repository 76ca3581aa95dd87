"""A file is written wholly or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .private import is_private, make_folder, open_private


def write_atomically(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write through a temporary file, fsync and rename: readers see the old file or the new one.

    In a private folder the file is private: only its owner may read it.

    Args:
        fill: gets the open binary file and writes the content.
    """
    make_folder(path.parent)
    opener = open_private if is_private(path.parent) else None
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
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
