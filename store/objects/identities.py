"""The DICOM identifiers of scans at the shared place, so that every server can export with them."""

from __future__ import annotations

from pathlib import Path

from ...imaging.dicom.source import DicomSource
from ..sources import SourceFiles
from .remote import Remote

_FOLDER = "sources"


class SharedSources(SourceFiles):
    """Small files named by handle; this machine keeps a copy of those it used."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        super().__init__(folder)
        self.remote = remote

    def put(self, image_id: str, source: DicomSource) -> None:
        """Remember where an image came from, here and there."""
        super().put(image_id, source)
        self.remote.put(self._name(image_id), self.path(image_id))

    def get(self, image_id: str) -> DicomSource | None:
        """The source of an image, or None when it was no DICOM."""
        if not self.path(image_id).exists():
            self.remote.get(self._name(image_id), self.path(image_id))
        return super().get(image_id)

    def forget(self, image_id: str) -> None:
        """Delete the source of an image at once, there and here; copies of other servers go with their next `gc`."""
        self.remote.remove(self._name(image_id))
        super().forget(image_id)

    def forget_all_but(self, image_ids: set[str], *, older_than_s: float) -> int:
        """Delete the older sources of other images; returns the bytes freed there."""
        freed = 0
        for entry in self.remote.all(_FOLDER):
            if Path(entry.name).name.removesuffix(".json.gz") not in image_ids and entry.age_s >= older_than_s:
                self.remote.remove(entry.name)
                freed += entry.size
        super().forget_all_but(image_ids, older_than_s=older_than_s)
        return freed

    def _name(self, image_id: str) -> str:
        return f"{_FOLDER}/{image_id[4:6]}/{image_id}.json.gz"
