"""The desk of several models, too."""

from ..segmenting.conftest import engines, several

__all__ = ["engines", "several"]
