"""What a network does not understand, said in a way it does: a scribble as points along it, a lasso as box and point. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..interface import NotUnderstood
from .steps import At, Bits, Mark

ALONG = 8  # points that stand for a scribble; ours


def adapted(marks: Sequence[Mark], takes: frozenset[str], model: str) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """The marks as a network understands them, and what was changed, one sentence each.

    Raises:
        NotUnderstood: nothing it takes says the same.
    """
    found: list[Mark] = []
    notes: dict[str, None] = {}
    for mark in marks:
        if _word(mark.kind, mark.positive) in takes:
            found.append(mark)
            continue
        others = _said_otherwise(mark, takes)
        if not others:
            kind = mark.kind if mark.positive else f"{mark.kind} that says what is not meant"
            raise NotUnderstood(
                f"'{model}' does not understand a {kind}. It takes {', '.join(sorted(takes))} (- means: not meant)."
            )
        found += others
        told = " and ".join(dict.fromkeys(one.kind for one in others))
        notes[f"'{model}' takes no {mark.kind}; it was told {'some ' if len(others) > 2 else 'a '}{told} instead."] = (
            None
        )
    return tuple(found), tuple(notes)


def _said_otherwise(mark: Mark, takes: frozenset[str]) -> list[Mark]:
    def taken(kind: str) -> bool:
        return _word(kind, mark.positive) in takes

    if mark.kind == "point":
        return [Mark("scribble", mark.positive, bits=mark.voxels)] if taken("scribble") else []
    if mark.kind == "box":
        low, high = zip(*mark.box, strict=True)
        x, y, z = ((a + b - 1) // 2 for a, b in zip(low, high, strict=True))
        return [Mark("point", at=(x, y, z))] if mark.positive and taken("point") else []
    assert mark.bits is not None
    if mark.kind == "lasso":
        if taken("scribble"):
            return [replace(mark, kind="scribble")]
        around = [Mark("box", box=mark.bits.box)] if mark.positive and taken("box") else []
        inside = [Mark("point", mark.positive, at=deepest(mark.bits))] if taken("point") else []
        return around + inside
    return [Mark("point", mark.positive, at=at) for at in _along(mark.bits)] if taken("point") else []


def deepest(bits: Bits) -> At:
    """The voxel farthest from the border."""
    array = bits.array
    if array.size == 1:
        return bits.box[0][0], bits.box[1][0], bits.box[2][0]
    flat = [axis for axis, n in enumerate(array.shape) if n == 1]
    room = np.pad(array, [(0, 0) if axis in flat else (1, 1) for axis in range(3)])
    depth = ndimage.distance_transform_edt(np.squeeze(room, tuple(flat)) if flat else room).reshape(room.shape)
    at = np.unravel_index(int(np.argmax(depth)), depth.shape)
    x, y, z = (int(n) - (0 if axis in flat else 1) + bits.box[axis][0] for axis, n in enumerate(at))
    return x, y, z


def _along(bits: Bits) -> list[At]:
    places = np.argwhere(bits.array) + [low for low, _ in bits.box]
    chosen = places[np.linspace(0, len(places) - 1, min(ALONG, len(places))).round().astype(int)]
    return [(int(x), int(y), int(z)) for x, y, z in chosen]


def _word(kind: str, positive: bool) -> str:
    return kind if positive else f"-{kind}"
