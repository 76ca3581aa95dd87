"""`export` into an archive: DICOM objects written and read back here first, then stored in the study of their scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...imaging.errors import BadCall, OstensorError
from ...imaging.exports import Written
from ...store.archives.downloads import Meter, private_download
from ...store.archives.nodes import Node
from ..desk.desk import Call, Desk

FORMATS = ("dicom_seg", "rtstruct")

Write = Callable[[Path, str], list[Written]]
"""Writes the masks of one image (its handle) into a folder."""


def send(
    desk: Desk, call: Call, folder: str, images: Sequence[str], format: str, write: Write
) -> list[tuple[Written, str]]:
    """What was written, each with its address in the archive.

    Raises:
        BadCall: the archive takes nothing, the format is no DICOM, or a scan is of no study there.
        Unavailable: the archive refuses or is not reached, or the caller has left.
    """
    node = _node(desk, folder, format)
    studies = {image_id: _study_uid(desk, image_id) for image_id in images}
    meter = Meter(node.name, int(node.most_gb * 1e9), cancelled=call.cancelled)
    with desk.archives.connected(node) as archive, private_download(desk.archives.downloads) as place:
        for image_id, uid in studies.items():
            call.report(0.02, f"looking for the study in {node.name}")
            try:
                archive.series(uid)
            except BadCall:
                raise BadCall(
                    f"'{node.name}' does not hold the study of {image_id}, and results are stored beside their scan only. "
                    "Name the archive that the scan came from, or a folder."
                ) from None
        written = [(row, studies[image_id]) for image_id in images for row in write(place, image_id)]
        stored = 0
        for uid in dict.fromkeys(studies.values()):
            files = list(dict.fromkeys(row.path for row, of in written if of == uid))
            call.report(0.8, f"storing {len(files)} objects in {node.name}")
            try:
                archive.store(uid, files, meter)
            except OstensorError as error:
                before = f" {stored} objects of other studies were stored before it." if stored else ""
                raise type(error)(f"{error}{before}") from None
            stored += len(files)
        return [(row, _address(desk, node, uid, row.path)) for row, uid in written]


def would_store(desk: Desk, arguments: Mapping[str, Any]) -> str:
    """The question before objects go into an archive, from which nobody here can take them back."""
    node = _node(desk, arguments["folder"], arguments["format"])
    records = [desk.store.mask_record(mask_id) for mask_id in dict.fromkeys(arguments["mask_ids"])]
    studies = len({record.image_id for record in records})
    what = f"{len(records)} mask{'s' if len(records) > 1 else ''} as {arguments['format']}"
    return f"Store {what} of {studies} scan{'s' if studies > 1 else ''} in the archive '{node.name}'? It cannot be undone from here."


def _node(desk: Desk, folder: str, format: str) -> Node:
    address, node = desk.archives.find(folder)
    if node.kind == "fhir":
        raise BadCall(f"'{node.name}' holds records, no images. Name an archive of kind dicomweb or dimse.")
    if address.study or address.filters:
        raise BadCall(f"A result is stored in the study of its scan. Write folder='{node.address}'.")
    if format not in FORMATS:
        raise BadCall(f"An archive takes no {format}. Allowed: {', '.join(FORMATS)}. Set format.")
    if not node.may_store:
        raise BadCall(
            f"'{node.name}' is read-only here. A person may allow it: ostensor archives add {node.name} … --may-store. "
            "Or export to a folder."
        )
    return node


def _study_uid(desk: Desk, image_id: str) -> str:
    source = desk.store.sources.get(image_id)
    if source is None or source.made_up:
        raise BadCall(
            f"{image_id} was no DICOM scan, so it belongs to no study, and an archive takes results of its own scans only. "
            "Export to a folder, or open the scan from the archive."
        )
    return str(source.study["0020000D"]["Value"][0])


def _address(desk: Desk, node: Node, study_uid: str, path: Path) -> str:
    import pydicom  # loads slowly

    series = str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID)
    aliases = desk.archives.aliases
    return f"{node.address}/{aliases.name('study', [study_uid])[0]}/{aliases.name('series', [series])[0]}"
