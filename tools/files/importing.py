"""`import_mask`: masks that others made, onto the image they belong to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ... import __version__
from ...imaging.dicom.source import DicomSource, made_up_source
from ...imaging.errors import BadCall
from ...imaging.guards.limits import BUDGET
from ...imaging.imports.labels import LabelFile
from ...imaging.imports.laying import Laid, lay
from ...imaging.region import slices
from ...imaging.volume import Mask
from ...store.records import ImageRecord
from ..desk.desk import Answer, Call, Desk
from ..desk.results import Provenance
from .archived import Local, masks_at
from .naming import Named, Namer, private_words
from .results import ImportedRow, ImportResult

_VOXEL_BYTES = 8  # the file's layer, the same on the image, and a mask of it, of a byte or two each
_SHOWN, _NOTES = 8, 6


def import_mask(
    desk: Desk,
    call: Call,
    path: Annotated[str, Field(description="Label file, DICOM SEG, RTSTRUCT, or folder with a file per structure.")],
    image_id: Annotated[str, Field(description="Scan of the masks.")],
    labels: Annotated[
        dict[str, str] | None, Field(description="Names, by number or the file's name: {'1': 'liver'}.")
    ] = None,
    resample: Annotated[bool, Field(description="Nearest voxels, if its grid is another.")] = False,
) -> Answer:
    """Import masks made elsewhere as msk_ handles on an image.

    NIfTI, NRRD (Slicer .seg.nrrd), MHA, MGZ, PNG, DICOM SEG, RTSTRUCT, TotalSegmentator folders, nnU-Net (dataset.json).
    Another grid is refused unless resample; losses stand in warnings. Another patient, study or frame of reference is
    refused. Verdict "imported": somebody drew it, nothing was judged.
    Example: import_mask(path="seg.nii.gz", image_id="img_...")
    """
    with masks_at(desk, call, path) as local:
        return _imported(desk, call, local, image_id, labels or {}, resample=resample)


def _imported(
    desk: Desk, call: Call, local: Local, image_id: str, labels: Mapping[str, str], *, resample: bool
) -> Answer:
    found = local.path
    image = desk.store.image(image_id)
    source = desk.store.sources.get(image_id)
    call.report(0.05, "reading")
    from ...imaging.imports.objects import check_belongs
    from ...imaging.imports.reading import read_labels  # its formats load slowly

    def check(header: Any) -> tuple[str, ...]:
        if source is None and image.facts.get("format") == "dicom":  # of an earlier version's store
            raise BadCall(
                f"Whose scan {image_id} is, is not kept in this store. Open the scan again, then import onto it."
            )
        return check_belongs(header, source, made_up_source(image_id, image.grid.shape[2], image.modality))

    file = read_labels(found, image.grid, check, resample=resample, within=local.within)
    namer = Namer(desk.table, labels, _private(source, file))
    namer.check(file.pieces)
    if not file.pieces:
        raise BadCall(f"'{found.name}' holds no label: every voxel is 0. Give the file with the masks.")

    def report(share: float, message: str) -> None:
        if call.cancelled.is_set():
            raise BadCall("The call was cancelled.")
        call.report(0.1 + 0.5 * share, message)

    needed = _VOXEL_BYTES * (math.prod(file.grid.shape) + math.prod(image.grid.shape))
    with BUDGET.reserved(found.name, needed):
        place, laid = lay(file, image.grid, resample=resample, report=report)
        kept = _Import(desk, image, file, f"sha256:{file.sha256}")
        rows = [kept.row(one, namer.name(one.piece)) for one in laid]
    exact = all(one.is_exact for one in laid)
    warnings = [
        *file.notes,
        *place.notes,
        *([f"Resampled: {place.differs}."] if place.turn is None else []),
        *_lifted(rows),
    ]
    result = ImportResult(
        image_id=image_id, masks=rows, format=file.kind, exact=exact, warnings=warnings, provenance=kept.provenance
    )
    return Answer(_said(result), result)


def _private(source: DicomSource | None, file: LabelFile) -> frozenset[str]:
    return private_words([*([source.header] if source else []), *([file.header] if file.header is not None else [])])


@dataclass(frozen=True)
class _Import:
    """Keeps masks of one file in the store."""

    desk: Desk
    image: ImageRecord
    file: LabelFile
    origin: str

    @property
    def provenance(self) -> Provenance:
        """The same for every mask: no model made it; the file's bytes are its origin."""
        return Provenance(tool="import_mask", version=__version__, inputs=[self.image.image_id, self.origin])

    def row(self, one: Laid, named: Named) -> ImportedRow:
        """A mask in the store, and what to say of it."""
        region, piece = one.region, one.piece
        notes = [*([named.note] if named.note else []), *piece.notes]
        if one.outside:
            notes.append(f"{one.outside} of its {one.file_voxels} voxels lie outside the image and are lost.")
        mask_id = None
        if region.box is None:
            notes.append(
                "Smaller than the image's voxels: nothing is left." if one.file_voxels else "It is empty in the file."
            )
        else:
            array = np.zeros(self.image.grid.shape, dtype=np.bool_)
            array[slices(region.box)] = region.array
            facts = {"verdict": "imported", "label": piece.key, "provenance": self.provenance.model_dump(mode="json")}
            mask_id = self.desk.store.add_mask(
                Mask(array, self.image.grid),
                image_id=self.image.image_id,
                structure=named.structure,
                made_by=f"import {self.origin} {piece.layer} {piece.values}",
                facts=facts,
            ).mask_id
        known = self.image.grid.volume_known and not self.image.synthetic
        volume_ml = round(region.voxels * self.image.grid.voxel_ml, 3) if known else None
        file_ml = round(one.file_ml, 3) if known and not one.is_exact and one.file_ml is not None else None
        return ImportedRow(
            structure=named.structure,
            mask_id=mask_id,
            label=piece.key,
            voxels=region.voxels,
            volume_ml=volume_ml,
            file_ml=file_ml,
            warnings=notes,
        )


def _lifted(rows: Sequence[ImportedRow]) -> list[str]:
    """Warnings that several masks share, said once and taken from the masks; and names that came twice."""
    counts = Counter(note for row in rows for note in row.warnings)
    shared = [note for note, count in counts.items() if count > 1]
    for row in rows:
        row.warnings[:] = [note for note in row.warnings if note not in shared]
    twice = [name for name, count in Counter(row.structure for row in rows).items() if count > 1]
    said = [f"{counts[note]} masks: {note}" for note in shared]
    return said + ([f"Several labels are called {', '.join(twice[:5])}."] if twice else [])


def _said(result: ImportResult) -> str:
    made = [row for row in result.masks if row.mask_id]
    size = [
        f"{row.structure} {row.volume_ml:g} ml" if row.volume_ml is not None else f"{row.structure} {row.voxels} voxels"
        for row in made
    ]
    more = f" and {len(size) - _SHOWN} more" if len(size) > _SHOWN else ""
    differing = [row for row in made if row.file_ml not in (None, row.volume_ml)]
    changed = [f"{row.structure} {row.file_ml:g} ml in the file" for row in differing]
    how = "voxel by voxel" if result.exact else "not voxel by voxel"
    text = f"Imported {len(made)} {'mask' if len(made) == 1 else 'masks'} onto {result.image_id} ({result.format}, {how}): {', '.join(size[:_SHOWN])}{more}."
    if changed:
        text += f" Before: {', '.join(changed[:_SHOWN])}."
    notes = [*result.warnings, *(f"{row.structure}: {note}" for row in result.masks for note in row.warnings)]
    left = f" {len(notes) - _NOTES} more warnings." if len(notes) > _NOTES else ""
    return " ".join([text, *notes[:_NOTES]])[:1500] + left
