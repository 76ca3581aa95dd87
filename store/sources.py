"""The DICOM identifiers of a scan, kept beside the store."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from dataclasses import asdict
from pathlib import Path

from ..imaging.dicom.source import DicomSource, Instance
from ..imaging.errors import Failed
from ..imaging.guards.atomic import write_atomically


class SourceFiles:
    """The store's `sources` folder: one small file per image that came from DICOM, named by its handle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, image_id: str) -> Path:
        """Where the source of the image lies."""
        return self.folder / image_id[4:6] / f"{image_id}.json.gz"

    def put(self, image_id: str, source: DicomSource) -> None:
        """Remember where an image came from."""
        content = gzip.compress(json.dumps(asdict(source)).encode(), mtime=0)
        write_atomically(self.path(image_id), lambda file: file.write(content))

    def get(self, image_id: str) -> DicomSource | None:
        """The source of an image, or None when it was no DICOM.

        Raises:
            Failed: the file is damaged.
        """
        path = self.path(image_id)
        if not path.exists():
            return None
        try:
            facts = json.loads(gzip.decompress(path.read_bytes()))
            return DicomSource(facts["study"], tuple(Instance(**i) for i in facts["instances"]), facts["made_up"])
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
            raise Failed(
                f"A stored DICOM source cannot be read ({type(error).__name__}). Open the scan again."
            ) from error

    def forget(self, image_id: str) -> None:
        """Delete the source of an image at once."""
        self.path(image_id).unlink(missing_ok=True)

    def forget_all_but(self, image_ids: set[str], *, older_than_s: float) -> int:
        """Delete the older sources of other images; returns the bytes freed."""
        freed = 0
        for path in self.folder.glob("??/*.json.gz"):
            status = path.stat()
            if path.name.removesuffix(".json.gz") not in image_ids and time.time() - status.st_mtime >= older_than_s:
                freed += status.st_size
                path.unlink()
        return freed
