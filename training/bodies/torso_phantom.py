"""The project's own torso phantom as a third, very simple body beside the two reference ones.

It is also what the demo shows, so the demo's torso is no unseen body.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...imaging.phantoms import torso_ct
from ..cases import Case, Dataset
from .cores import with_cores
from .hra_phantom import BODY_LABELS, CORED, LUNG, MIRRORED, SHELL, SPINE, STRUCTURES

# Name in the phantom -> label value of the reference bodies.
_VALUES: dict[str, int] = {
    "left lung": LUNG,
    "right lung": LUNG,
    "vertebral column": SPINE,
    "heart": 38,
    **{name: values[0] for name, values in BODY_LABELS.items() if len(values) == 1},
}
_FAT_SHELL = SHELL + 3


def _load(_folder: Path) -> Iterator[Case]:
    phantom = torso_ct(spacing_mm=(3.0, 3.0, 3.0), noise_hu=0.0)
    hu = np.asarray(phantom.volume.array)
    labels = np.zeros(hu.shape, dtype=np.uint8)
    labels[hu > -500] = _FAT_SHELL
    labels[hu > -20] = 1
    for name, mask in phantom.masks.items():
        labels[mask.array] = _VALUES[name]
    cored = with_cores(labels, CORED, phantom.volume.grid.spacing_mm)
    yield Case("phantom", "torso phantom", None, cored, phantom.volume.grid)


DATASET = Dataset(
    name="torso_phantom",
    folder=".",
    structures=STRUCTURES,
    absent=("cerebellum", "putamina", "myocardium"),
    licence="Apache-2.0",
    use="any",
    sources=("the project's own torso phantom (imaging/phantoms.py)",),
    load=_load,
    held_out=lambda patients: set(),
    mirrored=MIRRORED,
    plausible=False,
)
