"""DIMSE against pynetdicom's own server side, with faults; the exchange with Orthanc is in tests/tools/files/test_archived.py."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest

from ostensor.imaging.errors import BadCall, OstensorError, Unavailable
from ostensor.store.archives.dimse import Dimse
from ostensor.store.archives.downloads import Meter
from ostensor.store.archives.nodes import Node

from ...imaging.made_dicom import SECRETS, ct_slice, save
from ...toys.orthanc import Orthanc, free_port, running_orthanc

pynetdicom = pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'ostensor[archive]'")
STUDY, SERIES = "1.2.840.999.1", "1.2.840.999.2"


@dataclass
class Scp:
    """A server of one series; `faults` says what goes wrong with find, get or store."""

    port: int
    slices: list[pydicom.Dataset]
    faults: dict[str, Any] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)
    asked: list[pydicom.Dataset] = field(default_factory=list)

    def find(self, event: Any) -> Iterator[tuple[int, pydicom.Dataset | None]]:
        self.asked.append(event.identifier)
        if "find" in self.faults:
            if self.faults["find"] == "abort":
                event.assoc.abort()
                return
            yield self.faults["find"], None
            return
        for _ in range(self.faults.get("answers", 1)):
            found = pydicom.Dataset()
            found.StudyInstanceUID, found.StudyDate, found.PatientName = STUDY, "20210304", SECRETS[0]
            found.ModalitiesInStudy, found.StudyDescription = ["CT", "SR"], "CT HEAD Secret"
            found.SOPClassUID = self.slices[0].SOPClassUID
            found.SeriesInstanceUID, found.Modality, found.NumberOfSeriesRelatedInstances = SERIES, "CT", 5
            if self.faults.get("answers"):
                found.StudyInstanceUID = f"{STUDY}.{len(self.asked)}.{_ + 1}"
            yield 0xFF00, found

    def get(self, event: Any) -> Iterator[Any]:
        yield len(self.slices)
        for number, one in enumerate(self.slices):
            if self.faults.get("get") == "abort" and number == 2:
                event.assoc.abort()
                return
            if isinstance(self.faults.get("get"), int) and number == 2:
                yield self.faults["get"], None
                return
            yield 0xFF00, one

    def store(self, event: Any) -> int:
        if "store" in self.faults:
            return int(self.faults["store"])
        self.stored.append(str(event.dataset.SOPInstanceUID))
        return 0

    def node(self, **changes: Any) -> Node:
        return Node(**{"name": "old", "kind": "dimse", "host": "127.0.0.1", "port": self.port, "aet": "SCP", **changes})


@pytest.fixture
def scp() -> Iterator[Scp]:
    from pynetdicom import AE, evt, sop_class

    made = Scp(free_port(), [ct_slice(3.0 * n, value=n) for n in range(5)])
    entity = AE("SCP")
    entity.require_called_aet = True
    for one in (
        sop_class.StudyRootQueryRetrieveInformationModelFind,
        sop_class.StudyRootQueryRetrieveInformationModelGet,
    ):
        entity.add_supported_context(one)
    entity.add_supported_context(sop_class.Verification)
    entity.add_supported_context(sop_class.CTImageStorage, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, made.find), (evt.EVT_C_GET, made.get), (evt.EVT_C_STORE, made.store)]
    server = entity.start_server(("127.0.0.1", made.port), block=False, evt_handlers=handlers)
    assert server is not None
    yield made
    server.shutdown()


def test_a_series_arrives_as_it_is_stored(scp: Scp, tmp_path: Path) -> None:
    old = Dimse(scp.node())
    assert old.check() == "'old' answers (C-ECHO)."
    (study,) = old.studies({"patient": "4711", "since": "20210101"}, 10).studies
    assert (study.uid, study.modalities, study.year, study.words) == (STUDY, ("CT", "SR"), "2021", "ct head")
    assert (scp.asked[0].PatientID, scp.asked[0].StudyDate) == ("4711", "20210101-")
    (series,) = old.series(STUDY)
    assert old.fetch(STUDY, series.uid, tmp_path, Meter("old", 10**6)) == 5
    back = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, tmp_path.iterdir())}
    assert {uid: one.PixelData for uid, one in back.items()} == {
        str(one.SOPInstanceUID): one.PixelData for one in scp.slices
    }


def test_a_process_with_many_open_files_still_speaks(scp: Scp) -> None:
    """pynetdicom's own `select` refuses descriptors past 1023."""
    with ExitStack() as held:
        for _ in range(1100):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        assert "answers" in Dimse(scp.node()).check()


def test_objects_are_stored(scp: Scp, tmp_path: Path) -> None:
    files = sorted(save(tmp_path / "ct", scp.slices[:2]).iterdir())
    Dimse(scp.node()).store(STUDY, files, Meter("old", 10**6))
    assert sorted(scp.stored) == sorted(str(one.SOPInstanceUID) for one in scp.slices[:2])


FAULTS: list[tuple[str, Any, type[OstensorError], str]] = [
    ("find", 0xA700, Unavailable, r"did not complete C-FIND \(DICOM status A700H\)"),
    ("find", "abort", Unavailable, "hung up or stopped answering during C-FIND.*known modality"),
    ("get", 0xC000, Unavailable, r"did not complete C-GET"),
    ("get", "abort", Unavailable, "hung up or stopped answering during C-GET"),
    ("store", 0xA700, Unavailable, r"did not complete C-STORE \(DICOM status A700H\)"),
]


@pytest.mark.parametrize(("what", "fault", "kind", "words"), FAULTS)
def test_what_goes_wrong_is_told(
    what: str, fault: Any, kind: type[OstensorError], words: str, scp: Scp, tmp_path: Path
) -> None:
    scp.faults[what] = fault
    old, meter = Dimse(scp.node()), Meter("old", 10**6)
    files = list(save(tmp_path / "ct", scp.slices[:1]).iterdir())
    calls = {
        "find": lambda: old.studies({}, 10),
        "get": lambda: old.fetch(STUDY, SERIES, tmp_path, meter),
        "store": lambda: old.store(STUDY, files, meter),
    }
    begun = time.monotonic()
    with pytest.raises(kind, match=words) as told:
        calls[what]()
    assert time.monotonic() - begun < 10
    assert not any(one in str(told.value) for one in SECRETS)


def test_a_download_that_is_too_large_ends_at_once(scp: Scp, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(BadCall, match="larger than 2e-06 GB"):
        Dimse(scp.node()).fetch(STUDY, SERIES, tmp_path, Meter("old", 2000))
    assert time.monotonic() - begun < 10
    assert len(list(tmp_path.iterdir())) == 2


def test_a_caller_who_leaves_ends_the_download(scp: Scp, tmp_path: Path) -> None:
    left = threading.Event()

    def report(share: float, message: str) -> None:
        if "instance 3" in message:
            left.set()

    begun = time.monotonic()
    with pytest.raises(Unavailable, match="was cancelled"):
        Dimse(scp.node()).fetch(STUDY, SERIES, tmp_path, Meter("old", 10**6, report=report, cancelled=left))
    assert time.monotonic() - begun < 10


def test_more_studies_than_asked_for_are_cut(scp: Scp) -> None:
    scp.faults["answers"] = 30
    found = Dimse(scp.node()).studies({}, 10)
    assert len(found.studies) == 10
    assert not found.complete


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aet": "OTHER"}, "refuses our AE title or its own. Have 'OSTENSOR' entered"),
        ({"port": 1}, "connection refused"),
        ({"host": "nowhere.invalid"}, "DNS|cannot be reached"),
        ({"tls": True}, "ended the association at once|refuses|cannot be reached"),
    ],
)
def test_a_server_that_is_not_reached_is_told(changes: dict[str, Any], words: str, scp: Scp) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=words):
        Dimse(scp.node(**changes)).check()
    assert time.monotonic() - begun < 10.5


def test_a_class_that_the_server_does_not_take_is_told(scp: Scp, tmp_path: Path) -> None:
    data = ct_slice(0.0, SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    with pytest.raises(Unavailable, match=r"takes no objects of this kind|ended the association"):
        Dimse(scp.node()).store(STUDY, list(save(tmp_path / "seg", [data]).iterdir()), Meter("old", 10**6))


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path / "orthanc") as made:
        yield made


def test_orthanc_refuses_whom_it_does_not_know(orthanc: Orthanc) -> None:
    node = Node("pacs", "dimse", host="127.0.0.1", port=orthanc.port, aet="ORTHANC", calling="NOBODY")
    with pytest.raises(Unavailable, match="'NOBODY' may not be entered there as a known modality"):
        Dimse(node).studies({}, 10)
    with pytest.raises(Unavailable, match=r"refuses our AE title|ended the association at once"):  # as it is quick
        Dimse(Node("pacs", "dimse", host="127.0.0.1", port=orthanc.port, aet="OTHER")).check()
