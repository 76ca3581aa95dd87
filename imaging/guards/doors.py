"""A file is opened once, and what was opened is checked: not a name that may mean another file a moment later.

A path is walked from its root folder by file descriptors, no link followed on the way, so that swapping a folder or
a file for a link between the check and the opening gains nothing. Pipes, sockets and devices are no files.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import BadCall

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_WALKS = os.name == "posix" and os.open in os.supports_dir_fd


@dataclass(frozen=True)
class Door:
    """Opens regular files for reading.

    Attributes:
        folders: resolved; only files below one of them are opened. Empty: any file of the machine, for callers who
            may read it anyway.
    """

    folders: tuple[Path, ...] = ()

    def open(self, path: Path) -> BinaryIO:
        """The open file, which is the one that the checks were made on.

        Args:
            path: absolute and resolved, when there are folders: a link on the way is refused.

        Raises:
            BadCall: outside the folders, a link, or no regular file.
            OSError: missing or not readable.
        """
        descriptor = self._descriptor(path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadCall(f"'{path.name}' is no regular file (a pipe, a device or a folder). Give a file.")
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    def folder(self, path: Path) -> int:
        """Descriptor of a folder, reached without following a link; the caller closes it.

        Raises:
            BadCall: outside the folders.
            OSError: missing, or a link on the way.
        """
        root = self._root(path)
        return _folder(root, path.relative_to(root).parts)

    def remove(self, path: Path) -> None:
        """Remove a file below one of the folders; links are not followed on the way, and links are not removed.

        Raises:
            BadCall: outside the folders.
            OSError: missing, a folder, or a link on the way.
        """
        root = self._root(path)
        if not _WALKS:
            path.unlink()
            return
        folder = _folder(root, path.relative_to(root).parts[:-1])
        try:
            if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise BadCall(f"'{path.name}' is no regular file, and only those are removed.")
            os.unlink(path.name, dir_fd=folder)
        finally:
            os.close(folder)

    def _root(self, path: Path) -> Path:
        root = next((folder for folder in self.folders if path.is_relative_to(folder)), None)
        if root is None or ".." in path.parts:
            raise BadCall(f"'{path.name}' lies outside the allowed folders. Only files under a root may be used.")
        return root

    def _descriptor(self, path: Path) -> int:
        if not self.folders:
            return os.open(path, _FLAGS)
        root = self._root(path)
        if not _WALKS or path == root:
            return os.open(path, _FLAGS | _NO_LINK)
        try:
            return _walked(root, path.relative_to(root).parts)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise BadCall(
                    f"'{path.name}' is a link, a pipe, or was moved while it was opened. Give the file itself."
                ) from None
            raise


def _walked(root: Path, parts: tuple[str, ...]) -> int:
    """Descriptor of a file below `root`, folder by folder."""
    folder = _folder(root, parts[:-1])
    try:
        return os.open(parts[-1], _FLAGS | _NO_LINK, dir_fd=folder)
    finally:
        os.close(folder)


def _folder(root: Path, parts: tuple[str, ...]) -> int:
    folder = os.open(root, os.O_RDONLY | _FOLDER)
    for part in parts:
        try:
            below = os.open(part, os.O_RDONLY | _FOLDER | _NO_LINK, dir_fd=folder)
        finally:
            os.close(folder)
        folder = below
    return folder


ANYWHERE = Door()
"""For files that this program wrote itself, and for libraries' callers who name files of their own."""
