"""`export`: masks as files, each read back before it is called written."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..imaging.errors import BadCall, Failed
from ..imaging.files import read_image, write_volume
from .desk import Answer, Call, Desk
from .results import ExportResult, FileRow

ENDINGS = {"nifti": ".nii.gz", "nrrd": ".nrrd"}


def export(
    desk: Desk,
    call: Call,
    mask_ids: Annotated[list[str], Field(description="Masks to write, one file each.", min_length=1, max_length=100)],
    folder: Annotated[str, Field(description="Existing folder inside an allowed root; '.' is the first root.")] = ".",
    format: Annotated[Literal["nifti", "nrrd"], Field(description="nifti writes .nii.gz.")] = "nifti",
) -> Answer:
    """Write masks to files on their image's grid (0 outside, 1 inside), read back and compared.

    Only when the user wants files; other tools work on handles. A file of the same mask is
    replaced; names hold structure and handle. Example: export(mask_ids=["msk_0123456789ab"], folder=".", format="nifti")
    """
    target = desk.roots.inside(folder)
    if not target.is_dir():
        raise BadCall(f"'{target.name}' is a file. A folder is needed. Give an existing folder inside a root.")
    files = []
    for number, mask_id in enumerate(mask_ids):
        record, mask = desk.store.mask_record(mask_id), desk.store.mask(mask_id)
        synthetic = desk.store.image(record.image_id).synthetic
        name = re.sub(r"[^a-z0-9]+", "_", (record.structure or "mask").lower()).strip("_")
        path = target / f"{name}_{mask_id}{ENDINGS[format]}"
        write_volume(path, mask.array, mask.grid, synthetic=synthetic)
        back = read_image(path, modality="unknown").volume
        if (
            back is None
            or back.array.shape != mask.array.shape
            or np.abs(back.grid.affine - mask.grid.affine).max() > 1e-3
        ):
            raise Failed(f"'{path.name}' reads back on another grid than it was written on. Use another format.")
        inside = back.array > 0
        total = int(inside.sum()) + record.voxels
        dice = 2 * int((inside & mask.array).sum()) / total if total else 1.0
        files.append(FileRow(mask_id=mask_id, path=desk.roots.shown(path), format=format, readback_dice=dice))
        call.report((number + 1) / len(mask_ids), f"wrote {path.name}")
    shown = ", ".join(row.path for row in files[:6])
    return Answer(f"Wrote {len(files)} files, each read back and equal: {shown}.", ExportResult(files=files))
