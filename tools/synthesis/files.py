"""Synthetic images as files, each marked in the way of its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...imaging.errors import BadCall
from ...imaging.volume import Volume
from ..desk.desk import Desk

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".png", ".dicom")
_DISPLAY_HU = (-160.0, 240.0)  # the usual window of the abdomen


def check_target(desk: Desk, save_as: str | None) -> Path | None:
    """Where the image will be written, or None.

    Raises:
        BadCall: outside the roots, an ending that cannot be written, or no such folder.
    """
    if save_as is None:
        return None
    path = desk.roots.inside(save_as, must_exist=False)
    if not path.name.lower().endswith(ENDINGS):
        raise BadCall(f"'{path.name}' has no ending that can be written. Allowed: {', '.join(ENDINGS)}.")
    if not path.parent.is_dir():
        raise BadCall(f"The folder for '{path.name}' does not exist. Create it first.")
    if path.is_dir() and any(path.iterdir()):
        raise BadCall(f"The folder '{path.name}' is not empty. Give a new one.")
    return path


def save(desk: Desk, path: Path, volume: Volume, image_id: str, made: str) -> list[str]:
    """Write the image and answer the files as the caller may see them."""
    name = path.name.lower()
    if name.endswith(".dicom"):
        from ...imaging.dicom.image import write_dicom_image

        written = write_dicom_image(path, volume, name=image_id, made=made)
        return [desk.roots.shown(path), f"{len(written)} slices"]
    if name.endswith(".png"):
        from ...imaging.formats.raster import write_png

        write_png(path, _grey(volume))
    else:
        from ...imaging.files import write_volume

        write_volume(path, volume.array, volume.grid, synthetic=True)
    return [desk.roots.shown(path)]


def _grey(volume: Volume) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The middle slice as 8 bit."""
    picture = np.asarray(volume.array[:, :, volume.grid.shape[2] // 2]).astype(np.float32)
    low, high = _DISPLAY_HU if volume.modality == "ct" else (float(picture.min()), float(picture.max()))
    grey: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = (
        np.clip((picture - low) / max(high - low, 1e-6), 0, 1) * 255
    ).astype(np.uint8)
    return grey
