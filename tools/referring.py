"""Asking a network that reads sentences, and making candidates of its mask."""

from __future__ import annotations

from ..imaging.errors import Unavailable
from ..models.card import Card
from ..retrieval.describe import Description
from .finding import Finder, Found, Nothing

_LEAST_VOXELS = 8


def refer(finder: Finder, description: Description, card: Card) -> list[Found] | Nothing:
    raise Unavailable("not yet")
