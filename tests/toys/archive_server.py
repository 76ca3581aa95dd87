"""A small DICOMweb and FHIR server with faults, for tests where no Orthanc is: what it sends is in the test's hands."""

import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom

BOUNDARY = "toy-boundary"
TOKEN = "token-of-the-toy"
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyDescription", "PatientName", "PatientID",
          "PatientBirthDate", "AccessionNumber")  # fmt: skip
_SERIES = (*_STUDY, "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "BodyPartExamined")


class ArchiveServer(ThreadingHTTPServer):
    """Answers from memory; `faults` maps a kind of request (search, fetch, store, record) to what goes wrong with it.

    Attributes:
        files: data sets by SOP instance UID.
        pages: of FHIR, by path and query.
        asked: path and query of every request, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.files: dict[str, pydicom.Dataset] = {}
        self.pages: dict[str, Any] = {}
        self.faults: dict[str, str] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up, as cancelled ones do, is no fault."""

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.rest}/dicom-web"

    def add(self, *slices: pydicom.Dataset) -> None:
        self.files |= {str(one.SOPInstanceUID): one for one in slices}

    def of(self, keyword: str, uid: str) -> list[pydicom.Dataset]:
        return [one for one in self.files.values() if str(one.get(keyword)) == uid]


@contextmanager
def running_archive() -> Iterator[ArchiveServer]:
    server = ArchiveServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def as_file(data: pydicom.Dataset) -> bytes:
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


class _Answering(BaseHTTPRequestHandler):
    server: ArchiveServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        parts = urlsplit(self.path)
        words = [word for word in parts.path.split("/") if word]
        if words[0] == "fhir":
            return self._record()
        if words[:2] == ["elsewhere", "dicom-web"]:
            words = words[1:]
        if len(words) == 5:
            return self._fetch(words[2], words[4])
        return self._search(words, {key: values[0] for key, values in parse_qs(parts.query).items()})

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = self._body()
        if self.path.endswith(f"/studies/{self.server.faults.get('store studies')}"):
            self.server.faults["store"] = "refuses"
        if self._failed("store"):
            return
        boundary = re.search(r"boundary=([^;]+)", self.headers["Content-Type"])
        assert boundary is not None
        kept = []
        for part in body.split(f"--{boundary[1]}".encode())[1:-1]:
            data = pydicom.dcmread(io.BytesIO(part.partition(b"\r\n\r\n")[2][:-2]))
            self.server.add(data)
            kept.append({"00081155": {"vr": "UI", "Value": [str(data.SOPInstanceUID)]}})
        self._send_json({"00081199": {"vr": "SQ", "Value": kept}}, "application/dicom+json")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _search(self, words: list[str], query: dict[str, str]) -> None:
        if self._failed("search"):
            return
        level = "SeriesInstanceUID" if len(words) == 4 else "StudyInstanceUID"
        found: dict[str, list[pydicom.Dataset]] = {}
        for one in self.server.files.values():
            if len(words) == 4 and str(one.StudyInstanceUID) != words[2]:
                continue
            if query.get("PatientID", str(one.PatientID)) != str(one.PatientID):
                continue
            if query.get("ModalitiesInStudy", str(one.Modality)) != str(one.Modality):
                continue
            low, _, high = query.get("StudyDate", "-").partition("-")
            if "StudyDate" in query and not (low or "0") <= str(one.get("StudyDate", "")) <= (high or "9"):
                continue
            found.setdefault(str(one[level].value), []).append(one)
        rows = [self._row(group, _SERIES if len(words) == 4 else _STUDY) for group in found.values()]
        start = int(query.get("offset", 0))
        self._send_json(rows[start : start + int(query.get("limit", 10_000))], "application/dicom+json")

    def _row(self, group: list[pydicom.Dataset], keywords: tuple[str, ...]) -> dict[str, Any]:
        row = pydicom.Dataset()
        for keyword in keywords:
            if keyword in group[0]:
                row[keyword] = group[0][keyword]
        if keywords is _STUDY:
            row.ModalitiesInStudy = sorted({str(one.Modality) for one in group})
            row.NumberOfStudyRelatedSeries = len({str(one.SeriesInstanceUID) for one in group})
            row.NumberOfStudyRelatedInstances = len(group)
        else:
            row.NumberOfSeriesRelatedInstances = len(group)
        return dict(row.to_json_dict())

    def _fetch(self, study: str, series: str) -> None:
        if self._failed("fetch"):
            return
        parts = [as_file(one) for one in self.server.of("SeriesInstanceUID", series) if one.StudyInstanceUID == study]
        if not parts:
            return self._send(404, b"{}", "application/json")
        fault = self.server.faults.get("fetch", "")
        if fault == "one too few":
            parts = parts[1:]
        if fault == "no dicom":
            parts[1] = b"<html>an error page of patient Secret^Name</html>"
        if fault == "another":
            parts = [as_file(one) for one in self.server.files.values() if str(one.SeriesInstanceUID) != series]
        body = b"".join(
            b"\r\n--%b\r\nContent-Type: application/dicom\r\n\r\n%b" % (BOUNDARY.encode(), part) for part in parts
        )
        body += f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        if fault in ("truncated", "slow"):
            self._head(200, kind, len(body))
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "slow":
                self.server.gate.wait(30)
            self.close_connection = True
            return None
        if fault == "cut cleanly":  # a whole HTTP answer, whose multipart body has no end
            body = body[: len(body) // 2]
        return self._send(200, body, kind)

    def _record(self) -> None:
        if self._failed("record"):
            return
        page = self.server.pages.get(self.path)
        if page is None:
            return self._send(404, b'{"resourceType": "OperationOutcome"}', "application/fhir+json")
        return self._send_json(page, "application/fhir+json")

    def _failed(self, kind: str) -> bool:
        fault = self.server.faults.get(kind, "")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, b"who is Secret^Name", "text/plain")
        elif fault.isdigit():
            self._send(int(fault), b"Secret^Name 4711", "text/plain")
        elif fault == "page":
            self._send(200, b"<html>Secret^Name</html>", "text/html")
        elif fault == "no json":
            self._send(200, b"{Secret^Name", "application/dicom+json")
        elif fault == "no list":
            self._send(200, b'{"Secret": 1}', "application/dicom+json")
        elif fault.startswith("to "):
            self.send_response(307)
            self.send_header("Location", fault[3:] + self.path.removeprefix(fault.partition("#")[2]))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault == "silent":
            self.server.gate.wait(30)
            self.close_connection = True
        elif fault == "refuses":
            why = [{"00081197": {"vr": "US", "Value": [0xA700]}}]
            self._send(202, json.dumps({"00081198": {"vr": "SQ", "Value": why}}).encode(), "application/dicom+json")
        else:
            return False
        return True

    def _send_json(self, value: Any, kind: str) -> None:
        self._send(200, json.dumps(value).encode(), kind)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self._head(status, kind, len(body))
        self.wfile.write(body)

    def _head(self, status: int, kind: str, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
