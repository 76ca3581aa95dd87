"""Pictures and labels kept in memory, as bytes, for training on slices: a share of every scan's along each axis."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .sets import SETS, Labelled, is_kept_out

log = logging.getLogger(__name__)
SIDE = 192  # pixels of the longer side that are kept; ours
LEAST = 20  # pixels of labels that make a slice worth keeping
WINDOWS_HU = ((-160.0, 240.0), (-1000.0, 1000.0), (-100.0, 120.0), (-1350.0, 150.0), (-500.0, 1500.0))  # customary ones
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Page:
    """A picture in grey values from 0 to 255 and its labels, both (rows columns); without a picture it is painted."""

    image: npt.NDArray[np.uint8] | None
    labels: npt.NDArray[np.uint8]
    exact: bool


def pages(name: str, data: Path, most: int) -> list[Page]:
    """At most so many pages of a set's patients that are not kept out, drawn once; the same for the same arguments."""
    rng = np.random.default_rng(seed_of(name))
    scans = [one for one in SETS[name].all(data) if not is_kept_out(one.patient)]
    found = [page for one in scans for page in _pages_of(one, max(1, -(-most // len(scans))), rng)]
    found = [page for page in found if np.count_nonzero(page.labels) >= LEAST]
    order = rng.permutation(len(found))[:most]
    log.info("%s: %d pages", name, len(order))
    return [found[i] for i in order]


def seed_of(name: str) -> int:
    """A seed of a name."""
    return int.from_bytes(name.encode()[:8], "little")


def _pages_of(scan: Labelled, most: int, rng: np.random.Generator) -> Iterator[Page]:
    if scan.labels.ndim == 2:
        yield page_of(scan.image, scan.labels, exact=scan.exact)
        return
    places = [
        (axis, number)
        for axis in range(3)
        if min(np.delete(scan.labels.shape, axis)) >= 24
        for number in np.flatnonzero((scan.labels > 0).sum(axis=tuple(np.delete(range(3), axis))) >= LEAST)
    ]
    for index in rng.permutation(len(places))[:most]:
        axis, number = places[index]
        image = None if scan.image is None else scan.image.take(number, axis)
        if image is not None and scan.holds_ct:
            image = np.clip(image, *WINDOWS_HU[int(rng.integers(len(WINDOWS_HU)))])
        yield page_of(image, scan.labels.take(number, axis), exact=scan.exact)


def page_of(image: Array | None, labels: Array, *, exact: bool = False, side: int = SIDE) -> Page:
    """A page of at most `side` pixels: values stretched to bytes between their 0.5 and 99.5 percentiles, labels numbered anew from 1."""
    values, numbered = np.unique(labels, return_inverse=True)
    numbered = numbered.reshape(labels.shape)
    if values[0] != 0:
        numbered = numbered + 1
    keep = [
        np.linspace(0, length - 1, max(1, round(length * share))).round().astype(int)
        for length, share in _sides(labels, side)
    ]
    small = np.ascontiguousarray(np.minimum(numbered[np.ix_(*keep)], 255), dtype=np.uint8)
    if image is None:
        return Page(None, small, exact)
    return Page(np.ascontiguousarray(_shrunk(page_values(image), keep) * 255, dtype=np.uint8), small, exact)


def page_values(image: Array) -> npt.NDArray[np.float32]:
    """Values between their 0.5 and 99.5 percentiles, as from 0 to 1."""
    low, high = np.percentile(image, (0.5, 99.5))
    return np.asarray(np.clip((image.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1))


def _sides(labels: Array, most: int) -> Sequence[tuple[int, float]]:
    share = min(1.0, most / max(labels.shape))
    return [(side, share) for side in labels.shape]


def _shrunk(grey: npt.NDArray[np.float32], keep: Sequence[npt.NDArray[np.int_]]) -> Array:
    """Smoothed before pixels are left out."""
    step = [side / len(kept) for side, kept in zip(grey.shape, keep, strict=True)]
    if max(step) > 1:
        grey = ndimage.gaussian_filter(grey, [0.4 * (one - 1) for one in step])
    return np.asarray(grey[np.ix_(*keep)])
