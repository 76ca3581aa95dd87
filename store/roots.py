"""The folders whose files may be read and written; everything else is refused."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from ..imaging.errors import BadCall
from ..imaging.guards.doors import Door

_DESCRIPTORS = Path("/proc/self/fd")  # of Linux: what is written below such a path goes to what was opened
_LOOKED_AT = 5000  # names of a folder compared with a misspelt one


class Roots:
    """Allowed folders. Symbolic links are resolved first, so none leads out.

    Args:
        folders: existing folders; relative ones start at the working folder.

    Raises:
        BadCall: no folder given, or one does not exist.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        if not folders:
            raise BadCall("No root folder is set. At least one is needed. Start with --root FOLDER.")
        for folder in folders:
            if not folder.is_dir():
                raise BadCall(f"The root '{folder}' is not a folder. Roots must exist. Create it or name another.")
        self.folders: tuple[Path, ...] = tuple(folder.resolve() for folder in folders)
        self.names: dict[str, Path] = _names(self.folders)

    def inside(self, path: str | Path, *, must_exist: bool = True) -> Path:
        """The absolute, resolved path, once it is known to lie inside a root.

        A relative path is looked for in each root in turn; the first that exists wins, and
        a new file goes to the first root.

        Raises:
            BadCall: the path is empty, leads out of every root, or `must_exist` and it does not.
        """
        text = str(path)
        if not text.strip() or "\x00" in text:
            raise BadCall("The path is empty or holds a NUL character. Give a file or folder inside a root.")
        given = Path(as_written(text)).expanduser()
        candidates = [given] if given.is_absolute() else [root / given for root in self.folders]
        if (
            not given.is_absolute() and given.parts and given.parts[0] in self.names
        ):  # "root's name/file", as it is listed
            candidates.append(self.names[given.parts[0]].joinpath(*given.parts[1:]))
        resolved = [self._resolve(candidate) for candidate in candidates]
        allowed = [found for found in resolved if found is not None and self._holds(found)]
        if not allowed:
            raise BadCall(
                f"'{given.name}' lies outside the allowed folders. Only files under a root may be used. "
                "Move it there, or restart with --root for its folder."
            )
        existing = [found for found in allowed if found.exists()]
        if must_exist and not existing:
            raise BadCall(f"'{given.name}' does not exist. Give an existing file or folder.{self._near(allowed)}")
        return (existing or allowed)[0]

    def _near(self, missing: Sequence[Path]) -> str:
        """Paths in the same folders that are spelt like the missing ones, else of the same name elsewhere, in a sentence."""
        found = [path for one in missing for path in _alike(one)]
        found = found or [path for root in self.folders for path in _called(root, {one.name for one in missing})]
        listed = ", ".join(f"'{self.shown(path)}'" for path in dict.fromkeys(found[:3]))
        return f" Did you mean {listed}?" if listed else " Check the spelling, or call list_files."

    def _holds(self, path: Path) -> bool:
        return any(path == root or root in path.parents for root in self.folders)

    @staticmethod
    def _resolve(path: Path) -> Path | None:
        try:
            found = path.resolve()
            found.exists()  # raises for a name that is too long
            return found
        except (OSError, RuntimeError, ValueError):  # a loop of links, or a name the file system refuses
            return None

    @contextmanager
    def held(self, folder: Path) -> Iterator[Path]:
        """A path that means this very folder while the block runs, whatever its name comes to mean meanwhile.

        Where the system has no such paths, it is the folder's own.

        Raises:
            BadCall: outside the roots, or it was moved or replaced by a link.
        """
        if not _DESCRIPTORS.is_dir():
            yield folder
            return
        try:
            descriptor = Door(self.folders).folder(folder)
        except OSError:
            raise BadCall(f"'{folder.name}' was moved while it was opened. Give an existing folder.") from None
        try:
            yield _DESCRIPTORS / str(descriptor)
        finally:
            os.close(descriptor)

    def shown(self, path: Path) -> str:
        """The path as results may show it: relative to its root.

        Raises:
            BadCall: the path lies outside every root.
        """
        for root in self.folders:
            if path == root or root in path.parents:
                return path.relative_to(root).as_posix()
        raise BadCall(f"'{path.name}' lies outside the allowed folders, so its path is not shown.")


def as_written(text: str) -> str:
    """A path without the quotes or the `file://` that chats put around it.

    Raises:
        BadCall: it is an address of another machine.
    """
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`":
        bare = bare[1:-1].strip()
    scheme, _, rest = bare.partition("://")
    if not rest or not scheme.isalpha():
        return bare
    if scheme.lower() != "file":
        raise BadCall(
            f"'{scheme}://…' is an address. Only files of this machine are opened. Save it below a root first."
        )
    host, _, path = rest.partition("/")
    if host not in ("", "localhost"):
        raise BadCall(
            f"The file lies on the machine '{host[:40]}'. Only files of this machine are opened. Copy it here."
        )
    return "/" + unquote(path)


def _names(folders: Sequence[Path]) -> dict[str, Path]:
    """A name for each root: its folder's, with a number where two are called alike."""
    names: dict[str, Path] = {}
    for folder in folders:
        name, number = folder.name or "root", 1
        while name in names:
            number += 1
            name = f"{folder.name or 'root'}-{number}"
        names[name] = folder
    return names


def _alike(path: Path) -> list[Path]:
    """What lies beside a missing path and is spelt like it; of a missing folder, what lies beside that."""
    if not path.parent.is_dir():
        return _alike(path.parent) if path.parent.name else []
    beside = {_stem(entry.name): entry for entry in islice(path.parent.iterdir(), _LOOKED_AT)}
    return [beside[stem] for stem in difflib.get_close_matches(_stem(path.name), beside, n=3, cutoff=0.6)]


def _called(root: Path, names: set[str]) -> list[Path]:
    """Files and folders of exactly these names somewhere below a root; no link is followed."""
    found, seen = [], 0
    for folder, folders, files in os.walk(root):
        seen += len(files) + len(folders)
        found += [Path(folder, name) for name in (*folders, *files) if name in names]
        if seen > _LOOKED_AT or len(found) > 2:
            break
    return found


def _stem(name: str) -> str:
    return name.lower().partition(".")[0] or name.lower()
