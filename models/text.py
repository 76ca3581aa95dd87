"""Text encoders: words in, vectors out, with a cache so that no word is encoded twice.

`known_vectors` holds every name and synonym of the anatomy table, so the usual words need no
encoder at run time.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .weights import __file__ as _weights_init

Vector = npt.NDArray[np.float32]
KNOWN = Path(_weights_init).parent / "vectors-minilm.npz"


def normalised_term(text: str) -> str:
    """The form under which a term is cached: lower case, single spaces."""
    return " ".join(text.lower().split())


@cache
def known_vectors() -> dict[str, Vector]:
    """Unit MiniLM vectors (384) of every term of the anatomy table."""
    with np.load(KNOWN, allow_pickle=False) as stored:
        vectors = stored["vectors"].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return {str(term): vector for term, vector in zip(stored["terms"], vectors, strict=True)}
