"""What the cards of networks that take clicks have in common. Torch-free."""

from __future__ import annotations

from typing import Any

from ..card import Card

BODY = ("head", "neck", "thorax", "abdomen", "pelvis", "limbs")


def describe_published(name: str, **facts: Any) -> Card:
    """The card of a published network whose weights the user brings."""
    common: dict[str, Any] = {
        "task": "refine", "weights": "user-file", "intensity": "percentile", "text_encoder": "none; it is pointed at",
        "modalities": ("ct", "mr", "pet", "us"), "dimensions": (2, 3), "region": BODY,
    }  # fmt: skip
    return Card(name=name, **{**common, **facts})
