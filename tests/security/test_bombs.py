"""Small files that would unpack to gigabytes, one for every door: refused, with the peak of the memory measured."""

import gzip
import io
import struct
import threading
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from ostensor.imaging.dicom.opening.frames_packed import pixels_told, rle_bytes
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.imaging.files import read_image
from ostensor.imaging.guards.limits import FREE_BYTES, Budget

from ..imaging.made_dicom import ct_slice
from ..imaging.made_dicom import save as save_dicom
from .memory import peak_below

MB = 1_000_000


def scaled_header(shape: tuple[int, int, int]) -> bytes:
    made = nibabel.Nifti1Header()
    made.set_data_dtype(np.uint8)
    made.set_data_shape(shape)
    made["vox_offset"], made["magic"], made["scl_slope"], made["scl_inter"] = 352, b"n+1", 0.5, 1
    made.set_sform(np.diag([1, 1, 1, 1]), code=1)
    return made.binaryblock + b"\0" * 4


def zeros_behind(start: bytes, count: int, *, wbits: int = 31) -> bytes:
    packer = zlib.compressobj(9, wbits=wbits)
    made = [packer.compress(start)]
    piece = b"\0" * MB
    for _ in range(count // MB):
        made.append(packer.compress(piece))
    made += [packer.compress(piece[: count % MB]), packer.flush()]
    return b"".join(made)


def test_a_nifti_is_judged_by_what_its_scaling_allocates(tmp_path: Path) -> None:
    """120 MB of bytes become 480 MB of floats; the packed file has 120 kB."""
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(zeros_behind(scaled_header((500, 500, 480)), 500 * 500 * 480))
    with peak_below(60), pytest.raises(BadCall, match="times its size"):
        read_image(path)


def test_scaling_holds_little_beside_the_scan(tmp_path: Path) -> None:
    """20 M voxels: 80 MB as float32, and nothing of 160 MB beside them; values are nibabel's."""
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(scaled_header((250, 200, 400)) + bytes(range(250)) * 80_000, 1))
    with peak_below(250):
        found = read_image(path, modality="mr").volume
    assert found is not None
    np.testing.assert_array_equal(found.array, np.asarray(nibabel.load(path).dataobj).astype(np.float32))


def deflated(tmp_path: Path, size: int) -> Path:
    """A slice whose data set is deflated and whose pixels go on for so long."""
    data = ct_slice(0.0)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.PixelData = b"\0\0"
    data.save_as(tmp_path / "small.dcm", enforce_file_format=True)
    raw = (tmp_path / "small.dcm").read_bytes()
    (tmp_path / "small.dcm").unlink()
    meta_end = 144 + struct.unpack("<I", raw[140:144])[0]
    body = zlib.decompress(raw[meta_end:], -15)
    body = body[: body.rindex(b"\xe0\x7f\x10\x00")] + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", size)
    path = tmp_path / "deflated.dcm"
    path.write_bytes(raw[:meta_end] + zeros_behind(body, size, wbits=-15))
    return path


def test_a_deflated_dicom_unpacks_no_further_than_a_scan_could(tmp_path: Path) -> None:
    """700 MB in 700 kB."""
    path = deflated(tmp_path, 700 * MB)
    with peak_below(400), pytest.raises(BadCall, match=r"damaged|times its size"):
        read_image(path)


def test_many_deflated_files_are_counted_together(tmp_path: Path) -> None:
    """Each of 100 MB passes; six in one folder do not."""
    made = deflated(tmp_path, 100 * MB).read_bytes()
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.dcm").write_bytes(made)
    with peak_below(300), pytest.raises(BadCall, match="times its size"):
        read_image(folder)


def test_an_honest_deflated_slice_is_read(tmp_path: Path) -> None:
    slices = [ct_slice(2.5 * n, value=n) for n in range(3)]
    for one in slices:
        one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    found = read_image(save_dicom(tmp_path / "a", slices)).volume
    assert found is not None
    np.testing.assert_array_equal(
        found.array, read_image(save_dicom(tmp_path / "b", [ct_slice(2.5 * n, value=n) for n in range(3)])).volume.array
    )  # type: ignore[union-attr]  # it is one


def zipped_slice(folder: Path, element: bytes, megabytes: int, *, then_pixels: bool) -> Path:
    """A slice in a zip whose element, the pixels themselves where `element` is empty, has so many MB of nearly nothing."""
    buffer = io.BytesIO()
    ct_slice(0.0).save_as(buffer, enforce_file_format=True)
    raw = buffer.getvalue()
    at = raw.rindex(b"\xe0\x7f\x10\x00")
    noise = np.random.default_rng(0).bytes(12_000) + b"\0" * (MB - 12_000)
    path = folder / "a.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.dcm", "w") as member,
    ):
        member.write(raw[:at] + (element or raw[at : at + 8]) + struct.pack("<I", megabytes * MB))
        for _ in range(megabytes):
            member.write(noise)
        if then_pixels:
            member.write(raw[at:])
    return path


def test_a_member_of_a_zip_is_not_held_as_a_whole(tmp_path: Path) -> None:
    """400 MB in 5 MB: below the ratio, all of it in one element before the pixels."""
    path = zipped_slice(tmp_path, b"\x11\x60\x10\x00OB\0\0", 400, then_pixels=True)
    with peak_below(100), pytest.raises(BadCall, match="damaged"):
        read_image(path)


def test_a_header_of_a_million_empty_items_is_given_up(tmp_path: Path) -> None:
    """8 bytes in the file, two kilobytes in memory."""
    data = ct_slice(0.0)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    raw = (tmp_path / "a.dcm").read_bytes()
    at = raw.rindex(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_500_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    (tmp_path / "a.dcm").write_bytes(raw[:at] + b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + items + raw[at:])
    with peak_below(700), pytest.raises(BadCall, match="damaged"):
        read_image(tmp_path / "a.dcm")


def test_an_archive_is_opened_once_however_many_slices_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            buffer = io.BytesIO()
            ct_slice(2.5 * number).save_as(buffer, enforce_file_format=True)
            archive.writestr(f"{number}.dcm", buffer.getvalue())
    opened = []
    real = zipfile.ZipFile.__init__
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda self, *a, **k: (opened.append(1), real(self, *a, **k))[1])
    assert read_image(tmp_path / "a.zip").volume.array.shape[2] == 40  # type: ignore[union-attr]  # it is one
    assert len(opened) == 1


def test_an_archive_with_a_huge_directory_or_an_odd_method_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(20_001):
            archive.writestr(f"{number}", b"")
    with pytest.raises(BadCall, match="20000 files"):
        read_image(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.dcm", b"x" * 1000)
    with pytest.raises(BadCall, match="another method"):
        read_image(tmp_path / "b.zip")


def test_a_picture_that_is_all_one_grey_is_judged_by_its_pixels(tmp_path: Path) -> None:
    Image.new("L", (9000, 9000)).save(tmp_path / "a.png")
    with peak_below(60), pytest.raises(BadCall, match="times its size"):
        read_image(tmp_path / "a.png")


def j2k_says(width: int, height: int) -> bytes:
    return (
        b"\xff\x4f\xff\x51"
        + struct.pack(">HH8IH", 41, 0, width, height, 0, 0, width, height, 0, 0, 1)
        + b"\x0f\1\1" * 3
    )


def jpeg_says(width: int, height: int) -> bytes:
    return (
        b"\xff\xd8\xff\xe0\x00\x04ab"
        + b"\xff\xc3\x00\x0b\x10"
        + struct.pack(">HHB", height, width, 1)
        + b"\1\x11\0\xff\xd9"
    )


@pytest.mark.parametrize(("syntax", "frame"), [(JPEG2000Lossless, j2k_says), (JPEGLosslessSV1, jpeg_says)])
def test_a_packed_frame_larger_than_its_header_says_is_not_decoded(tmp_path: Path, syntax: str, frame) -> None:  # type: ignore[no-untyped-def]  # a function from above
    """The header says 6 x 5 pixels, the stream 60,000 x 60,000: a decoder would make room for those."""
    assert pixels_told(frame(60_000, 50_000)) == 3_000_000_000
    data = ct_slice(0.0)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate([frame(60_000, 60_000)])
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with peak_below(60), pytest.raises(BadCall, match="cannot be decoded"):
        read_image(tmp_path / "a.dcm")


def test_a_run_length_frame_is_counted_before_it_is_unpacked(tmp_path: Path) -> None:
    frame = struct.pack("<16L", 1, 64, *([0] * 14)) + b"\x81\x00" * 2_000_000
    assert rle_bytes(frame, most=10**9) == 256_000_000
    data = ct_slice(0.0)
    data.file_meta.TransferSyntaxUID = RLELossless
    data.PixelData = encapsulate([frame])
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with peak_below(60), pytest.raises(BadCall, match="cannot be decoded"):
        read_image(tmp_path / "a.dcm")


def test_a_budget_is_shared_and_refuses_clearly() -> None:
    budget = Budget(1000)
    with pytest.raises(BadCall, match="would take"), budget.reserved("a", 1001):
        pass
    with (
        budget.reserved("a", 600),
        pytest.raises(Unavailable, match="other scans"),
        budget.reserved("b", 600, wait_s=0.01),
    ):
        pass
    with budget.reserved("b", 1000):
        pass


def test_who_waits_for_memory_gets_it_when_another_scan_is_stored() -> None:
    budget, began, got = Budget(1000), threading.Event(), threading.Event()

    def second() -> None:
        began.set()
        with budget.reserved("b", 700, wait_s=60):
            got.set()

    with budget.opening():
        with budget.reserved("a", 600):
            pass
        thread = threading.Thread(target=second)
        thread.start()
        assert began.wait(30)
        assert not got.wait(0.05), "the first scan is still held until it is stored"
    assert got.wait(30)
    thread.join()
    assert Budget().most > FREE_BYTES


def test_pixels_are_read_no_further_than_the_header_says(tmp_path: Path) -> None:
    """A slice of 6 x 5 pixels with 250 MB of them, in a zip of 3 MB: nobody reads the rest."""
    path = zipped_slice(tmp_path, b"", 250, then_pixels=False)
    with peak_below(60):
        assert read_image(path).volume is not None


def test_a_nifti_header_of_a_million_extensions_is_walked_not_kept(tmp_path: Path) -> None:
    made = nibabel.Nifti1Header()
    made.set_data_dtype(np.uint8)
    made.set_data_shape((5, 7, 11))
    made.set_sform(np.diag([1, 1, 1, 1]), code=1)
    count = 1_000_000
    made["vox_offset"], made["magic"] = 352 + 16 * count, b"n+1"
    body = made.binaryblock + b"\1\0\0\0" + struct.pack("<2i8x", 16, 4) * count + bytes(range(77)) * 5
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(body, 1))
    with peak_below(100):
        assert read_image(tmp_path / "a.nii.gz", modality="mr").volume is not None
