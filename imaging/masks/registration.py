"""Lay one scan of a patient over another: rigid first, then, within one modality, deformable.

Used to find which lesion is which. Sizes are never measured on a warped scan: a deformable step
would pull a grown lesion back to its old size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import BadCall, Failed
from ..volume import Grid, Volume

WORK_MM = 4.0  # both scans are sampled at this spacing for the search; lesions are matched, not measured
_LPS = np.diag([-1.0, -1.0, 1.0])  # ITK's patient space from ours
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """Where points of one scan lie in the other.

    Attributes:
        similarity_before, similarity_after: correlation of grey values where both scans show the body,
            -1 to 1, with the scans as they are and laid over each other.
        moved_mm: median length of the displacement within the body.
        method: what was done, in words.
        back: the rigid part the other way, later to earlier.
        shown_later, shown_earlier: share of the earlier body that the later scan's field of view holds, and of
            the later body in the earlier one's.
    """

    similarity_before: float
    similarity_after: float
    moved_mm: float
    method: str
    transform: Any
    back: Any = None
    shown_later: float = 1.0
    shown_earlier: float = 1.0

    def carry(self, points_mm: Points) -> Points:
        """Points (n 3) of the earlier scan, RAS+ mm, as points of the later one."""
        return _carried(self.transform, points_mm)

    def carry_back(self, points_mm: Points) -> Points:
        """Points (n 3) of the later scan as points of the earlier one, by the rigid part alone."""
        return _carried(self.back, points_mm)


def _carried(transform: Any, points_mm: Points) -> Points:
    moved = [transform.TransformPoint(tuple(point)) for point in points_mm @ _LPS]
    found: Points = np.array(moved, dtype=np.float64).reshape(-1, 3) @ _LPS
    return found


def share_within(points_mm: Points, grid: Grid) -> float:
    """Share of points (n 3), RAS+ mm, that lie within a scan's field of view; 1.0 of none."""
    if not len(points_mm):
        return 1.0
    index = (points_mm - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    inside = ((index >= -0.5) & (index <= np.array(grid.shape) - 0.5)).all(axis=1)
    return float(inside.mean())


def align(earlier: Volume, later: Volume, *, deformable: bool = True, seed: int = 1) -> Alignment:
    """The movement of the body from the earlier scan to the later one.

    Args:
        deformable: bend, too; left out between scans of different modalities.

    Raises:
        BadCall: a scan without voxel size, or a single slice.
        Failed: the search did not find an overlap.

    Source: SimpleITK; Mattes mutual information (Mattes 2003), symmetric-forces demons (Vercauteren 2009).
    """
    for volume in (earlier, later):
        if not volume.grid.spacing_known or volume.grid.is_2d:
            raise BadCall("Two scans can be laid over each other only in space: a scan has no voxel size or one slice.")
    fixed, moving = _small(earlier), _small(later)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        rigid = _rigid(fixed, moving, seed)
        method, transform = "rigid (mutual information)", rigid
        if deformable and earlier.modality == later.modality:
            transform = sitk.CompositeTransform([rigid, _bent(fixed, moving, rigid)])
            method = "rigid (mutual information), then symmetric-forces demons"
    except RuntimeError as error:
        raise Failed("The two scans could not be laid over each other; they may not show the same part.") from error
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    body = sitk.GetArrayFromImage(fixed) > _air(earlier)
    before, after = (
        _similarity(fixed, moving, t, body, later) for t in (sitk.Transform(3, sitk.sitkIdentity), transform)
    )
    back = rigid.GetInverse()
    later_body = sitk.GetArrayFromImage(moving) > _air(later)
    return Alignment(
        before,
        after,
        _moved(fixed, transform, body),
        method,
        transform,
        back,
        share_within(_carried(transform, _points(fixed, body)), later.grid),
        share_within(_carried(back, _points(moving, later_body)), earlier.grid),
    )


def to_itk(array: npt.NDArray[Any], grid: Grid) -> Any:
    """The array (x y z) as an ITK image at its place; the grid must not be sheared."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    linear = grid.affine[:3, :3] / np.array(grid.spacing_mm)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(tuple(_LPS @ grid.affine[:3, 3]))
    image.SetDirection(tuple((_LPS @ linear).ravel()))
    return image


def _air(volume: Volume) -> float:
    """What lies outside the body in the scan's own unit."""
    return (
        -300.0 if volume.modality == "ct" else 0.08 * float(np.percentile(np.asarray(volume.array[::3, ::3, ::3]), 99))
    )


def _small(volume: Volume) -> Any:
    """The scan smoothed and sampled for the search."""
    array = np.asarray(volume.array, dtype=np.float32)
    if volume.modality == "ct":
        array = np.clip(array, -1000, 1000)  # metal and padding would rule the search
    image = to_itk(array, volume.grid)
    spacing = [max(WORK_MM, s) for s in image.GetSpacing()]
    size = [max(1, round(n * s / w)) for n, s, w in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)]
    smooth = sitk.SmoothingRecursiveGaussian(image, [max(0.1, w / 2) for w in spacing])
    nothing = sitk.Transform(3, sitk.sitkIdentity)
    return sitk.Resample(
        smooth, size, nothing, sitk.sitkLinear, image.GetOrigin(), spacing, image.GetDirection(), float(array.min())
    )


def _rigid(fixed: Any, moving: Any, seed: int) -> Any:
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    search = sitk.ImageRegistrationMethod()
    search.SetMetricAsMattesMutualInformation(32)
    search.SetMetricSamplingStrategy(search.REGULAR)
    search.SetMetricSamplingPercentage(0.25, seed)
    search.SetInterpolator(sitk.sitkLinear)
    search.SetOptimizerAsRegularStepGradientDescent(4.0, 0.01, 200, relaxationFactor=0.6)
    search.SetOptimizerScalesFromPhysicalShift()
    search.SetShrinkFactorsPerLevel([4, 2, 1])
    search.SetSmoothingSigmasPerLevel([2, 1, 0])
    search.SetInitialTransform(start, inPlace=False)
    found = search.Execute(fixed, moving)
    return sitk.Euler3DTransform(found.GetBackTransform()) if hasattr(found, "GetBackTransform") else found


def _bent(fixed: Any, moving: Any, rigid: Any) -> Any:
    """The bending left after the rigid step, as a displacement of the earlier scan's space."""
    low = float(sitk.GetArrayViewFromImage(moving).min())
    laid = sitk.Resample(moving, fixed, rigid, sitk.sitkLinear, low)
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(40)
    demons.SetStandardDeviations(2.0)
    demons.SetSmoothDisplacementField(True)
    matched = sitk.HistogramMatching(laid, fixed, 128, 7)
    field = demons.Execute(fixed, matched)
    return sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))


def _similarity(fixed: Any, moving: Any, transform: Any, body: npt.NDArray[np.bool_], later: Volume) -> float:
    outside = float(sitk.GetArrayViewFromImage(moving).min()) - 1
    laid = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, outside))
    both = body & (laid > _air(later))
    if both.sum() < 100:
        return 0.0
    one, other = sitk.GetArrayViewFromImage(fixed)[both], laid[both]
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0


def _points(image: Any, body: npt.NDArray[np.bool_]) -> Points:
    """Some voxel centres of the body, RAS+ mm."""
    places = np.argwhere(body)[:: max(1, int(body.sum()) // 1000)]
    points = [image.TransformIndexToPhysicalPoint([int(i) for i in place[::-1]]) for place in places]
    found: Points = np.array(points, dtype=np.float64).reshape(-1, 3) @ _LPS
    return found


def _moved(fixed: Any, transform: Any, body: npt.NDArray[np.bool_]) -> float:
    places = np.argwhere(body)[:: max(1, int(body.sum()) // 200)]
    points = [fixed.TransformIndexToPhysicalPoint([int(i) for i in place[::-1]]) for place in places]
    steps = [np.subtract(transform.TransformPoint(point), point) for point in points]
    return float(np.median(np.linalg.norm(steps, axis=1))) if steps else 0.0
