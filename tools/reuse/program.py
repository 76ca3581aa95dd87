"""What a network's answer depends on beside its weights and the image: our code and tables, libraries, processor."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from ...models.inference.hardware import cpu_flags

_OURS = ("imaging", "models", "retrieval/anatomy", "tools/desk", "tools/segmenting", "workers")
_NOT = {".pyc", ".safetensors"}  # weights have hashes of their own
_LIBRARIES = ("numpy", "scipy", "torch", "openvino", "connected-components-3d", "fill_voids")


@cache
def program_key() -> str:
    """Sha256 of the program as it stands on the disk: another version, a changed file or another processor gives another."""
    digest = hashlib.sha256()
    root = Path(str(resources.files("ostensor")))
    for path in sorted(path for place in _OURS for path in (root / place).rglob("*.*")):
        if path.suffix not in _NOT and path.is_file():
            digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    digest.update("\n".join((*map(_version, _LIBRARIES), *sorted(cpu_flags()))).encode())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return f"{library} none"
