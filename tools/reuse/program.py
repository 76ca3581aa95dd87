"""What a network's answer depends on beside its weights and the image: our code and tables, libraries, processor."""

from __future__ import annotations

import hashlib

from ...models.inference.code import code_key
from ...models.inference.hardware import cpu_flags

_OURS = ("imaging", "models", "retrieval/anatomy", "tools/desk", "tools/segmenting", "workers")
_LIBRARIES = ("numpy", "scipy", "torch", "openvino", "connected-components-3d", "fill_voids")


def program_key() -> str:
    """Sha256 of the program as it stands: another version, a changed file or another processor gives another."""
    return hashlib.sha256(f"{code_key(_OURS, _LIBRARIES)} {sorted(cpu_flags())}".encode()).hexdigest()
