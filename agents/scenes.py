"""Scans of the agent evals: the torso phantom whole, cropped and flipped, the bundled head, and shared real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..imaging.files import read_image, write_volume
from ..imaging.geometry import reorient
from ..imaging.phantoms import torso_ct
from ..imaging.samples import mni_template
from ..imaging.volume import Volume

SPACING_MM = (3.0, 3.0, 3.75)
_X, _Y = (-190.0, 190.0), (-140.0, 140.0)
# Height of the scan in the phantom's space; its bladder spans -164 to -96 mm, its liver 47 to 163 mm.
_FIELDS: dict[str, tuple[float, float]] = {
    "torso": (-230.0, 310.0),
    "pelvis": (-230.0, -40.0),
    "chest": (170.0, 310.0),
    "cut": (-130.0, 310.0),
    "cut-liver": (-230.0, 105.0),
}


def scene(name: str, folder: Path, shared: Path | None) -> Path | None:
    """The scan's file, made in a folder where needed; None when it belongs to absent shared data.

    Raises:
        KeyError: there is no such scene.
    """
    if name in _FIELDS:
        return _saved(
            folder / f"{name}.nii.gz", lambda: torso_ct(spacing_mm=SPACING_MM, field_mm=(_X, _Y, _FIELDS[name])).volume
        )
    if name == "flipped":
        return _saved(folder / "flipped.nii.gz", lambda: reorient(torso_ct(spacing_mm=SPACING_MM).volume, "LPS"))
    if name == "head":
        return mni_template()
    if name == "head-flipped":
        return _saved(folder / "head-flipped.nii.gz", _turned_head)
    if name == "ct":
        path = None if shared is None else shared / "totalsegmentator_example" / "example_ct.nii.gz"
        return path if path is not None and path.is_file() else None
    raise KeyError(name)


def _turned_head() -> Volume:
    opened = read_image(mni_template(), modality="mr").volume
    assert opened is not None
    return reorient(opened, "PIR")


def _saved(path: Path, make: Callable[[], Volume]) -> Path:
    if not path.exists():
        volume = make()
        write_volume(path, np.asarray(volume.array), volume.grid, synthetic=volume.synthetic)
    return path
