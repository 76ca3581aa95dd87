"""DICOMweb: search (QIDO-RS), retrieve (WADO-RS) and store (STOW-RS); PS3.18 10.6, 10.4 and 10.5."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...imaging.errors import BadCall, Unavailable
from .downloads import Meter
from .found import SERIES_ELEMENTS, STUDY_ELEMENTS, Found, SeriesFound, StudyFound, newest_first, series_of, study_of
from .multipart import boundary_of, save_parts
from .web import Params, Web

_JSON = "application/dicom+json"
# As stored: our reader knows the compressed transfer syntaxes, and nothing is decoded twice.
_FILES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PAGE = 200
_CHUNK = 1 << 16


class DicomWeb:
    """A node that speaks DICOMweb."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self.node = web.node

    def close(self) -> None:
        """Hang up."""
        self._web.close()

    def check(self) -> str:
        """That it answers a search, in a sentence."""
        self._web.get_json("studies", _JSON, {"limit": "1"})
        return f"'{self.node.name}' answers searches (QIDO-RS)."

    def studies(self, filters: Mapping[str, str], most: int) -> Found:
        """Studies that fit, newest first.

        Raises:
            Unavailable: see `Web`.
        """
        params = {
            "includefield": list(STUDY_ELEMENTS.values()),
            **_query(filters),
        }  # a comma in one field is not read by all
        found: dict[str, StudyFound] = {}
        while len(found) < most:
            page = self._list("studies", {**params, "limit": str(_PAGE), "offset": str(len(found))})
            new = {one.uid: one for one in map(study_of, page) if one is not None and one.uid not in found}
            found.update(new)
            if len(page) < _PAGE or not new:  # the end, or a server that knows no pages
                return Found(newest_first(list(found.values())[:most]), len(found) <= most)
        return Found(newest_first(list(found.values())[:most]), complete=False)

    def series(self, study_uid: str) -> tuple[SeriesFound, ...]:
        """The series of a study, in their order.

        Raises:
            BadCall: the study is not there.
            Unavailable: see `Web`.
        """
        params = {"includefield": [*SERIES_ELEMENTS.values(), "00100010"]}
        found = [one for one in map(series_of, self._list(f"studies/{study_uid}/series", params, "such study")) if one]
        if not found:
            raise BadCall(f"'{self.node.name}' has no such study. Call list_files(root='{self.node.address}').")
        return tuple(sorted({one.uid: one for one in found}.values(), key=lambda one: (one.number, one.uid)))

    def fetch(self, study_uid: str, series_uid: str, folder: Path, meter: Meter) -> int:
        """Files of a series into a folder; answers how many.

        Raises:
            BadCall: not there, or too large.
            Unavailable: see `Web`, `save_parts` and `Meter`.
        """
        path = f"studies/{study_uid}/series/{series_uid}"
        with self._web.stream("GET", path, _FILES, meter=meter, missing="such series") as answer:
            boundary = boundary_of(answer.headers.get("content-type", ""), self.node.name)
            return save_parts(answer.iter_bytes(), boundary, folder, meter)

    def store(self, study_uid: str, files: Sequence[Path], meter: Meter) -> None:
        """Store DICOM files in a study.

        Raises:
            Unavailable: the archive refused one; see `Web`.
        """
        boundary = f"ostensor-{secrets.token_hex(16)}"
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        with self._web.stream(
            "POST", f"studies/{study_uid}", _JSON, content=_parts(files, boundary), content_type=kind, meter=meter
        ) as answer:
            self._web.check_type(answer, "json", _JSON)
            answer.read()
            try:
                told: Any = answer.json()
            except ValueError:
                told = None
        stored, failed = _outcome(told)
        if failed or stored < len(files):
            why = f" (DICOM status {failed[0]:04X}H)" if failed else ""
            raise Unavailable(
                f"'{self.node.name}' stored {stored} of {len(files)} objects{why}. Ask whoever runs it whether it takes "
                "segmentations and structure sets."
            )

    def _list(self, path: str, params: Params, missing: str = "") -> list[Mapping[str, Any]]:
        found = self._web.get_json(path, _JSON, params, missing=missing)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            raise Unavailable(
                f"'{self.node.name}' answered JSON that is no list of DICOM data sets. Check that its url is the root of "
                f"DICOMweb: ostensor archives check {self.node.name}."
            )
        return found


def _query(filters: Mapping[str, str]) -> dict[str, str | list[str]]:
    query = {"ModalitiesInStudy": filters.get("modality", ""), "PatientID": filters.get("patient", "")}
    if filters.get("since") or filters.get("until"):
        query["StudyDate"] = f"{filters.get('since', '')}-{filters.get('until', '')}"
    return {key: value for key, value in query.items() if value}


def _parts(files: Sequence[Path], boundary: str) -> Iterator[bytes]:
    for path in files:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                yield piece
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _outcome(told: Any) -> tuple[int, list[int]]:
    """How many objects were stored, and the reasons why others were not."""
    if isinstance(told, list):
        told = told[0] if told else {}
    if not isinstance(told, Mapping):
        return 0, []

    def items(tag: str) -> list[Any]:
        element = told.get(tag)
        values = element.get("Value") if isinstance(element, Mapping) else None
        return values if isinstance(values, list) else []

    reasons = [((one or {}).get("00081197") or {}).get("Value") or [0] for one in items("00081198")]
    return len(items("00081199")), [int(one[0]) if isinstance(one[0], int) else 0 for one in reasons]
