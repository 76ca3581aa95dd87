"""`open_image`: from a file in a root to a handle."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ...imaging.guards.limits import BUDGET
from ..desk.desk import Answer, Call, Desk
from ..desk.results import ImageResult, SeriesRow


def open_image(
    desk: Desk,
    call: Call,
    path: Annotated[str, Field(description="File or folder inside an allowed root, e.g. 'scan.nii.gz' or 'study/'.")],
    modality: Annotated[
        Literal["auto", "ct", "mr", "pet", "us", "xr", "photo"],
        Field(description="'auto' reads the DICOM header or recognises CT by its values; say 'mr' for MR NIfTI files."),
    ] = "auto",
    series: Annotated[str | None, Field(description="Alias of one DICOM series, from an earlier answer.")] = None,
) -> Answer:
    """Open a scan and get the image_id every other tool needs. Call this first.

    Takes NIfTI, NRRD, MHA/MHD, DICOM (folder, file, zip), PNG, JPEG, TIFF; one 3-D grey volume or
    one 2-D slice. If a DICOM folder holds several series, image_id is null and `series` lists
    them: call again with one. Read `warnings` before you trust sizes. Not for writing: use export.
    Example: open_image(path="ct.nii.gz")
    """
    with BUDGET.opening():
        return _opened(desk, call, path, modality, series)


def _opened(desk: Desk, call: Call, path: str, modality: Any, series: str | None) -> Answer:
    found = desk.roots.inside(path)
    call.report(0.1, "reading")
    from ...imaging.files import read_image  # its formats load slowly

    opened = read_image(found, modality=modality, series=series, within=desk.roots.folders)
    rows = [SeriesRow(**vars(row)) for row in opened.series]
    if opened.volume is None:
        text = f"{len(rows)} series found. Call open_image again with series set to one of: "
        listed = ", ".join(f"{row.series} ({row.modality}, {row.description}, {row.slices} slices)" for row in rows[:8])
        return Answer(text + listed + ".", ImageResult(image_id=None, series=rows, format=opened.format))
    volume = opened.volume
    facts: dict[str, Any] = {"warnings": list(opened.warnings), "format": opened.format, "unit": opened.unit}
    if opened.acquisition:
        facts["acquisition"] = dict(opened.acquisition)
    record = desk.store.add_image(volume, source_name=found.name, facts=facts, source=opened.source)
    spacing = [round(s, 4) for s in volume.grid.spacing_mm] if volume.grid.spacing_known else None
    result = ImageResult(
        image_id=record.image_id,
        modality=volume.modality,
        shape=list(volume.grid.shape),
        spacing_mm=spacing,
        orientation=volume.grid.axis_codes,
        intensity_range=[float(volume.array.min()), float(volume.array.max())],
        intensity_unit=opened.unit or None,
        synthetic=volume.synthetic,
        format=opened.format,
        warnings=list(opened.warnings),
        series=rows,
    )
    size = " x ".join(str(n) for n in volume.grid.shape)
    mm = " x ".join(f"{s:g}" for s in spacing) + " mm" if spacing else "unknown voxel size"
    text = f"Opened {record.image_id}: {volume.modality}, {size} voxels of {mm}, axes {volume.grid.axis_codes}."
    return Answer(" ".join([text, *opened.warnings]), result)
