"""`open_image`: from a file in a root to a handle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ...imaging.guards.limits import BUDGET
from ...store.archives.addresses import is_address
from ..desk.desk import Answer, Call, Desk
from ..desk.results import ImageResult, SeriesRow
from ..files.aliases import alias_of_file, alias_of_image
from ..files.archived import check_same, downloaded, images_of, list_series, series_rows
from ..files.listing import as_row, files_below
from ..files.paths import found_path
from ..files.wording import first_of

if TYPE_CHECKING:  # its formats load slowly
    from ...imaging.listing.survey import Entry
    from ...imaging.opened import Opened

_MOST_ROWS = 50  # files of a folder that are listed


def open_image(
    desk: Desk,
    call: Call,
    path: Annotated[
        str,
        Field(description="File or folder inside a root: 'scan.nii.gz', 'study/'; or dicomweb://NAME/STUDY/SERIES."),
    ],
    modality: Annotated[
        Literal["auto", "ct", "mr", "pet", "us", "xr", "photo"],
        Field(description="'auto': by DICOM header or CT's values; say 'mr' for MR NIfTI files."),
    ] = "auto",
    series: Annotated[str | None, Field(description="A DICOM series, from an earlier answer.")] = None,
    spacing_mm: Annotated[
        list[Annotated[float, Field(gt=0, le=1000)]] | None,
        Field(description="mm along x, y(, z), only where the file has none.", min_length=2, max_length=3),
    ] = None,
) -> Answer:
    """Open a scan: its image_id is what other tools need.

    NIfTI, NRRD, MHA, MGZ, DICOM (folder, file, zip), PNG, JPEG, TIFF; one 3-D grey volume or 2-D slice. image_id null:
    call again with one of `series` or `files`. Read `warnings` before you trust sizes. Masks: import_mask.
    Example: open_image(path="ct.nii.gz")
    """
    if is_address(path):
        return _from_archive(desk, call, path, modality, series, spacing_mm)
    with BUDGET.opening():
        found = found_path(desk, path, "open_image")
        call.report(0.1, "reading")
        from ...imaging.dicom.series import NoImages
        from ...imaging.files import read_image  # its formats load slowly

        try:
            opened = read_image(
                found, modality=modality, series=series, within=desk.roots.folders, spacing_mm=spacing_mm
            )
        except NoImages:
            entries = files_below(desk, found).entries if found.is_dir() else ()
            if not entries:
                raise
            return _to_choose(desk, found, list(entries))
        return _kept(desk, opened, found.name, alias_of_file(found.name, opened.source))


def _from_archive(
    desk: Desk, call: Call, path: str, modality: Any, series: str | None, spacing_mm: list[float] | None
) -> Answer:
    """The series at an address, fetched for as long as it is read."""
    listed = images_of(list_series(desk, path))
    rows = series_rows(desk, listed)
    if len(rows) != 1:
        calls = [f"open_image(path='{row['path']}')" for row in rows]
        text = f"The study holds {len(rows)} series to open one by one: {first_of(calls, len(calls), ', ')}."
        return Answer(text, ImageResult(image_id=None, files=rows[:_MOST_ROWS]))
    address = str(rows[0]["path"])
    with downloaded(desk, call, listed) as folder, BUDGET.opening():
        call.report(0.75, "reading")
        from ...imaging.files import read_image  # its formats load slowly

        opened = read_image(folder, modality=modality, series=series, within=(folder,), spacing_mm=spacing_mm)
        check_same(listed, opened)
        return _kept(desk, opened, address, "")


def _kept(desk: Desk, opened: Opened, name: str, alias: str) -> Answer:
    """A scan in the store, or its series to choose from."""
    rows = [SeriesRow(**vars(row)) for row in opened.series]
    if opened.volume is None:
        text = f"{len(rows)} series found. Call open_image again with series set to one of: "
        listed = ", ".join(f"{row.series} ({row.modality}, {row.description}, {row.slices} slices)" for row in rows[:8])
        return Answer(text + listed + ".", ImageResult(image_id=None, series=rows, format=opened.format))
    volume = opened.volume
    facts: dict[str, Any] = {"warnings": list(opened.warnings), "format": opened.format, "unit": opened.unit}
    facts["alias"] = alias
    if opened.acquisition:
        facts["acquisition"] = dict(opened.acquisition)
    record = desk.store.add_image(volume, source_name=name, facts=facts, source=opened.source)
    sizes = volume.grid.spacing_mm if volume.grid.thickness_known else volume.grid.spacing_mm[:2]
    spacing = [round(s, 4) for s in sizes] if volume.grid.spacing_known else None
    result = ImageResult(
        image_id=record.image_id,
        alias=alias_of_image(record),
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
    text = f"Opened {record.image_id} ({alias_of_image(record)}): {volume.modality}, {size} voxels of {mm}, axes {volume.grid.axis_codes}."
    return Answer(" ".join([text, *opened.warnings]), result)


def _to_choose(desk: Desk, folder: Path, entries: list[Entry]) -> Answer:
    """The files of a folder that is no scan itself, and the call to make for each."""
    rows = [as_row(desk, entry) for entry in entries[:_MOST_ROWS]]
    calls = [f"{row.get('use', 'open_image')}(path='{row['path']}')" for row in rows]
    text = f"'{folder.name}' holds {len(entries)} files to open one by one: {first_of(calls, len(entries), ', ')}."
    return Answer(text, ImageResult(image_id=None, files=rows))
