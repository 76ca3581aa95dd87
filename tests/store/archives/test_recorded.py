"""Exchanges recorded with Orthanc 1.10.1 and its DICOMweb 1.7, replayed where no Orthanc is.

With OSTENSOR_UPDATE=1 and Orthanc installed they are recorded anew; where Orthanc is, it must still tell the same.
"""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.store.archives.dicomweb import DicomWeb
from ostensor.store.archives.downloads import Meter
from ostensor.store.archives.nodes import Node
from ostensor.store.archives.web import Web

from ...imaging.made_dicom import ct_slice, save
from ...toys.orthanc import PASSWORD, USER, Orthanc, running_orthanc

RECORDED = Path(__file__).with_name("orthanc_1_10_1.json")
STUDY, SERIES = "1.2.840.999.1", "1.2.840.999.2"
HEADERS = ("content-type", "content-encoding")


def walk(archive: DicomWeb, folder: Path) -> dict[str, Any]:
    """What an archive tells of one study, in values that are the same every time."""
    folder.mkdir()
    studies = archive.studies({"modality": "CT", "patient": "4711", "since": "20210101"}, 10).studies
    series = archive.series(STUDY)
    count = archive.fetch(STUDY, SERIES, folder, Meter("pacs", 10**6))
    missing = []
    for ask in (lambda: archive.series("1.2.3"), lambda: archive.fetch(STUDY, "1.2.3", folder, Meter("pacs", 10**6))):
        with pytest.raises(BadCall) as told:
            ask()
        missing.append(str(told.value))
    return {
        "studies": [vars(one) for one in studies],
        "series": [vars(one) for one in series],
        "count": count,
        "heights": sorted(float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in folder.iterdir()),
        "missing": missing,
    }


EXPECTED = {
    "studies": [
        {
            "uid": STUDY, "modalities": ("CT",), "year": "2021", "series": 1, "instances": 3, "words": "ct abdomen",
            "moment": "20210304 101010", "text": "CT ABDOMEN Secret",
        }
    ],
    "series": [
        {"uid": SERIES, "modality": "CT", "number": 2, "instances": 3, "words": "ax thin", "text": "AX thin Secret"}
    ],
    "count": 3,
    "heights": [0.0, 3.0, 6.0],
    "missing": [
        "'pacs' has no such study. Call list_files(root='dicomweb://pacs').",
        "'pacs' has no such series (404). Call list_files(root='dicomweb://pacs').",
    ],
}  # fmt: skip


def replaying() -> httpx.MockTransport:
    exchanges = json.loads(RECORDED.read_text(encoding="utf-8"))

    def answer(request: httpx.Request) -> httpx.Response:
        one = exchanges[f"{request.method} {request.url.raw_path.decode()}"]
        return httpx.Response(one["status"], headers=one["headers"], content=base64.b64decode(one["body"]))

    return httpx.MockTransport(answer)


def recording(kept: dict[str, Any]) -> httpx.BaseTransport:
    inner = httpx.HTTPTransport()

    class Recorder(httpx.BaseTransport):
        def close(self) -> None:
            inner.close()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = inner.handle_request(request)
            body = b"".join(answer.iter_raw())  # as it travels, still packed
            answer.close()
            told = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
            kept[f"{request.method} {request.url.raw_path.decode()}"] = {
                "status": answer.status_code, "headers": told, "body": base64.b64encode(body).decode(),
            }  # fmt: skip
            return httpx.Response(answer.status_code, headers=told, content=body)

    return Recorder()


def test_recorded_answers_of_orthanc_are_understood(tmp_path: Path) -> None:
    node = Node("pacs", "dicomweb", "http://127.0.0.1:1/dicom-web")
    with closing(DicomWeb(Web(node, {}.get, transport=replaying()))) as archive:
        assert walk(archive, tmp_path / "got") == EXPECTED


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Orthanc]:
    told = {"StudyDate": "20210304", "StudyTime": "101010", "StudyDescription": "CT ABDOMEN Secret"}
    slices = [ct_slice(3.0 * n, SeriesDescription="AX thin Secret", SeriesNumber=2, **told) for n in range(3)]
    with running_orthanc(tmp_path / "orthanc") as server:
        for file in save(tmp_path / "put", slices).iterdir():
            server.upload(file)
        yield server


def test_orthanc_still_tells_what_was_recorded(filled: Orthanc, tmp_path: Path) -> None:
    kept: dict[str, Any] = {}
    node = Node("pacs", "dicomweb", filled.url, user=USER, password_env="P")
    with closing(DicomWeb(Web(node, {"P": PASSWORD}.get, transport=recording(kept)))) as archive:
        assert walk(archive, tmp_path / "got") == EXPECTED
    if os.environ.get("OSTENSOR_UPDATE"):
        RECORDED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert set(json.loads(RECORDED.read_text(encoding="utf-8"))) == set(kept)
