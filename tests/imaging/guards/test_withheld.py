"""No header value reaches standard error or a log, whoever listens; the expected words are pydicom's own dictionary's."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.misc import warn_and_log

from ostensor.imaging.guards.withheld import withhold_header_values, without_values

from ..made_dicom import ct_slice

# Bytes that no value of the element may have: keyword, value representation, and what a log must not say.
BAD = (
    ("SpecificCharacterSet", "CS", "charset-of-Secret"),
    ("PatientName", "PN", "Secret^Name=a=b=c=d"),
    ("PatientID", "LO", "4711" * 20),
    ("PatientBirthDate", "DA", "born-19560203"),
    ("PatientSex", "CS", "secret-sex"),
    ("PatientAge", "AS", "sixty-seven"),
    ("PatientSize", "DS", "tall-as-a-tree"),
    ("PatientWeight", "DS", "heavy-as-lead"),
    ("StudyInstanceUID", "UI", "study-of-Secret"),
    ("StudyDate", "DA", "tomorrow-19560204"),
    ("StudyTime", "TM", "a-quarter-past"),
    ("AccessionNumber", "SH", "accession-of-Secret-that-is-too-long"),
    ("ReferringPhysicianName", "PN", "Doctor^Who=x=y=z=w"),
    ("FrameOfReferenceUID", "UI", "frame-of-Secret"),
)
SCRIPT = """
import logging, sys, warnings
from pathlib import Path
import numpy as np
from ostensor.imaging.errors import OstensorError
from ostensor.imaging.volume import Mask
from ostensor.server.logs import log_to_stderr
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

folder, listening = Path(sys.argv[1]), sys.argv[2]
if listening == "server":
    log_to_stderr(logging.DEBUG)
elif listening == "captured":
    logging.basicConfig(level=logging.DEBUG)
    logging.captureWarnings(True)
with Desk(Settings(store=folder / "store", roots=(folder,))) as desk:
    image = use(desk, "open_image", path="ct").result.image_id
    volume = desk.store.volume(image)
    inside = np.zeros(volume.grid.shape, bool)
    inside[1:4, 1:5, 1:3] = True
    mask = desk.store.add_mask(Mask(inside, volume.grid), image_id=image, structure="liver").mask_id
    for format in ("dicom_seg", "rtstruct"):
        try:
            use(desk, "export", mask_ids=[mask], format=format)
        except OstensorError as error:
            print(error)
print("came to the end")
"""


def bad_series(folder: Path) -> None:
    """Four slices of a CT whose patient and study elements are all invalid."""
    folder.mkdir()
    for number in range(4):
        data = ct_slice(2.5 * number)
        for keyword, vr, value in BAD:
            tag = pydicom.tag.Tag(keyword)
            data[tag] = RawDataElement(tag, vr, len(value), value.encode(), 0, False, True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom sees what is wrong with it
            data.save_as(folder / f"{number}.dcm", enforce_file_format=True)


@pytest.mark.parametrize("listening", ["nobody", "server", "captured"])
def test_a_header_full_of_bad_values_is_opened_and_written_without_a_word_of_them(
    tmp_path: Path, listening: str
) -> None:
    bad_series(tmp_path / "ct")
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SCRIPT, str(tmp_path), listening],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "came to the end" in done.stdout, done.stderr
    said = done.stderr + done.stdout + (tmp_path / "store" / "audit.jsonl").read_text(encoding="utf-8")
    words = [*(value for *_, value in BAD), "4711", "Secret", "19560203", "19560204", "heavy", "Doctor"]
    assert [word for word in words if word.lower() in said.lower()] == [], said
    assert "a remark on VR UI" in done.stderr, "the libraries did remark on it"
    assert listening == "nobody" or "a remark on PatientSize" in done.stderr
    assert "UserWarning: a remark on" in done.stderr


def test_elements_are_named_and_nothing_else_is_kept() -> None:
    wanted = "a remark on PatientBirthDate, PatientSize, VR DA; its words are withheld, for they may hold header values"
    assert (
        without_values("(0010,0030) tag 00101020: Invalid value for VR DA: '19560203' of VR ZZ Secret (1956,0203)")
        == wanted
    )
    assert without_values("Secret^Name") == without_values("19560203")
    assert without_values("Secret^Name").startswith("a remark on a header;")


@pytest.mark.parametrize("name", ["pydicom", "highdicom.seg.sop", "nibabel.global"])
def test_a_librarys_log_line_keeps_its_level_and_loses_its_words(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    withhold_header_values()
    ours = logging.getLogRecordFactory()
    monkeypatch.setattr(logging, "_logRecordFactory", lambda *given, **more: ours(*given, **more))  # as Ray does
    withhold_header_values()
    for logger in ("", "ostensor"):  # a server started by another test may have chosen other levels
        caplog.set_level(logging.WARNING, logger)
    born = "born 19560203"  # not in a line of code, which a trace shows
    try:
        raise ValueError(born)
    except ValueError:
        logging.getLogger(name).exception("%s was born", "Secret^Name")
    logging.getLogger("ostensor.imaging").warning("ours stays")
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "ours stays" in caplog.text
    assert "ValueError" in caplog.text
    assert "Secret" not in caplog.text
    assert "19560203" not in caplog.text


def test_a_librarys_warning_keeps_its_category_and_another_one_its_words() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        withhold_header_values()
        warn_and_log("PatientID: 4711", DeprecationWarning)
        warnings.warn("ours stays", UserWarning, stacklevel=1)
    assert [(one.category, str(one.message)) for one in found] == [
        (DeprecationWarning, without_values("PatientID")),
        (UserWarning, "ours stays"),
    ]
