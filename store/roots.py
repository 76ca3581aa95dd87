"""The folders whose files may be read and written; everything else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..imaging.errors import BadCall


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
        given = Path(text).expanduser()
        candidates = [given] if given.is_absolute() else [root / given for root in self.folders]
        resolved = [self._resolve(candidate) for candidate in candidates]
        allowed = [found for found in resolved if found is not None and self._holds(found)]
        if not allowed:
            raise BadCall(
                f"'{given.name}' lies outside the allowed folders. Only files under a root may be used. "
                "Move it there, or restart with --root for its folder."
            )
        existing = [found for found in allowed if found.exists()]
        if must_exist and not existing:
            raise BadCall(f"'{given.name}' does not exist. Give an existing file or folder. Check the spelling.")
        return (existing or allowed)[0]

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

    def shown(self, path: Path) -> str:
        """The path as results may show it: relative to its root.

        Raises:
            BadCall: the path lies outside every root.
        """
        for root in self.folders:
            if path == root or root in path.parents:
                return path.relative_to(root).as_posix()
        raise BadCall(f"'{path.name}' lies outside the allowed folders, so its path is not shown.")
