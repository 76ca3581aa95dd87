"""Growing from seeds by grey values, without any network: what is left where no weights are. Torch-free.

What is meant is as bright as the marks of it, hangs together with them and lies within reach; marks of what is not meant
flood the part that is nearer to them, over the picture's edges. Every constant here is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import skimage
from scipy import ndimage

from ...imaging.errors import BadCall
from ...imaging.volume import BoolArray, Volume
from ..card import Card
from ..inference.prompts import check_prompts
from ..interface import Cancelled, Drawing, Features, Progress, Prompt
from .steps import SEEDS

REACH_MM = 40.0  # from the marks
SDS = 2.5  # of the greys about the marks, that the rest may lie apart
LEAST_SHARE = 0.02  # of the scan's range of greys (1st to 99th percentile), that it may at least
TAKEN_MM = 8.0  # how far a mark of what is not meant reaches
MOST_FLOODED = 400_000  # voxels of a flood; a larger part is flooded in blocks
CORE = 0.25  # of a box's side, left free at each end: the middle half is meant

CARD = Card(
    name=SEEDS,
    title="Growing from seeds by grey values; classical, no network and no weights",
    system="ostensor",
    paper="",
    task="refine",
    modalities=("ct", "mr", "pet", "us", "xr", "photo", "unknown"),
    dimensions=(2, 3),
    memory_mb=100,
    licence="as ostensor",
    purpose="any",
    weights="none",
    weights_file="",
    fidelity="library",
    text_encoder="none; it is pointed at",
    intensity="percentile",
    region=(),
    notes="Follows grey values, and knows no anatomy.",
)
NOTE = "No network was used: grown from the marks by grey values, which knows no anatomy. Check its borders."


@dataclass(frozen=True)
class Seen:
    """The scan itself."""

    volume: Volume

    @property
    def nbytes(self) -> int:
        """Its voxels are mapped, not held."""
        return 1


@dataclass(frozen=True)
class _Last:
    """What was drawn, and of which marks."""

    prompts: tuple[Prompt, ...]
    array: BoolArray


class SeedGrower:
    """See `interface.Promptable`; further marks change the last mask within their reach only."""

    takes = frozenset({"point", "-point", "box", "scribble", "-scribble", "lasso", "-lasso", "mask"})

    def __init__(self) -> None:
        self.card, self.engine = CARD, "classical"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Seen:
        """Nothing is looked at beforehand."""
        if cancelled():
            raise Cancelled
        progress(1.0)
        return Seen(volume)

    def going_on(self, previous: object, array: BoolArray) -> object:
        """The last answer as it was kept, so that what was left out of it does not come back."""
        return replace(previous, array=array) if isinstance(previous, _Last) else previous

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        """The start and what the marks add, less what the marks of what is not meant take."""
        if not isinstance(features, Seen):
            raise TypeError(f"features of another model: {type(features).__name__}")
        volume, every = features.volume, tuple(prompts)
        check_prompts(every, volume.grid, self.takes, SEEDS)
        goes_on = isinstance(previous, _Last) and every[: len(previous.prompts)] == previous.prompts
        base: BoolArray = np.zeros(volume.grid.shape, np.bool_)
        fresh = every
        if goes_on and isinstance(previous, _Last):
            base, fresh = previous.array.copy(), every[len(previous.prompts) :]
        for one in fresh:
            if one.kind == "mask" and one.array is not None:
                base |= one.array
        marks = _Marks(fresh)
        if not base.any() and marks.are_all_apart:
            raise BadCall(
                "Only what is not meant was pointed at, and there is no mask to take it from. Point at the structure."
            )
        if len(places := marks.places):
            window = _window(volume, places, marks.are_boxes)
            start = np.array([one.start for one in window])
            known = _Marks(every).inside(start, [one.stop for one in window])
            part = _Part(np.asarray(volume.array[window], np.float32), _spacing(volume), start)
            base[window] = part.drawn(base[window], marks, known)
        return Drawing(base, _Last(every, base), None, (NOTE,))


class _Marks:
    """What prompts say, as indices (n 3)."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        marks = [_voxels(one) for one in prompts if one.kind != "mask"]
        self.boxes = [at for at, one in marks if one == "box"]
        self.meant, self.areas, self.apart = (
            _joined([at for at, one in marks if one == word]) for word in ("meant", "area", "not meant")
        )

    @property
    def places(self) -> npt.NDArray[np.int_]:
        """All of them."""
        return _joined([one for one in (self.meant, self.areas, self.apart, *self.boxes) if len(one)])

    @property
    def are_all_apart(self) -> bool:
        """Whether nothing is meant."""
        return not len(self.meant) and not len(self.areas) and not self.boxes

    @property
    def are_boxes(self) -> bool:
        """Whether something is meant, and by boxes alone."""
        return bool(self.boxes) and not len(self.meant) and not len(self.areas)

    def inside(
        self, start: npt.NDArray[np.int_], stop: Sequence[int]
    ) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """What is meant by points, lines and areas, and what is not, inside a window."""
        found = []
        for places in (_joined([one for one in (self.meant, self.areas) if len(one)]), self.apart):
            found.append(places[((places >= start) & (places < np.array(stop))).all(axis=1)])
        return found[0], found[1]


def _voxels(prompt: Prompt) -> tuple[npt.NDArray[np.int_], str]:
    """Indices (n 3) of a mark, of a box its two corner voxels; and what it says."""
    if prompt.kind == "point":
        return np.array([prompt.at]), "meant" if prompt.positive else "not meant"
    if prompt.kind == "box":
        return np.array([[low for low, _ in prompt.box], [high - 1 for _, high in prompt.box]]), "box"
    assert prompt.array is not None
    if prompt.kind == "lasso" and prompt.positive:
        return np.argwhere(prompt.array), "area"
    return np.argwhere(prompt.array), "meant" if prompt.positive else "not meant"


def _joined(parts: Sequence[npt.NDArray[np.int_]]) -> npt.NDArray[np.int_]:
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.int_)


def _spacing(volume: Volume) -> npt.NDArray[np.float64]:
    return np.array(volume.grid.spacing_mm)


def _window(volume: Volume, places: npt.NDArray[np.int_], only_boxes: bool) -> tuple[slice, slice, slice]:
    """The part of the scan within reach of the marks, or just a box with a voxel around."""
    reach = np.ones(3) if only_boxes else np.ceil(REACH_MM / _spacing(volume))
    low = np.maximum(places.min(0) - reach, 0).astype(int)
    high = np.minimum(places.max(0) + reach + 1, volume.grid.shape).astype(int)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


class _Part:
    """The part of a scan that is looked at."""

    def __init__(
        self, grey: npt.NDArray[np.float32], spacing: npt.NDArray[np.float64], start: npt.NDArray[np.int_]
    ) -> None:
        self.grey, self.spacing, self.start = grey, spacing, start
        low, high = np.percentile(grey, (1, 99))
        self.least = LEAST_SHARE * float(high - low) + 1e-6
        axes = tuple(n for n in range(3) if grey.shape[n] > 1)
        self.steep = skimage.filters.sobel(grey, axis=axes) if axes else np.zeros_like(grey)

    def drawn(
        self, base: BoolArray, fresh: _Marks, known: tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]
    ) -> BoolArray:
        """The new mask of this part.

        Args:
            fresh: marks that add to it.
            known: what is meant and what is not, by these and by earlier marks.
        """
        found = base.copy()
        for box in fresh.boxes:
            found |= self._of_box(box - self.start)
        inside, outlined = self._at(fresh.meant), self._at(fresh.areas)
        if inside.any():
            found |= self._alike(inside) | inside
        found |= self._through(outlined)
        meant, apart = self._at(known[0]), self._at(known[1])
        if apart.any():
            found &= ~self._taken(found, meant, apart)
        return found | inside | outlined

    def _through(self, outlined: BoolArray) -> BoolArray:
        """Outlined areas, and what is like them straight above and below."""
        found = outlined.copy()
        parts, count = ndimage.label(outlined)
        for number, where in enumerate(ndimage.find_objects(parts), start=1):
            flat = [axis for axis in range(3) if where[axis].stop - where[axis].start == 1]
            if count and flat:
                area = parts == number
                found |= self._alike(area) & area.any(axis=flat[-1], keepdims=True)
        return found

    def _at(self, places: npt.NDArray[np.int_]) -> BoolArray:
        array: BoolArray = np.zeros(self.grey.shape, np.bool_)
        array[tuple((places - self.start).T)] = True
        return array

    def _alike(self, seeds: BoolArray) -> BoolArray:
        """What is as bright as a mark's surroundings and hangs together with it; each mark by itself."""
        around = np.ones([3 if n > 1 else 1 for n in self.grey.shape], np.bool_)
        parts, count = ndimage.label(ndimage.binary_dilation(seeds, around))
        found: BoolArray = np.zeros_like(seeds)
        for number in range(1, count + 1):
            here = parts == number
            greys = self.grey[here]
            middle, sd = float(np.median(greys)), 1.4826 * float(np.median(np.abs(greys - np.median(greys))))
            like = np.abs(self.grey - middle) <= max(SDS * sd, self.least)
            like |= here & seeds
            pieces, _ = ndimage.label(like)
            wanted = np.unique(pieces[here & seeds])
            found |= np.isin(pieces, wanted[wanted > 0])
        return ndimage.binary_fill_holes(found) if found.any() else found

    def _of_box(self, corners: npt.NDArray[np.int_]) -> BoolArray:
        """What a flood from a box's middle holds against one from its border."""
        low, high = corners[0], corners[1] + 1
        inside = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        core = tuple(
            slice(int(a + CORE * (b - a)), max(int(a + CORE * (b - a)) + 1, int(b - CORE * (b - a))))
            for a, b in zip(low, high, strict=True)
        )
        seeds = np.full(self.grey.shape, 2, np.int32)
        seeds[inside] = 0
        seeds[core] = 1
        found: BoolArray = _flooded(self.steep, seeds, np.ones(seeds.shape, np.bool_)) == 1
        return found

    def _taken(self, found: BoolArray, meant: BoolArray, apart: BoolArray) -> BoolArray:
        """What of the mask is nearer to the marks of what is not meant, over the picture's edges; without marks of what is, what
        looks like them if that is the smaller part of the mask, and else what lies within their reach."""
        near = ndimage.distance_transform_edt(~apart, sampling=self.spacing) <= max(
            TAKEN_MM, 2 * float(self.spacing.max())
        )
        core = meant
        if not meant.any():
            alike = ndimage.binary_closing(self._alike(apart) & found) & found
            if 2 * alike.sum() < found.sum():
                smaller: BoolArray = alike | apart
                return smaller
            core = found & ~near
        seeds = np.where(apart, 2, np.where(core, 1, 0)).astype(np.int32)
        flooded = _flooded(self.steep, seeds, found | apart)
        taken: BoolArray = (flooded == 2) | apart
        return taken


def _flooded(
    steep: npt.NDArray[np.floating[Any]], seeds: npt.NDArray[np.int32], where: BoolArray
) -> npt.NDArray[np.int32]:
    """Labels that floods from seeds reach first; in blocks of voxels where there are too many."""
    sides = [1, 1, 1]
    while np.prod([-(-n // side) for n, side in zip(seeds.shape, sides, strict=True)]) > MOST_FLOODED:
        left = [n / side for n, side in zip(seeds.shape, sides, strict=True)]
        sides[int(np.argmax(left))] += 1
    blocks = tuple(sides)
    if max(blocks) == 1:
        found: npt.NDArray[np.int32] = skimage.segmentation.watershed(steep, seeds, mask=where)
        return found
    coarse = skimage.segmentation.watershed(
        skimage.measure.block_reduce(steep, blocks, np.mean),
        skimage.measure.block_reduce(seeds, blocks, np.max),
        mask=skimage.measure.block_reduce(where, blocks, np.max),
    )
    fine = coarse
    for axis, side in enumerate(blocks):
        fine = np.repeat(fine, side, axis=axis)
    found = np.where(where, fine[tuple(slice(0, n) for n in seeds.shape)], 0).astype(np.int32)
    found[seeds > 0] = seeds[seeds > 0]
    return found
