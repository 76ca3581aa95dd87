"""Pictures that certainly show no organ of the abdomen in CT: X-rays, heads, knees and breasts, all of them unlabelled here.

A network that is taught what it must leave alone does not see a liver in an X-ray whose kind nobody told.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset, hold_out

# Folders of `slices_many` whose licences allow training (CC0, CC BY, CC BY-SA) and whose pictures show no trunk.
FOLDERS = ("brain_hemorrhage_ct", "brain_hemorrhage_ct_b", "brain_tumor_mr", "breast_us_busi", "knee_bones_mr")
XRAYS = "cxr_lungs"


def _load(folder: Path) -> Iterator[Case]:
    for kind in (XRAYS, *FOLDERS):
        inside = folder / kind if kind == XRAYS else folder / "slices_many" / kind
        for path in sorted(inside.iterdir()):
            if path.suffix not in (".png", ".jpg") or path.stem.endswith("_label"):
                continue
            with Image.open(path) as picture:
                # Stored (row column), seen as always: the patient's right on the left, front or head on top.
                array = np.ascontiguousarray(np.asarray(picture.convert("L")).T[::-1, ::-1, None])
            grid = Grid(array.shape, np.eye(4), spacing_known=False)
            labels = np.zeros(array.shape, dtype=np.uint8)
            yield Case(f"{kind}/{path.stem}", f"{kind}/{path.stem}", Volume(array, grid, "unknown"), labels, grid)


DATASET = Dataset(
    name="other_kinds",
    folder=".",
    structures={},
    absent=(),
    licence="NLM (free with attribution), unverified lung masks unused; CC0, CC BY and CC BY-SA for the others",
    use="research-only",
    sources=(
        "Chest X-rays of Montgomery County and Shenzhen (NLM)",
        "Brain haemorrhage CT, brain tumour MR, BUSI breast ultrasound and knee MR as published by sarah-antillia",
    ),
    load=_load,
    held_out=hold_out(100, seed=5),
    mirrored={},
    plausible=False,
)
