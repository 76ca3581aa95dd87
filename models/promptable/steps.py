"""Steps of a refinement as workers get them: marks small enough to be sent, and which of them contradict each other. Torch-free."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...imaging.geometry import Box
from ...imaging.volume import BoolArray
from ..interface import Prompt

Kind = Literal["point", "box", "scribble", "lasso"]
At = tuple[int, int, int]
SEEDS = "grow-from-seeds"  # the model that is none: grey values alone


@dataclass(frozen=True)
class Bits:
    """Voxels of a scan as compressed bits of the box that holds them."""

    box: tuple[tuple[int, int], ...]
    packed: bytes

    @classmethod
    def of(cls, array: BoolArray, start: At = (0, 0, 0)) -> Bits | None:
        """Of a part of a scan that begins at `start`; None where nothing is set."""
        box = Box.of(array)
        if box is None:
            return None
        inside = array[box.slices]
        place = tuple((a + s, b + s) for a, b, s in zip(box.start, box.stop, start, strict=True))
        return cls(place, zlib.compress(np.packbits(inside).tobytes(), 1))

    @property
    def array(self) -> BoolArray:
        """The box's voxels (x y z)."""
        shape = tuple(b - a for a, b in self.box)
        bits = np.unpackbits(np.frombuffer(zlib.decompress(self.packed), np.uint8), count=int(np.prod(shape)))
        found: BoolArray = bits.reshape(shape).astype(np.bool_)
        return found

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where the box lies in the scan."""
        return tuple(slice(a, b) for a, b in self.box)

    def on(self, shape: Sequence[int]) -> BoolArray:
        """On a scan of this shape."""
        whole: BoolArray = np.zeros(tuple(shape), np.bool_)
        whole[self.slices] = self.array
        return whole

    def without(self, other: Bits) -> tuple[Bits | None, At | None]:
        """These voxels but the other's, and the first one that both hold."""
        low = [max(a[0], b[0]) for a, b in zip(self.box, other.box, strict=True)]
        high = [min(a[1], b[1]) for a, b in zip(self.box, other.box, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            return self, None
        mine, theirs = self.array, other.array
        here, there = (
            tuple(slice(a - o[0], b - o[0]) for a, b, o in zip(low, high, box, strict=True))
            for box in (self.box, other.box)
        )
        both = mine[here] & theirs[there]
        if not both.any():
            return self, None
        x, y, z = (int(n) for n in np.argwhere(both)[0] + low)
        mine[here] &= ~theirs[there]
        start = self.box[0][0], self.box[1][0], self.box[2][0]
        return Bits.of(mine, start), (x, y, z)


@dataclass(frozen=True)
class Mark:
    """One thing somebody pointed at, in voxel indices; fields as of `interface.Prompt`, with `bits` for its array."""

    kind: Kind
    positive: bool = True
    at: At = (0, 0, 0)
    box: tuple[tuple[int, int], ...] = ()
    bits: Bits | None = None

    @property
    def voxels(self) -> Bits | None:
        """Those it says something of, each by itself; None for a box, which says something of them together."""
        if self.kind == "point":
            return Bits(tuple((one, one + 1) for one in self.at), zlib.compress(b"\x80", 1))
        return self.bits

    @property
    def extent(self) -> tuple[tuple[int, int], ...]:
        """(first, last + 1) for each axis."""
        if self.kind == "box":
            return self.box
        voxels = self.voxels
        assert voxels is not None
        return voxels.box


@dataclass(frozen=True)
class Step:
    """What was pointed at in one go.

    Attributes:
        slab: axis, first and last + 1 of the slices that alone may change; None for the whole scan.
    """

    marks: tuple[Mark, ...]
    slab: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Clash:
    """Two marks that say opposite things of the same voxel; the later one counts there."""

    earlier: int
    later: int
    at: At


def settled(marks: Sequence[Mark]) -> tuple[tuple[Mark, ...], tuple[Clash, ...]]:
    """The marks without what later ones contradict, and where they do."""
    kept: list[Mark | None] = list(marks)
    clashes = []
    for later, mark in enumerate(marks):
        voxels = mark.voxels
        if voxels is None:
            continue
        for earlier in range(later):
            other = kept[earlier]
            if other is None or other.positive == mark.positive or (theirs := other.voxels) is None:
                continue
            left, at = theirs.without(voxels)
            if at is None:
                continue
            clashes.append(Clash(earlier, later, at))
            kept[earlier] = None if left is None else replace(other, bits=left)
    return tuple(one for one in kept if one is not None), tuple(clashes)


def prompts_of(marks: Sequence[Mark], shape: Sequence[int]) -> list[Prompt]:
    """The marks on a scan; strokes of one kind and sign become one prompt, as each holds the scan's size."""
    found: list[Prompt] = []
    drawn: dict[tuple[Literal["scribble", "lasso"], bool], BoolArray] = {}
    for mark in marks:
        if mark.kind == "point":
            found.append(Prompt("point", mark.positive, at=mark.at))
        elif mark.kind == "box":
            found.append(Prompt("box", mark.positive, box=mark.box))
        else:
            assert mark.bits is not None
            whole = drawn.setdefault((mark.kind, mark.positive), np.zeros(tuple(shape), np.bool_))
            whole[mark.bits.slices] |= mark.bits.array
    return found + [Prompt(kind, positive, array=array) for (kind, positive), array in drawn.items()]


def prompt_of(mark: Mark, shape: Sequence[int]) -> Prompt:
    """One mark on a scan."""
    (found,) = prompts_of([mark], shape)
    return found
