"""One measurement of `bench imaging`, in a process of its own: what, then a JSON line of CPU seconds and peak memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.volume import Grid, Mask
from ...models.inference.hardware import peak_mb

SHAPE = (512, 512, 400)
SPACING_MM = (0.8, 0.8, 1.5)
ORGANS = 30


def scan() -> npt.NDArray[np.int16]:
    """A CT-like array, x first in memory: noisy air around a noisy oval of soft tissue; deflates about threefold."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    body = ((x - 256) / 200) ** 2 + ((y - 256) / 150) ** 2 < 1
    array = np.empty(SHAPE, dtype=np.int16, order="F")
    for z in range(SHAPE[2]):
        noise = rng.integers(-14, 15, SHAPE[:2], dtype=np.int16)
        array[:, :, z] = np.where(body, 40 + noise, -1000 + noise // 4)
    return array


def affine() -> npt.NDArray[np.float64]:
    """LPS axes, as CT slices lie."""
    return np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])


def organ(number: int) -> npt.NDArray[np.bool_]:
    """The n-th of thirty ellipsoids side by side, 15 to 60 slices high."""
    centre = np.array([90 + 65 * (number % 6), 130 + 60 * (number // 6 % 5), 40 + 11 * number])
    half = np.array([28, 26, 8 + number])
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half + 1, SHAPE)
    points = np.ogrid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    array = np.zeros(SHAPE, dtype=np.bool_, order="F")
    inside = sum(((p - c) / h) ** 2 for p, c, h in zip(points, centre, half, strict=True)) <= 1
    array[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = inside
    return array


def nibabel_reads(folder: Path) -> None:
    """The whole array, as stored."""
    import nibabel

    np.asarray(nibabel.load(folder / "scan.nii.gz").dataobj)


def simpleitk_reads(folder: Path) -> None:
    """The whole image."""
    import SimpleITK as sitk

    sitk.ReadImage(str(folder / "scan.nii.gz"))


def ours_reads(folder: Path) -> None:
    """With every check and warning of `read_image`."""
    from ...imaging.files import read_image

    read_image(folder / "scan.nii.gz")


def simpleitk_reads_dicom(folder: Path) -> None:
    """Series found and sorted by GDCM."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "series")))
    reader.Execute()


def pydicom_reads_dicom(folder: Path) -> None:
    """The usual script: read, sort, stack, rescale."""
    import pydicom

    slices = [pydicom.dcmread(path) for path in (folder / "series").iterdir()]
    slices.sort(key=lambda data: float(data.ImagePositionPatient[2]))
    np.stack([data.pixel_array * data.RescaleSlope + data.RescaleIntercept for data in slices])


def ours_reads_dicom(folder: Path) -> None:
    """With every check of `read_image`."""
    from ...imaging.files import read_image

    read_image(folder / "series")


def ours_exports(folder: Path) -> None:
    """Thirty organs into one DICOM-SEG, every frame written, read back and compared."""
    from ...imaging.dicom.source import made_up_source
    from ...imaging.exports import write_masks
    from ...imaging.formats.segments import Segment
    from ...imaging.formats.structure_codes import structure_code

    grid = Grid(SHAPE, affine())
    segments = [
        Segment(f"msk_{n:012d}", f"organ {n}", structure_code(f"organ {n}"), lambda n=n: Mask(organ(n), grid))  # type: ignore[misc]  # bound per turn
        for n in range(ORGANS)
    ]
    source = made_up_source("bench", SHAPE[2], "ct")
    with tempfile.TemporaryDirectory() as target:
        rows = write_masks(Path(target), segments, grid, format="dicom_seg", source=source)
    if len(rows) != ORGANS or any(row.receipt.dice != 1 for row in rows):
        raise RuntimeError("the export did not come back")


TASKS: dict[str, Callable[[Path], None]] = {
    task.__name__: task
    for task in (
        nibabel_reads, simpleitk_reads, ours_reads, simpleitk_reads_dicom, pydicom_reads_dicom, ours_reads_dicom,
        ours_exports,
    )
}  # fmt: skip


def main(task: str, folder: str) -> None:
    """Run one task; libraries are loaded before the clock starts where a reader of theirs is timed."""
    import nibabel  # noqa: F401  # loaded, not timed
    import pydicom  # noqa: F401
    import SimpleITK  # noqa: F401

    from ...imaging import exports, files  # noqa: F401

    warnings.simplefilter("ignore")
    start, wall = time.process_time(), time.perf_counter()
    TASKS[task](Path(folder))
    result: dict[str, Any] = {
        "cpu_s": time.process_time() - start,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
