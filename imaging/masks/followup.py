"""Which lesion became which, and what RECIST 1.1 calls the change.

Lesions are connected parts of the masks. An earlier one is carried into the later scan; it is matched
to the later one it falls into, or to the nearest within a tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cc3d
import numpy as np
import numpy.typing as npt
import scipy

from ..region import Region
from ..volume import Mask
from .diameters import diameters
from .measures import volume_ml

if TYPE_CHECKING:  # loads SimpleITK, slowly
    from .registration import Alignment

Category = Literal["complete response", "partial response", "stable disease", "progressive disease", "not evaluable"]
MEASURABLE_MM = 10.0  # longest diameter in CT slices of at most 5 mm; Eisenhauer et al. 2009, section 3.1
MOST_TARGETS = 5  # section 4.2
NEAR_MM = 15.0  # beside a lesion's own radius: breathing and the search leave some millimetres; our choice
LEAST_VOXELS = 3  # smaller specks are noise


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
        state: "matched", "new", "gone", or "merged" when it fell into a later lesion that another one matches better.
        distance_mm: between the carried earlier centre and the later one.
    """

    earlier: Lesion | None
    later: Lesion | None
    state: Literal["matched", "new", "gone", "merged"]
    distance_mm: float | None


@dataclass(frozen=True)
class Response:
    """RECIST 1.1 from two studies; the earlier one stands for baseline and nadir.

    Attributes:
        sum_before_mm, sum_after_mm: of the longest diameters of the targets.
        targets: how many earlier lesions were measured, the five longest of at least 10 mm.
    """

    category: Category
    sum_before_mm: float
    sum_after_mm: float
    change_percent: float | None
    targets: int
    reason: str


def lesions_of(masks: Sequence[Mask | Region]) -> list[Lesion]:
    """Connected parts with their sizes; masks without voxel size have none."""
    found = []
    for number, mask in enumerate(masks):
        whole = Region.of(mask)
        if whole.box is None or not whole.grid.spacing_known:
            continue
        labels, count = cc3d.connected_components(whole.array, return_N=True)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        for part, label in enumerate(np.argsort(-sizes, kind="stable") + 1, start=1):
            if sizes[label - 1] >= LEAST_VOXELS:
                found.append(_lesion(number, part, whole, labels == label))
    return found


def _lesion(number: int, part: int, whole: Region, array: npt.NDArray[np.bool_]) -> Lesion:
    cut = Region.of(Mask(array, whole.grid_of_box))
    lengths, volume = diameters(cut), volume_ml(cut)
    assert lengths is not None
    assert volume is not None
    x, y, z = (float(v) for v in (cut.grid.affine @ [*cut.centre_index, 1])[:3])
    return Lesion(
        number, part, cut, lengths.longest_axial_mm, lengths.perpendicular_mm, volume, (x, y, z), _at_edge(whole, cut)
    )


def _at_edge(whole: Region, cut: Region) -> bool:
    """Whether the part, whose grid is the mask's box, reaches an end of the scan."""
    assert cut.box is not None
    ends = zip(whole.start, cut.box.start, cut.box.stop, whole.grid.shape, strict=True)
    return any(length > 1 and (at + low == 0 or at + high == length) for at, low, high, length in ends)


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


def response(found: Sequence[Change]) -> Response:
    """RECIST 1.1 category.

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
