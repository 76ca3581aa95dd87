"""Networks that draw in single slices, carried through a scan: what changes in a slice is shown to the next one. Torch-free.

The limits below are ours: they end a carry where the next slice shows something else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...imaging.volume import BoolArray, Volume
from ..inference.pictures import shown_index
from ..interface import Drawing, Features, Prompt, Promptable
from .adapting import deepest
from .steps import Bits, Mark, prompts_of

AROUND = 3  # pixels about a change that the next slice may change, too
LEAST_LEFT = 0.1  # of the first slice's change, below which it is not carried on
LEAST_ALIKE = 0.3  # Dice of two slices' changes
MOST_SDS = 2.0  # that the mean grey of what is added may leave the first slice's
_CARRIED = "This network draws in single slices: the change was carried to slices {low} to {high} (from the feet). Check both ends."
_STAYED = "This network draws in single slices: nothing in the next ones resembles the change, so it stays in the slices pointed at."
_ALONE = "A mark of what is not meant lies in a slice where nothing is drawn, and changed nothing there."

Extent = tuple[tuple[int, int], ...]


def draw_slices(
    network: Promptable,
    features: Features,
    volume: Volume,
    before: BoolArray,
    logits: object,
    marks: Sequence[Mark],
    fresh: Collection[Extent],
    slab: tuple[int, int, int] | None,
) -> Drawing:
    """The mask once the slices of the new marks are drawn and what changed there is carried on.

    Args:
        logits: of each slice drawn before; None for none.
        marks: all there are, as the network understands them.
        fresh: where the new ones lie.
        slab: when given, nothing is carried.
    """
    hand = _Hand(network, features, volume, before.copy(), dict(logits) if isinstance(logits, dict) else {}, marks)
    touched = sorted({z for extent in fresh for z in range(*extent[hand.axis])})
    if slab is not None and slab[0] == hand.axis:
        touched = [z for z in touched if slab[1] <= z < slab[2]]
    changes = {z: hand.draw(z) for z in touched}
    notes = [_ALONE] if hand.alone else []
    if slab is None and before.shape[hand.axis] > 1:
        carried = sorted({next_z for z in touched for step in (1, -1) for next_z in hand.carry(z, step, changes[z])})
        ends = [shown_index(volume.grid, z) for z in carried]
        notes += [_CARRIED.format(low=min(ends), high=max(ends))] if ends else [_STAYED]
    iou = float(np.mean(hand.ious)) if hand.ious else None
    return Drawing(hand.array, hand.logits, iou, tuple(notes))


class _Hand:
    """The mask under way."""

    def __init__(
        self, network: Promptable, features: Features, volume: Volume, array: BoolArray, logits: dict[int, Any],
        marks: Sequence[Mark],
    ) -> None:  # fmt: skip
        self.network, self.features, self.volume, self.array, self.logits, self.marks = (
            network, features, volume, array, logits, marks,
        )  # fmt: skip
        self.axis = next(n for n, code in enumerate(volume.grid.axis_codes) if code in "SI")
        self.pointed = {z for mark in marks for z in range(*mark.extent[self.axis])}
        self.alone = False
        self.ious: list[float] = []

    def draw(self, z: int) -> tuple[BoolArray, BoolArray]:
        """Draw a slice that was pointed at; what it gained and what it lost (two axes each)."""
        old = self._slice(self.array, z).copy()
        given = prompts_of([one for one in (self._cut(mark, z) for mark in self.marks) if one], self.array.shape)
        if not old.any() and not any(one.positive for one in given):
            self.alone = True
            return old, old
        if old.any() and z not in self.logits and "mask" in self.network.takes:
            given.insert(0, self._mask(z, old))
        drawing = self.network.decode(self.features, given, self.logits.get(z))
        self.logits[z] = drawing.logits
        self.ious += [drawing.iou] if drawing.iou is not None else []
        new = self._slice(drawing.array, z)
        self._slice(self.array, z)[:] = new
        return new & ~old, old & ~new

    def carry(self, z: int, step: int, change: tuple[BoolArray, BoolArray]) -> list[int]:
        """Show a change to the next slices, one after the other; which of them took it."""
        added, removed = change
        first = int((added | removed).sum())
        greys = self._slice(self.volume.array, z)[added].astype(np.float64)
        done: list[int] = []
        while first:
            z += step
            if not 0 <= z < self.array.shape[self.axis] or z in self.pointed:
                break
            old = self._slice(self.array, z)
            new = self._next(z, old, added, removed)
            gained, lost = new & ~old, old & ~new
            if not self._goes_on(z, (added, removed), (gained, lost), first, greys):
                break
            old[:] = new
            self.logits.pop(z, None)  # it was drawn from a neighbour, not from its own logits
            added, removed = gained, lost
            done.append(z)
        return done

    def _next(self, z: int, old: BoolArray, added: BoolArray, removed: BoolArray) -> BoolArray:
        """The slice's own answer to what its neighbour gained and lost, near that."""
        takes = self.network.takes
        want = (old | added) & ~removed
        given = [self._mask(z, want)] if "mask" in takes and want.any() else []
        if added.any() and "box" in takes:
            given.append(self._box(z, want if not old.any() else added))
        if added.any() and "point" in takes:
            given.append(self._point(z, added, True))
        if (removed & old).any() and "-point" in takes:
            given.append(self._point(z, removed & old, False))
        if not any(one.positive for one in given):
            return old & ~removed
        drawn = self._slice(self.network.decode(self.features, given).array, z)
        near = ndimage.binary_dilation(added | removed, iterations=AROUND)
        new: BoolArray = np.where(near, drawn, old)
        return new

    def _goes_on(
        self, z: int, last: tuple[BoolArray, BoolArray], change: tuple[BoolArray, BoolArray], first: int, greys: npt.NDArray[Any]
    ) -> bool:  # fmt: skip
        here, there = change[0] | change[1], last[0] | last[1]
        if here.sum() < LEAST_LEFT * first or 2 * (here & there).sum() < LEAST_ALIKE * (here.sum() + there.sum()):
            return False
        if not change[0].any() or not greys.size:
            return True
        mean = float(self._slice(self.volume.array, z)[change[0]].mean())
        return abs(mean - float(greys.mean())) <= MOST_SDS * float(greys.std()) + 1e-6

    def _slice(self, array: npt.NDArray[Any], z: int) -> npt.NDArray[Any]:
        return array[tuple(z if n == self.axis else slice(None) for n in range(3))]

    def _whole(self, z: int, flat: BoolArray) -> BoolArray:
        whole: BoolArray = np.zeros(self.array.shape, np.bool_)
        self._slice(whole, z)[:] = flat
        return whole

    def _mask(self, z: int, flat: BoolArray) -> Prompt:
        return Prompt("mask", array=self._whole(z, flat))

    def _bits(self, z: int, flat: BoolArray) -> Bits:
        start = [0, 0, 0]
        start[self.axis] = z
        x, y, z0 = start
        found = Bits.of(np.expand_dims(flat, self.axis), (x, y, z0))
        assert found is not None
        return found

    def _box(self, z: int, flat: BoolArray) -> Prompt:
        return Prompt("box", box=self._bits(z, flat).box)

    def _point(self, z: int, flat: BoolArray, positive: bool) -> Prompt:
        return Prompt("point", positive, at=deepest(self._bits(z, flat)))

    def _cut(self, mark: Mark, z: int) -> Mark | None:
        """What of a mark lies in a slice."""
        low, high = mark.extent[self.axis]
        if not low <= z < high:
            return None
        if mark.kind == "point" or high - low == 1:
            return mark
        if mark.kind == "box":
            return replace(mark, box=tuple((z, z + 1) if n == self.axis else one for n, one in enumerate(mark.box)))
        assert mark.bits is not None
        part = self._slice(mark.bits.array, z - low)
        start = [one[0] for one in mark.bits.box]
        start[self.axis] = z
        bits = Bits.of(np.expand_dims(part, self.axis), (start[0], start[1], start[2]))
        return None if bits is None else replace(mark, bits=bits)
