"""Which lesion became which, and what RECIST 1.1 calls the change.

Lesions are connected parts of the masks. An earlier one is carried into the later scan; it is matched
to the later one it falls into, or to the nearest within a tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import scipy

from ..region import Region, connected
from ..volume import Grid, Mask
from .diameters import diameters
from .measures import volume_ml

if TYPE_CHECKING:  # loads SimpleITK, slowly
    from .registration import Alignment

Category = Literal[
    "complete response",
    "partial response",
    "stable disease",
    "progressive disease",
    "not evaluable",
    "cannot be compared",
]
State = Literal["matched", "new", "gone", "merged", "not in view", "not compared"]
MEASURABLE_MM = 10.0  # longest diameter in CT slices of at most 5 mm; Eisenhauer et al. 2009, section 3.1
MOST_TARGETS = 5  # section 4.2
NEAR_MM = 15.0  # beside a lesion's own radius: breathing and the search leave some millimetres; our choice
LEAST_VOXELS = 3  # smaller parts are noise
SPECK_MM = 5.0  # shorter ones are too small to measure; section 4.3.2


@dataclass(frozen=True)
class Lesion:
    """One connected part.

    Attributes:
        mask: number of the mask it came from.
        part: number within that mask, largest first, from 1.
        at_edge: it reaches the scan's edge, so its sizes are lower bounds.
    """

    mask: int
    part: int
    region: Region
    longest_mm: float
    perpendicular_mm: float
    volume_ml: float
    centre_mm: tuple[float, float, float]
    at_edge: bool = False


@dataclass(frozen=True)
class Change:
    """An earlier lesion, a later one, or both.

    Attributes:
        state: "matched", "new", "gone", or "merged" when it fell into a later lesion that another one matches better;
            "not in view" when the other scan does not show its place, so that it is neither new nor gone; "not compared"
            when the scans could not be laid over each other.
        distance_mm: between the carried earlier centre and the later one.
    """

    earlier: Lesion | None
    later: Lesion | None
    state: State
    distance_mm: float | None


@dataclass(frozen=True)
class Response:
    """RECIST 1.1 from two studies; the earlier one stands for baseline and nadir.

    Attributes:
        sum_before_mm, sum_after_mm: of the longest diameters of the targets; nothing after where scans cannot be compared.
        targets: how many earlier lesions were measured, the five longest of at least 10 mm.
    """

    category: Category
    sum_before_mm: float
    sum_after_mm: float | None
    change_percent: float | None
    targets: int
    reason: str


@dataclass(frozen=True)
class Parts:
    """The connected parts of masks.

    Attributes:
        noise: how many were left out unmeasured, of fewer than `LEAST_VOXELS` voxels.
    """

    lesions: list[Lesion]
    noise: int


@dataclass(frozen=True)
class Followed:
    """Every lesion once, and how many parts of each scan were too small to be one."""

    changes: list[Change]
    specks_before: int
    specks_after: int


def parts_of(masks: Sequence[Mask | Region]) -> Parts:
    """Connected parts of at least `LEAST_VOXELS` voxels with their sizes, and how many smaller ones there were.

    Masks without voxel size have none.
    """
    found, noise = [], 0
    for number, mask in enumerate(masks):
        whole = Region.of(mask)
        for part, region in enumerate(connected(whole) if whole.grid.spacing_known else [], start=1):
            if region.voxels < LEAST_VOXELS:
                noise += 1
                continue
            found.append(_lesion(number, part, region))
    return Parts(found, noise)


def _lesion(number: int, part: int, region: Region) -> Lesion:
    lengths, volume = diameters(region), volume_ml(region)
    assert lengths is not None
    assert volume is not None
    x, y, z = (float(v) for v in (region.grid.affine @ [*region.centre_index, 1])[:3])
    longest, across = lengths.longest_axial_mm, lengths.perpendicular_mm
    return Lesion(number, part, region, longest, across, volume, (x, y, z), region.touches_edge)


def follow(earlier: Parts, later: Parts, alignment: Alignment) -> Followed:
    """Every lesion once: matched, new, gone or merged; parts below `SPECK_MM` are left out.

    But a lesion that shrank to a speck where it was is not gone, and one that grew from a speck is not new.
    """
    clear_before, small_before = _by_size(earlier.lesions)
    clear_after, small_after = _by_size(later.lesions)
    found = changes(clear_before, clear_after, alignment)
    gone = [c.earlier for c in found if c.state == "gone" and c.earlier]
    new = [c.later for c in found if c.state == "new" and c.later]
    kept = [c for c in changes(gone, small_after, alignment) if _in_place(c)]
    kept += [c for c in changes(small_before, new, alignment) if _in_place(c)]
    told = {id(lesion) for c in kept for lesion in (c.earlier, c.later)}
    found = [c for c in found if c.state not in ("gone", "new") or id(c.earlier or c.later) not in told]
    left = [sum(id(lesion) not in told for lesion in small) for small in (small_before, small_after)]
    return Followed([*found, *kept], left[0] + earlier.noise, left[1] + later.noise)


def _by_size(lesions: Sequence[Lesion]) -> tuple[list[Lesion], list[Lesion]]:
    clear = [lesion for lesion in lesions if lesion.longest_mm >= SPECK_MM]
    return clear, [lesion for lesion in lesions if lesion.longest_mm < SPECK_MM]


def _in_place(change: Change) -> bool:
    """Whether a match lies within the larger of the two, rather than somewhere near."""
    if change.state != "matched" or not change.earlier or not change.later or change.distance_mm is None:
        return False
    return change.distance_mm <= max(change.earlier.longest_mm, change.later.longest_mm) / 2


def not_compared(earlier: Parts, later: Parts) -> Followed:
    """Every lesion for itself, where scans could not be laid over each other."""
    (before, small_before), (after, small_after) = _by_size(earlier.lesions), _by_size(later.lesions)
    found = [Change(lesion, None, "not compared", None) for lesion in before]
    found += [Change(None, lesion, "not compared", None) for lesion in after]
    return Followed(found, len(small_before) + earlier.noise, len(small_after) + later.noise)


def changes(earlier: Sequence[Lesion], later: Sequence[Lesion], alignment: Alignment) -> list[Change]:
    """Every lesion once: matched, new, gone or merged."""
    carried = [alignment.carry(_points_of(lesion.region)) for lesion in earlier]
    costs, hits = np.full((len(earlier), len(later)), np.inf), np.zeros((len(earlier), len(later)))
    for i, points in enumerate(carried):
        centre = points.mean(axis=0)
        for j, lesion in enumerate(later):
            distance = float(np.linalg.norm(centre - lesion.centre_mm))
            hits[i, j] = _share_inside(points, lesion.region)
            reach = NEAR_MM + max(lesion.longest_mm, earlier[i].longest_mm) / 2
            if hits[i, j] > 0 or distance <= reach:
                costs[i, j] = distance - 1000 * hits[i, j]  # falling into it outweighs any distance
    return _matched(earlier, later, costs, hits, carried)


def mark_unseen(found: Sequence[Change], alignment: Alignment, earlier: Grid, later: Grid) -> list[Change]:
    """The changes, those lesions "not in view" that are new or gone where the other scan's field of view ends."""
    return [replace(c, state="not in view") if _is_unseen(c, alignment, earlier, later) else c for c in found]


def _is_unseen(change: Change, alignment: Alignment, earlier: Grid, later: Grid) -> bool:
    from .registration import share_within  # loads SimpleITK, slowly

    if change.state == "gone" and change.earlier:
        return share_within(alignment.carry(_points_of(change.earlier.region)), later) < 0.5
    if change.state == "new" and change.later:
        return share_within(alignment.carry_back(_points_of(change.later.region)), earlier) < 0.5
    return False


def _share_inside(points: npt.NDArray[np.float64], region: Region) -> float:
    index = np.round((points - region.grid.affine[:3, 3]) @ np.linalg.inv(region.axes_mm).T).astype(int) - region.start
    fits = ((index >= 0) & (index < region.array.shape)).all(axis=1)
    return float(region.array[tuple(index[fits].T)].sum()) / len(points) if fits.any() else 0.0


def _matched(
    earlier: Sequence[Lesion],
    later: Sequence[Lesion],
    costs: npt.NDArray[np.float64],
    hits: npt.NDArray[np.float64],
    carried: Sequence[npt.NDArray[np.float64]],
) -> list[Change]:
    finite = np.where(np.isfinite(costs), costs, 1e9)
    pairs = {
        int(i): int(j)
        for i, j in zip(*scipy.optimize.linear_sum_assignment(finite), strict=True)
        if np.isfinite(costs[i, j])
    }
    made = []
    for i, lesion in enumerate(earlier):
        if i in pairs:
            target = later[pairs[i]]
            distance = float(np.linalg.norm(carried[i].mean(axis=0) - target.centre_mm))
            made.append(Change(lesion, target, "matched", distance))
        elif len(later) and hits[i].max() > 0.5:
            made.append(Change(lesion, later[int(hits[i].argmax())], "merged", None))
        else:
            made.append(Change(lesion, None, "gone", None))
    taken = set(pairs.values())
    made += [Change(None, lesion, "new", None) for j, lesion in enumerate(later) if j not in taken]
    return made


def response(found: Sequence[Change], *, hindered: str = "") -> Response:
    """RECIST 1.1 category, or "cannot be compared".

    Args:
        hindered: why the scans as a whole cannot be compared, one sentence; "" when they can.

    Source: Eisenhauer et al., Eur J Cancer 2009, section 4.3: complete: all gone; partial: sum at least
    30 % less; progressive: sum at least 20 % and 5 mm more, or a new lesion; else stable.
    """
    known = [change for change in found if change.earlier is not None]
    targets = sorted(
        (change for change in known if change.earlier is not None and change.earlier.longest_mm >= MEASURABLE_MM),
        key=lambda change: -(change.earlier.longest_mm if change.earlier else 0),
    )[:MOST_TARGETS]
    fresh = [change for change in found if change.state == "new"]
    before = sum(change.earlier.longest_mm for change in targets if change.earlier)
    after = sum(change.later.longest_mm for change in targets if change.later and change.state == "matched")
    share = 100 * (after - before) / before if before else None

    def judge(category: Category, reason: str) -> Response:
        return Response(category, before, after, share, len(targets), reason)

    unseen = sum(change.state == "not in view" for change in found)
    if hindered or unseen:
        what = f"{unseen} lesion{'s lie' if unseen > 1 else ' lies'}"
        reason = hindered or f"{what} where the other scan does not show the body."
        return Response("cannot be compared", before, None, None, len(targets), reason)
    if any(change.state == "merged" for change in targets):
        return judge("not evaluable", "Targets have merged into one lesion; measure it by hand.")
    if fresh:
        return judge("progressive disease", f"{len(fresh)} new lesion{'s' if len(fresh) > 1 else ''}.")
    if known and all(change.state == "gone" for change in known):
        return judge("complete response", "Every earlier lesion is gone.")
    if share is None:
        return judge("not evaluable", f"No earlier lesion reaches {MEASURABLE_MM:g} mm.")
    if share >= 20 and after - before >= 5:
        return judge("progressive disease", f"The sum grew by {share:.0f} % and {after - before:.1f} mm.")
    if share <= -30:
        return judge("partial response", f"The sum shrank by {-share:.0f} %.")
    return judge("stable disease", f"The sum changed by {share:+.0f} %.")


def _points_of(region: Region, *, most: int = 400) -> npt.NDArray[np.float64]:
    """Voxel centres of a region in mm, thinned evenly to at most some."""
    index = np.argwhere(region.array)
    index = index[:: -(-len(index) // most)] + region.start
    points: npt.NDArray[np.float64] = index @ region.axes_mm.T + region.grid.affine[:3, 3]
    return points
