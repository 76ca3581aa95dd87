"""Run a tile-invariant network over a scan in as few voxels as possible.

Only the body is looked at, in tiles cut to fit it (PERF.md §2: 1.24 times the crop instead of
2.7 times the volume). Neighbouring tiles share a halo that is thrown away; nothing is blended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cc3d
import fill_voids
import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box
from ..interface import Cancelled, Progress

MAX_TILE_VOXELS = (
    6_500_000  # a trunk at 2 mm in one piece: four tiles of it would compute half as much again at their borders
)
HALO = 24  # voxels thrown away at inner tile borders
_STRIDE = 4  # the body is looked for on every fourth voxel
BODY = 0.08  # share of the intensity range above the background that counts as body
_MOST = 60_000.0  # half precision ends at 65,504
_CUT = 1 / 3  # share of an edge that is body; a body that only touches the edge covers less
_PART = 0.02  # parts smaller than this share of the largest are dust

Float = npt.NDArray[np.float32]
_Numbers = TypeVar("_Numbers", Float, npt.NDArray[np.float16])


def body_box(array: Float, *, margin: int = 6) -> Box:
    """The box around everything brighter than the background; the whole array when nothing is.

    Source: PERF.md §2, strided threshold + connected components + hole filling.
    """
    small = array[::_STRIDE, ::_STRIDE, ::_STRIDE]
    low, high = float(small.min()), float(np.percentile(small, 99.5))
    bright = np.ascontiguousarray(small > low + BODY * (high - low))
    whole = Box((0, 0, 0), (array.shape[0], array.shape[1], array.shape[2]))
    if not bright.any():
        return whole
    parts, count = cc3d.connected_components(bright, return_N=True)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    body = fill_voids.fill(sizes[parts] >= max(1.0, _PART * sizes.max()))
    found = Box.of(body)
    if found is None:
        return whole
    start = [max(0, a * _STRIDE - margin) for a in found.start]
    stop = [min(n, b * _STRIDE + margin) for n, b in zip(array.shape, found.stop, strict=True)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def cut_edges(array: Float) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """Whether a stack of slices (x y z) cuts through the body at the low and the high end of x and of y.

    That is where a third of the edge or more is brighter than the background.
    """
    low, high = float(array.min()), float(np.percentile(array[::_STRIDE, ::_STRIDE], 99.5))
    found = [(array.take(end, axis) > low + BODY * (high - low)).mean() >= _CUT for axis in (0, 1) for end in (0, -1)]
    return (found[0], found[1]), (found[2], found[3])


def mirrored_at_cuts(array: Float, pixels: int) -> tuple[Float, tuple[slice, slice]]:
    """A stack (x y z) continued, mirrored, by so many pixels where it cuts through the body; and where it lies in that."""
    if not pixels:
        return array, (slice(None), slice(None))
    grow = [
        tuple(min(pixels, n - 1) * cut for cut in edge) for n, edge in zip(array.shape, cut_edges(array), strict=False)
    ]
    kept = tuple(slice(before, before + n) for n, (before, _after) in zip(array.shape, grow, strict=False))
    if not any(map(any, grow)):
        return array, (kept[0], kept[1])
    return np.pad(array, [*grow, (0, 0)], mode="reflect"), (kept[0], kept[1])


@dataclass(frozen=True)
class Tile:
    """What the network sees (`outer`) and which part of its answer is kept (`inner`)."""

    outer: Box
    inner: Box


def fitted_tiles(shape: tuple[int, int, int], *, limit: int = MAX_TILE_VOXELS, halo: int = HALO) -> list[Tile]:
    """As few tiles as possible, each with at most `limit` voxels, cut along the longest sides."""
    parts = [1, 1, 1]
    while np.prod([_outer_length(n, p, halo) for n, p in zip(shape, parts, strict=True)]) > limit:
        lengths = [n / p for n, p in zip(shape, parts, strict=True)]
        axis = int(np.argmax(lengths))
        if lengths[axis] <= 2 * halo:
            break
        parts[axis] += 1
    cuts = [[round(i * n / p) for i in range(p + 1)] for n, p in zip(shape, parts, strict=True)]
    tiles = []
    for x0, x1 in zip(cuts[0], cuts[0][1:], strict=False):
        for y0, y1 in zip(cuts[1], cuts[1][1:], strict=False):
            for z0, z1 in zip(cuts[2], cuts[2][1:], strict=False):
                inner = Box((x0, y0, z0), (x1, y1, z1))
                start = tuple(max(0, a - halo) for a in inner.start)
                stop = tuple(min(n, b + halo) for n, b in zip(shape, inner.stop, strict=True))
                tiles.append(Tile(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])), inner))
    return tiles


def _outer_length(length: int, parts: int, halo: int) -> int:
    if parts == 1:
        return length
    return -(-length // parts) + (halo if parts == 2 else 2 * halo)


def run_tiles(
    array: Float,
    network: Callable[[Float], Float],
    *,
    channels: int,
    stride: int,
    progress: Progress,
    cancelled: Callable[[], bool],
    limit: int = MAX_TILE_VOXELS,
    halo: int = HALO,
    views: Sequence[str] = (),
) -> npt.NDArray[np.float16]:
    """The network's features of a whole array.

    Args:
        array: (x y z).
        network: (1 1 x y z) to (1 channels x y z); sides are multiples of `stride`.
        views: the features are the mean of those found as it is and under each of these (`turned`); as masks are dot
            products of features, that averages the logits.

    Returns:
        (channels x y z) half precision.

    Raises:
        Cancelled: `cancelled` answered True between two tiles.
    """
    shape = (array.shape[0], array.shape[1], array.shape[2])
    features = np.empty((channels, *shape), dtype=np.float16)
    tiles = fitted_tiles(shape, limit=limit, halo=halo)
    for number, tile in enumerate(tiles):
        if cancelled():
            raise Cancelled

        def look(view: str, tile: Tile = tile) -> Float:
            one = turned(array[tile.outer.slices], view)
            answer = network(padded(one, stride)[None, None])[0]
            return turned_back(answer[:, : one.shape[0], : one.shape[1], : one.shape[2]], view)

        answer = mean_of_views(look, views)
        kept = tuple(
            slice(a - o, b - o) for a, b, o in zip(tile.inner.start, tile.inner.stop, tile.outer.start, strict=True)
        )
        features[(slice(None), *tile.inner.slices)] = _halved(answer[(slice(None), *kept)])
        progress((number + 1) / len(tiles))
    return features


def run_slices(
    array: Float,
    network: Callable[[Float], Float],
    *,
    channels: int,
    stride: int,
    progress: Progress,
    cancelled: Callable[[], bool],
    batch: int = 4,
    neighbours: int = 0,
    views: Sequence[str] = (),
) -> npt.NDArray[np.float16]:
    """As `run_tiles`, slice by slice along z; `network` takes (b 1+2*neighbours x y), see `beside`."""
    features = np.empty((channels, *array.shape), dtype=np.float16)
    for first in range(0, array.shape[2], batch):
        if cancelled():
            raise Cancelled
        asked = range(first, min(first + batch, array.shape[2]))

        def look(view: str, asked: range = asked) -> Float:
            stack = turned(array, view)
            seen = np.stack([np.stack([padded(one, stride) for one in beside(stack, z, neighbours)]) for z in asked])
            answer = network(seen)[:, :, : stack.shape[0], : stack.shape[1]]
            return turned_back(answer.transpose(1, 2, 3, 0), view)

        features[:, :, :, first : first + batch] = _halved(mean_of_views(look, views))
        progress(min(1.0, (first + batch) / array.shape[2]))
    return features


def mean_of_views(look: Callable[[str], Float], views: Sequence[str]) -> Float:
    """What is seen as it is, or the mean of that and of what is seen under each view."""
    total = look("")
    for view in views:
        total = total + look(view)
    return total * np.float32(1 / (1 + len(views))) if views else total


def beside(array: _Numbers, z: int, neighbours: int) -> _Numbers:
    """Slice `z` of a stack (x y z) in the middle of its neighbours, (1+2*neighbours x y); the ends of a stack repeat."""
    places = np.clip(np.arange(z - neighbours, z + neighbours + 1), 0, array.shape[2] - 1)
    return array[:, :, places].transpose(2, 0, 1)


def _halved(features: Float) -> npt.NDArray[np.float16]:
    """In half precision; what a strange picture drives beyond its range stays at the end of it."""
    return np.clip(features, -_MOST, _MOST).astype(np.float16)


def turned(array: _Numbers, view: str) -> _Numbers:
    """Numbers (... x y z) under a view: "t" swaps x and y, then "x" and "y" mirror along them; "txy" does all three."""
    moved = array.swapaxes(-2, -3) if "t" in view else array
    return moved[..., :: -1 if "x" in view else 1, :: -1 if "y" in view else 1, :]


def turned_back(array: _Numbers, view: str) -> _Numbers:
    """The inverse of `turned`."""
    moved = array[..., :: -1 if "x" in view else 1, :: -1 if "y" in view else 1, :]
    return moved.swapaxes(-2, -3) if "t" in view else moved


def padded(array: Float, stride: int) -> Float:
    """The array with its far sides filled up, by its edge values, to multiples of `stride` (at least two)."""
    extra = [max(-n % stride, 2 * stride - n) for n in array.shape]
    return np.pad(array, [(0, more) for more in extra], mode="edge")
