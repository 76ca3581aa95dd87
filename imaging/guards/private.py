"""Folders and files that only their owner may read, whatever the umask says.

The rule is inherited: what is made within a private folder is private too, so that one call for
the store's folder covers everything that is written below it later.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def is_private(folder: Path) -> bool:
    """Whether nobody but its owner may enter the folder; False where permissions are of another kind."""
    return os.name == "posix" and not folder.stat().st_mode & _OTHERS


def make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it; within a private folder they are private."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        private = is_private(part.parent)
        part.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
        if private:
            part.chmod(0o700)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, or make one so.

    Raises:
        OSError: it cannot be made, or belongs to somebody else.
    """
    make_folder(folder)
    if os.name == "posix" and not is_private(folder):
        folder.chmod(0o700)


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner may read, or make one so; its content stays."""
    os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))


def open_private(path: str, flags: int) -> int:
    """The `opener` of `open` for a file that only its owner may read."""
    descriptor = os.open(path, flags, 0o600)
    if os.name == "posix":
        os.fchmod(descriptor, 0o600)
    return descriptor


def close_to_others(path: Path) -> None:
    """Take a file, or a folder and all in it, from everybody but the owner; links are left alone.

    A folder that is closed already is not searched: what was made in it is closed too.
    """
    if os.name != "posix" or path.is_symlink() or not path.stat().st_mode & _OTHERS:
        return
    for found in _within(path):
        mode = found.lstat().st_mode
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            found.chmod(stat.S_IMODE(mode) & ~_OTHERS)


def _within(path: Path) -> Iterator[Path]:
    """The path and, in a folder, all below it; the path itself last, so that a kill on the way is noticed."""
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            yield from (Path(folder) / name for name in (*folders, *files))
    yield path
