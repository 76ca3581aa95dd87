"""Our own files as part of what an answer is made of. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import metadata, resources
from pathlib import Path

_NOT = {".pyc", ".safetensors"}  # weights have hashes of their own


@cache
def code_key(places: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """Sha256 of the files below some of the package's folders, as they stand on the disk, and of libraries' versions."""
    digest = hashlib.sha256()
    root = Path(str(resources.files("ostensor")))
    for path in sorted(path for place in places for path in (root / place).rglob("*.*")):
        if path.suffix not in _NOT and path.is_file():
            digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    digest.update(_versions(libraries).encode())
    return digest.hexdigest()


def _versions(libraries: Sequence[str]) -> str:
    return "\n".join(f"{library} {_version(library)}" for library in libraries)


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "none"
