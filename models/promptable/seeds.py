"""Growing from seeds by grey values, without any network: what is left where no weights are. Torch-free.

What is meant is as bright as the marks of it, hangs together with them and lies within reach; marks of what is not meant
flood the part that is nearer to them, over the picture's edges. Every constant here is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


class SeedGrower:
    """See `interface.Promptable`; `previous` is the last mask."""

    takes = frozenset({"point", "-point", "box", "scribble", "-scribble", "lasso", "-lasso", "mask"})

    def __init__(self) -> None:
        self.card, self.engine = CARD, "classical"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Seen:
        """Nothing is looked at beforehand."""
        if cancelled():
            raise Cancelled
        progress(1.0)
        return Seen(volume)

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        """The start and what the marks add, less what the marks of what is not meant take."""
        if not isinstance(features, Seen):
            raise TypeError(f"features of another model: {type(features).__name__}")
        volume = features.volume
        check_prompts(prompts, volume.grid, self.takes, SEEDS)
        base: BoolArray = np.zeros(volume.grid.shape, np.bool_)
        for one in prompts:
            if one.kind == "mask" and one.array is not None:
                base |= one.array
        marks = [_voxels(one, base.shape) for one in prompts if one.kind != "mask"]
        meant = _joined([at for at, one in marks if one == "meant"])
        areas = _joined([at for at, one in marks if one == "area"])
        boxes = [at for at, one in marks if one == "box"]
        apart = _joined([at for at, one in marks if one == "not meant"])
        if not base.any() and not len(meant) and not len(areas) and not boxes:
            raise BadCall(
                "Only what is not meant was pointed at, and there is no mask to take it from. Point at the structure."
            )
        places = np.concatenate([one for one in (meant, areas, apart, *boxes) if len(one)])
        window = _window(volume, places, bool(boxes) and not len(meant) and not len(areas))
        part = _Part(np.asarray(volume.array[window], np.float32), _spacing(volume), [s.start for s in window])
        array = base.copy()
        array[window] = part.drawn(base[window], meant, areas, apart, boxes)
        return Drawing(array, None, None, (NOTE,))


def _voxels(prompt: Prompt, shape: Sequence[int]) -> tuple[npt.NDArray[np.int_], str]:
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

    def __init__(self, grey: npt.NDArray[np.float32], spacing: npt.NDArray[np.float64], start: Sequence[int]) -> None:
        self.grey, self.spacing, self.start = grey, spacing, np.array(start)
        low, high = np.percentile(grey, (1, 99))
        self.least = LEAST_SHARE * float(high - low) + 1e-6
        axes = tuple(n for n in range(3) if grey.shape[n] > 1)
        self.steep = skimage.filters.sobel(grey, axis=axes) if axes else np.zeros_like(grey)

    def drawn(
        self,
        base: BoolArray,
        meant: npt.NDArray[np.int_],
        areas: npt.NDArray[np.int_],
        apart: npt.NDArray[np.int_],
        boxes: Sequence[npt.NDArray[np.int_]],
    ) -> BoolArray:
        """The new mask of this part."""
        found = base.copy()
        for box in boxes:
            found |= self._of_box(box - self.start)
        inside, outlined = self._at(meant), self._at(areas)
        if inside.any():
            found |= self._alike(inside) | inside
        found |= self._through(outlined)
        if len(apart):
            found &= ~self._taken(found, inside | outlined, self._at(apart))
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
        found: BoolArray = skimage.segmentation.watershed(self.steep, seeds) == 1
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
        flooded = skimage.segmentation.watershed(self.steep, seeds, mask=found | apart)
        taken: BoolArray = (flooded == 2) | apart
        return taken
