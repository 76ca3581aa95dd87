"""Multipart bodies in pieces; the standard library's email package wrote the expected parts apart."""

import random
from email.message import Message
from pathlib import Path

import pytest

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.store.archives.downloads import Meter
from ostensor.store.archives.multipart import boundary_of, save_parts

BOUNDARY = b"b0unDary-x"


def dicom(text: bytes) -> bytes:
    return b"\0" * 128 + b"DICM" + text


PARTS = (
    dicom(b""),
    dicom(b"\r\n--b0unDary-\r\n\r\n--b0unDary"),  # nearly a boundary, twice
    dicom(bytes(range(256)) * 300),
    dicom(b"\r\n\r\n\r\n"),
)


def body(*parts: bytes, head: bytes = b"Content-Type: application/dicom\r\n", before: bytes = b"") -> bytes:
    told = b"".join(b"--%b\r\n%b\r\n%b\r\n" % (BOUNDARY, head, part) for part in parts)
    return before + told + b"--%b--\r\nepilogue" % BOUNDARY


def pieces(whole: bytes, draw: random.Random) -> list[bytes]:
    cuts = sorted(draw.randrange(len(whole) + 1) for _ in range(draw.randrange(40)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def saved(chunks: list[bytes], folder: Path, **allowed: int) -> list[bytes]:
    folder.mkdir(exist_ok=True)
    meter = Meter("toy", allowed.get("most_bytes", 10**8), expected=allowed.get("expected", 0))
    count = save_parts(chunks, BOUNDARY, folder, meter)
    found = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert len(found) == count
    return found


@pytest.mark.parametrize("seed", range(30))
def test_parts_are_the_same_however_the_body_arrives(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    whole = body(*PARTS, before=draw.choice((b"", b"\r\n", b"a preamble\r\n")))
    assert saved(pieces(whole, draw), tmp_path / "p") == list(PARTS)


def test_a_byte_at_a_time(tmp_path: Path) -> None:
    whole = body(*PARTS[:2], PARTS[3])
    assert saved([whole[n : n + 1] for n in range(len(whole))], tmp_path / "p") == [*PARTS[:2], PARTS[3]]


def test_parts_without_a_header(tmp_path: Path) -> None:
    assert saved([body(*PARTS, head=b"")], tmp_path / "p") == list(PARTS)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_body_that_ends_early_is_noticed(share: float, tmp_path: Path) -> None:
    whole = body(*PARTS).removesuffix(b"--\r\nepilogue")
    with pytest.raises(Unavailable, match="ended before it was complete"):
        saved([whole[: int(share * len(whole))]], tmp_path / "p")


def test_a_body_that_ends_after_a_part_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ended before it was complete"):
        saved([body(*PARTS).removesuffix(b"--\r\nepilogue")], tmp_path / "p")


def test_a_part_that_is_no_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no DICOM file"):
        saved([body(PARTS[0], b"<html>")], tmp_path / "p")


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="header does not end"):
        saved([b"--%b\r\n" % BOUNDARY, *[b"x: y\r\n" * 1000] * 10], tmp_path / "p")


def test_more_bytes_than_allowed_stop_the_download_before_they_are_all_written(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="larger than 1e-05 GB"):
        saved([body(PARTS[2])[n : n + 1000] for n in range(0, 77_000, 1000)], tmp_path / "p", most_bytes=10_000)
    assert sum(path.stat().st_size for path in (tmp_path / "p").iterdir()) <= 10_000


def test_more_instances_than_announced_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="more than 2 instances, twice what it announced"):
        saved([body(*PARTS[:2], PARTS[3])], tmp_path / "p", expected=1)


@pytest.mark.parametrize("quoted", [True, False])
def test_the_boundary_is_the_one_the_standard_library_finds(quoted: bool) -> None:
    kind = f'multipart/related; type="application/dicom"; boundary={"%s"}; start=x' % (
        '"a-b.c=d"' if quoted else "a-b.c"
    )
    message = Message()
    message["Content-Type"] = kind
    assert boundary_of(kind, "toy").decode() == message.get_boundary()


@pytest.mark.parametrize("kind", ["text/html", "", "multipart/related", "multipart/form-data; boundary=x"])
def test_other_kinds_of_answer_are_refused(kind: str) -> None:
    with pytest.raises(Unavailable, match="DICOM files were asked for"):
        boundary_of(kind, "toy")
