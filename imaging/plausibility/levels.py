"""Which stretch of the body a scan shows, told from the structures found in it.

Every structure has a profile along the body's long axis: its cross-section per centimetre of height, kept for
reference bodies in `heights.tsv`. The stretch whose profiles look most like the ones found is where the scan was
made. A mask far from the heights its structure has in every reference body there is not that structure; a structure
whose heights lie outside the scan cannot be found in it.

Source: our own; the idea that a slice's place in the body can be told and used against wrong labels is that of
body part regression (Yan et al. 2018, arXiv 1707.03891; Schuhegger 2021, arXiv 2110.09148).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy

from ..region import Region

BIN_MM = 10.0
SCALES = (0.85, 1.0, 1.15)  # short to tall; a tenth off the mean is two standard deviations of adult height
BLUR_MM = 15.0  # organs lie a vertebra higher or lower from body to body
TEMPERATURE = 0.04  # of the mismatch, 0 to 1; sets how many stretches are kept in mind
ROOM_MM = 30.0
EMPTY_ML = 2.0  # less of a structure says nothing
LEAST_EXPLAINED = 0.12  # of the structures found, below which they have no order; set on heads and limbs
LEAST_MM = 30.0  # scans that cover less along the body are not placed
PAIRS = {
    "kidneys": ("left kidney", "right kidney"),
    "hip bones": ("left hip bone", "right hip bone"),
    "femora": ("left femur", "right femur"),
}
Profile = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heights:
    """Profiles of structures in one reference body.

    Attributes:
        low_mm: height of the first bin's lower end, S+ in the body's own frame.
        profiles: structure -> volume in ml of each bin of `BIN_MM`.
    """

    low_mm: float
    profiles: Mapping[str, Profile]

    @classmethod
    @cache
    def bundled(cls) -> tuple[Heights, ...]:
        """The bodies that come with the package."""
        rows: dict[str, dict[str, tuple[float, list[float]]]] = defaultdict(dict)
        with (Path(__file__).parent / "heights.tsv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                values = [float(value) for value in row["ml_per_bin"].split()]
                rows[row["body"]][row["structure"]] = (float(row["low_mm"]), values)
        return tuple(_aligned(body) for body in rows.values())


def _aligned(body: Mapping[str, tuple[float, list[float]]]) -> Heights:
    low = min(start for start, _values in body.values())
    high = max(start + BIN_MM * len(values) for start, values in body.values())
    count = round((high - low) / BIN_MM)
    profiles = {}
    for name, (start, values) in body.items():
        line = np.zeros(count)
        first = round((start - low) / BIN_MM)
        line[first : first + len(values)] = values
        profiles[name] = line
    for pair, halves in PAIRS.items():
        if all(half in profiles for half in halves):
            profiles[pair] = np.sum([profiles[half] for half in halves], axis=0)
    return Heights(low, profiles)


@dataclass(frozen=True)
class Placed:
    """Where in the body a scan seems to lie: stretches of reference bodies, each with a weight.

    Attributes:
        explained: how many of the structures found lie as in a body at the best stretch, counted in parts.
        found: how many were found at all.
        in_view: structure -> share of it that the scan should show.
        allowed: structure -> 0 to 1 per bin of the scan: may it be there? With some room on either side.
        low_mm: height of the scan's lower end.
    """

    explained: float
    found: int
    in_view: Mapping[str, float]
    allowed: Mapping[str, Profile]
    low_mm: float

    @property
    def has_order(self) -> bool:
        """False when what was found lies as in no stretch of a body: another region, or no such scan at all."""
        return self.found > 0 and self.explained >= LEAST_EXPLAINED * self.found

    def at_right_height(self, structure: str, region: Region) -> float | None:
        """Share of a mask at heights where the structure may be; None for structures of no known height."""
        if structure not in self.allowed or not region.voxels:
            return None
        profile = _profile(region, self.low_mm, len(self.allowed[structure]))
        return float((profile * np.minimum(1.0, self.allowed[structure])).sum() / profile.sum())


def place_scan(found: Iterable[tuple[str, Region]], bodies: Iterable[Heights] | None = None) -> Placed | None:
    """Place a scan by structures that were looked for; empty regions are evidence, too.

    Args:
        found: (structure, region) of one scan; a structure may come several times, from several models. Pairs are
            better than their halves: a scan of one side of the body fools networks that split it in the middle.

    Returns:
        None when the scan's voxel size is unknown, it covers less than 30 mm along the body, or no structure has a
        known height.
    """
    bodies = tuple(Heights.bundled() if bodies is None else bodies)
    known = {name for body in bodies for name in body.profiles}
    rows = [(name, region) for name, region in found if name in known]
    if not rows or not rows[0][1].grid.spacing_known:
        return None
    low, count = _extent(rows[0][1])
    if count * BIN_MM < LEAST_MM:
        return None
    seen = np.array([_profile(region, low, count) for _name, region in rows])
    names = [name for name, _region in rows]
    stretches = [_Stretches.of(body, scale, count) for body in bodies for scale in SCALES]
    mismatch = np.concatenate([one.mismatch(names, seen) for one in stretches])
    best = float(mismatch.min())
    weight = np.exp((best - mismatch) / TEMPERATURE)
    weight /= weight.sum()
    parts = np.split(weight, np.cumsum([one.count for one in stretches])[:-1])
    everywhere = sorted(set.intersection(*(set(body.profiles) for body in bodies)))
    nothing = int((seen.sum(axis=1) >= EMPTY_ML).sum())
    return Placed(
        explained=nothing - best * len(names),
        found=nothing,
        in_view={name: sum(float(w @ one.share(name)) for w, one in zip(parts, stretches, strict=True)) for name in everywhere},
        allowed={name: np.sum([w @ one.room(name) for w, one in zip(parts, stretches, strict=True)], axis=0) for name in everywhere},
        low_mm=low,
    )  # fmt: skip


def _extent(region: Region) -> tuple[float, int]:
    """Height of the scan's lower end and its number of bins."""
    axis = region.axial_axis
    ends = sorted(_height(region, axis, index) for index in (-0.5, region.grid.shape[axis] - 0.5))
    return ends[0], max(1, round((ends[1] - ends[0]) / BIN_MM))


def _height(region: Region, axis: int, index: float) -> float:
    point = (np.array(region.grid.shape) - 1) / 2
    point[axis] = index
    return float(region.grid.affine[2, :3] @ point + region.grid.affine[2, 3])


def _profile(region: Region, low_mm: float, count: int) -> Profile:
    """Volume in ml per bin of the scan."""
    line = np.zeros(count)
    if region.box is None:
        return line
    axis = region.axial_axis
    for n, voxels in enumerate(region.lines[axis]):
        place = int((_height(region, axis, region.start[axis] + n) - low_mm) // BIN_MM)
        line[min(max(place, 0), count - 1)] += float(voxels) * region.grid.voxel_ml
    return line


@dataclass(frozen=True)
class _Stretches:
    """Every stretch of `bins` bins of one reference body at one height of the body.

    Attributes:
        padded: structure -> its profile with empty bins on both sides, so that stretches may stick out.
    """

    padded: Mapping[str, Profile]
    bins: int
    count: int

    @classmethod
    def of(cls, body: Heights, scale: float, bins: int) -> _Stretches:
        padded = {name: np.pad(_stretched(line, scale), bins - 1) for name, line in body.profiles.items()}
        return cls(padded, bins, len(next(iter(padded.values()))) - bins + 1)

    def mismatch(self, names: list[str], seen: Profile) -> Profile:
        """Per stretch, the mean over structures of |expected - found| / (expected + found); 0 where both are empty."""
        smooth = scipy.ndimage.gaussian_filter1d(seen, BLUR_MM / BIN_MM, axis=1, mode="nearest")
        total = np.zeros(self.count)
        for name, mine in zip(names, smooth, strict=True):
            if name not in self.padded:
                continue
            theirs = self._windows(
                scipy.ndimage.gaussian_filter1d(self.padded[name], BLUR_MM / BIN_MM, mode="constant")
            )
            both = theirs.sum(axis=1) + mine.sum()
            total += np.where(both < EMPTY_ML, 0, np.abs(theirs - mine).sum(axis=1) / np.maximum(both, 1e-9))
        return total / len(names)

    def share(self, name: str) -> Profile:
        """Per stretch, the share of the structure inside it."""
        line = self.padded[name]
        found: Profile = self._windows(line).sum(axis=1) / max(float(line.sum()), 1e-9)
        return found

    def room(self, name: str) -> Profile:
        """(stretch bin) 1 where the structure may be: its own bins and `ROOM_MM` on either side."""
        wide = scipy.ndimage.maximum_filter1d(self.padded[name], 2 * round(ROOM_MM / BIN_MM) + 1) > 0
        return self._windows(wide.astype(np.float64))

    def _windows(self, line: Profile) -> Profile:
        return np.lib.stride_tricks.sliding_window_view(line, self.bins)


def _stretched(profile: Profile, scale: float) -> Profile:
    """The profile of a body `scale` times as tall; widths and depths grow alike, so areas by the square."""
    count = max(1, round(len(profile) * scale))
    places = (np.arange(count) + 0.5) / scale - 0.5
    line: Profile = np.interp(places, np.arange(len(profile)), profile) * scale**2
    return line
