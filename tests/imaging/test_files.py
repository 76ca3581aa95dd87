"""Reading and writing: answers from nibabel, SimpleITK and pydicom; every bad file is refused by name."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image, write_volume
from ostensor.imaging.formats.table import IMAGE_ENDINGS
from ostensor.imaging.volume import Grid, Volume

SHAPE = (5, 7, 11)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("zyx", (97, 4, -6), degrees=True).as_matrix() @ np.diag([0.7, 0.9, 3.0])
AFFINE[:3, 3] = (-31.3, 17.9, 5.5)


def _values() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 900, SHAPE).astype(np.int16)


def _opened(path: Path) -> Volume:
    volume = read_image(path).volume
    assert volume is not None
    return volume


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd"])
def test_what_is_written_reads_back_here_and_in_other_libraries(tmp_path: Path, name: str) -> None:
    write_volume(tmp_path / name, _values(), Grid(SHAPE, AFFINE), synthetic=True)
    volume = _opened(tmp_path / name)
    np.testing.assert_array_equal(volume.array, _values())
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-4)
    assert volume.synthetic, "the mark survives in the header"
    if name.endswith("nrrd"):
        image = sitk.ReadImage(str(tmp_path / name))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, _values())
        index = (3, 5, 7)
        theirs = np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        np.testing.assert_allclose(theirs, (AFFINE @ [*index, 1])[:3], atol=1e-4)
    else:
        image = nibabel.load(tmp_path / name)
        np.testing.assert_array_equal(np.asarray(image.dataobj), _values())
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
        np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [name], "no temporary file is left"


def test_masks_are_written_as_zero_and_one(tmp_path: Path) -> None:
    write_volume(tmp_path / "m.nii.gz", _values() > 0, Grid(SHAPE, AFFINE))
    back = np.asarray(nibabel.load(tmp_path / "m.nii.gz").dataobj)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, _values() > 0)


def test_scale_factors_units_and_qform_only_files_are_honoured(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(_values(), AFFINE)
    image.header.set_slope_inter(0.5, -3.0)
    image.set_sform(None, code=0)
    image.set_qform(AFFINE, code=1)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = _opened(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.array, np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj), rtol=1e-6)
    np.testing.assert_allclose(volume.grid.spacing_mm, np.array([0.7, 0.9, 3.0]) / 1000, rtol=1e-3)


def test_a_file_without_geometry_has_no_spacing_invented(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(_values(), None), tmp_path / "a.nii")
    opened = read_image(tmp_path / "a.nii")
    assert opened.volume is not None
    assert not opened.volume.grid.spacing_known
    assert any("no voxel size" in warning for warning in opened.warnings)


def test_a_2d_file_has_no_thickness_invented(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(_values()[:, :, 0], np.diag([0.7, 0.9, 1, 1])), tmp_path / "a.nii")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((7, 5), np.int16)), str(tmp_path / "a.mha"))
    for name in ("a.nii", "a.mha"):
        opened = read_image(tmp_path / name)
        assert opened.volume is not None
        assert not opened.volume.grid.spacing_known
        assert any("thickness is not known" in warning for warning in opened.warnings)


def test_two_geometries_that_differ_are_reported(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(_values(), AFFINE)
    image.set_sform(AFFINE, code=1)
    image.set_qform(np.diag([0.7, 0.9, 3, 1]), code=1)
    nibabel.save(image, tmp_path / "a.nii")
    assert any("sform and qform" in w for w in read_image(tmp_path / "a.nii").warnings)


def test_one_time_point_is_a_volume(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(_values()[..., None], AFFINE), tmp_path / "a.nii")
    assert _opened(tmp_path / "a.nii").array.shape == SHAPE


def _save(array: np.ndarray, path: Path, affine: np.ndarray | None = AFFINE) -> None:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def _bad_affine(path: Path) -> None:
    image = nibabel.Nifti1Image(_values(), AFFINE)
    image.header["srow_x"], image.header["srow_y"] = (1, 0, 0, 0), (1, 0, 0, 0)
    image.header["sform_code"] = 1
    path.write_bytes(image.header.binaryblock + b"\0" * 4 + _values().tobytes(order="F"))


def _truncated(path: Path) -> None:
    _save(_values(), path.with_suffix(".whole.nii.gz"))
    path.write_bytes(path.with_suffix(".whole.nii.gz").read_bytes()[:-60])


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "series": ("a.nii", lambda p: _save(np.zeros((5, 7, 11, 3), np.int16), p), "4-D series"),
    "complex": ("a.nii", lambda p: _save(np.zeros(SHAPE, np.complex64), p), "complex"),
    "colour": ("a.nii", lambda p: _save(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), p), "colour"),
    "nan": ("a.nii", lambda p: _save(np.full(SHAPE, np.nan, np.float32), p), "NaN"),
    "thin": ("a.nii", lambda p: _save(np.zeros((1, 7, 11), np.int16), p), "at least 2"),
    "singular": ("a.nii", _bad_affine, "singular"),
    "truncated gzip": ("a.nii.gz", _truncated, "cut short"),
    "truncated": ("a.nii", lambda p: (_save(_values(), p), p.write_bytes(p.read_bytes()[:-60])), "cut short"),
    "wrong magic": ("a.nii", lambda p: p.write_bytes(b"hello world, this is no image" * 30), "not a NIfTI"),
    "gzip of nothing": ("a.nii.gz", lambda p: p.write_bytes(gzip.compress(b"")), "not a NIfTI"),
    "empty": ("a.nii", lambda p: p.write_bytes(b""), "empty"),
    "unknown ending": ("a.txt", lambda p: p.write_text("x"), "no supported kind"),
    "empty folder": ("folder", lambda p: p.mkdir(), "no DICOM image"),
    "broken nrrd": ("a.nrrd", lambda p: p.write_bytes(b"NRRD0004\ntype: short\n"), "cannot be read"),
    "broken png": ("a.png", lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n123"), "cannot be read"),
    "colour png": (
        "a.png",
        lambda p: Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8)).save(p),
        "colour picture",
    ),
    "colour mha": (
        "a.mha",
        lambda p: sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True), str(p)),
        "colour",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_the_reason_and_no_folder(tmp_path: Path, case: str) -> None:
    name, make, fact = BAD[case]
    make(tmp_path / name)
    with pytest.raises(BadCall, match=fact) as refusal:
        read_image(tmp_path / name)
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize("ending", [*IMAGE_ENDINGS, ".dcm", ".zip"])
def test_random_bytes_never_raise_anything_but_a_refusal(tmp_path: Path, ending: str) -> None:
    for seed in range(5):
        content = np.random.default_rng(seed).bytes(700)
        for prefix in (
            b"",
            b"\x5c\x01\x00\x00",
            b"\x1f\x8b\x08\x00",
            b"NRRD0004\n",
            b"PK\x03\x04",
            b"\0" * 128 + b"DICM",
        ):
            (tmp_path / f"a{ending}").write_bytes(prefix + content)
            with pytest.raises(BadCall):
                read_image(tmp_path / f"a{ending}")


def test_a_missing_file_and_a_wrong_modality_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="does not exist"):
        read_image(tmp_path / "none.nii")
    with pytest.raises(BadCall, match="Unknown modality"):
        read_image(tmp_path, modality="xray")  # type: ignore[arg-type]  # the refusal under test


@pytest.mark.parametrize(("ending", "bits"), [(".png", "u1"), (".png", "u2"), (".tif", "u2"), (".jpg", "u1")])
def test_pictures_become_one_slice_without_spacing(tmp_path: Path, ending: str, bits: str) -> None:
    rows = (np.arange(9 * 6).reshape(9, 6) * 3).astype(bits)
    Image.fromarray(rows).save(tmp_path / f"a{ending}")
    volume = _opened(tmp_path / f"a{ending}")
    assert volume.array.shape == (6, 9, 1)
    assert not volume.grid.spacing_known
    if ending != ".jpg":  # lossy
        np.testing.assert_array_equal(volume.array[:, :, 0], rows.T)
    assert volume.grid.axis_codes[:2] == "LP", "left edge of the picture is the patient's right"


def _slice(
    height: float,
    *,
    value: int = 0,
    rows: int = 6,
    uid: str = "1.2.3",
    direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID, data.SeriesInstanceUID, data.Modality = "Secret^Name", "4711", uid, "CT"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = rows, 5, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelSpacing, data.SliceThickness = [0.8, 0.6], 2.5
    data.ImageOrientationPatient, data.ImagePositionPatient = list(direction), [10.0, 20.0, height]
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = (np.arange(rows * 5).reshape(rows, 5) + value).astype(np.uint16).tobytes()
    return data


def _folder(tmp_path: Path, slices: list[FileDataset]) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for number, data in enumerate(slices):
        data.save_as(folder / f"{(number * 7) % 11:02d}.dcm", enforce_file_format=True)
    return folder


def test_slices_are_ordered_by_position_and_rescaled(tmp_path: Path) -> None:
    """Heights and values were chosen so that file order, height order and value order all differ."""
    heights = [7.5, 0.0, 5.0, 2.5]
    volume = _opened(_folder(tmp_path, [_slice(h, value=round(h * 40)) for h in heights]))
    assert volume.modality == "ct"
    np.testing.assert_array_equal(volume.array[0, 0], np.array([0, 100, 200, 300]) - 1024)
    assert volume.array[2, 3, 0] == 3 * 5 + 2 - 1024, "x runs along a row"
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.6, 0.8, 2.5))
    np.testing.assert_allclose(volume.grid.affine @ [0, 0, 3, 1], [-10, -20, 7.5, 1])
    assert volume.grid.axis_codes == "LPS"


def test_a_zip_and_a_single_file_open_like_the_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path, [_slice(h) for h in (0.0, 2.5, 5.0)])
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"deep/{file.name}")
    assert _opened(tmp_path / "study.zip").content_hash == _opened(folder).content_hash
    assert _opened(next(iter(sorted(folder.iterdir())))).array.shape == (5, 6, 1)


def test_several_series_are_listed_without_identifiers(tmp_path: Path) -> None:
    folder = _folder(tmp_path, [*(_slice(h) for h in (0.0, 2.5)), *(_slice(h, uid="9.9.9") for h in (0.0, 2.0, 4.0))])
    opened = read_image(folder)
    assert opened.volume is None
    assert [row.slices for row in opened.series] == [3, 2]
    assert not any(secret in repr(opened) for secret in ("Secret", "4711", "9.9.9"))
    chosen = read_image(folder, series=opened.series[0].series).volume
    assert chosen is not None
    assert chosen.array.shape == (5, 6, 3)
    with pytest.raises(BadCall, match="no series"):
        read_image(folder, series="ser_x")


BAD_SERIES: dict[str, tuple[list[FileDataset], str]] = {
    "mixed sizes": ([_slice(0.0), _slice(2.5, rows=4)], "different sizes"),
    "gap": ([_slice(h) for h in (0.0, 2.5, 7.5, 10.0)], "5.00 mm after slice 2, usually 2.50"),
    "twice": ([_slice(h) for h in (0.0, 2.5, 2.5)], "same place"),
    "turned": ([_slice(0.0), _slice(2.5, direction=(0, 1, 0, 0, 0, 1))], "different directions"),
}


@pytest.mark.parametrize("case", BAD_SERIES)
def test_unsound_series_are_refused(tmp_path: Path, case: str) -> None:
    slices, fact = BAD_SERIES[case]
    with pytest.raises(BadCall, match=fact):
        read_image(_folder(tmp_path, slices))


def test_a_slice_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    broken = _slice(2.5)
    broken.PixelData = broken.PixelData[:-20]
    with pytest.raises(BadCall, match="cannot be decoded"):
        read_image(_folder(tmp_path, [_slice(0.0), broken]))


@pytest.mark.data
def test_the_real_dicom_ct_and_its_nifti_label_map_lie_on_one_grid(shared_data: Path) -> None:
    """The data set ships labels made on the same series by another program."""
    folder = shared_data / "totalsegmentator_example"
    volume = _opened(folder / "example_ct_dicom")
    labels = nibabel.as_closest_canonical(nibabel.load(folder / "example_seg_dicom.nii.gz"))
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.array, volume.grid.affine))
    assert ours.shape == labels.shape
    np.testing.assert_allclose(ours.affine, labels.affine, atol=0.01)
    bone = np.asarray(ours.dataobj)[np.asarray(labels.dataobj) > 0]
    assert bone.mean() > -100, "the labels lie on the body, not on air"


@pytest.mark.data
def test_all_orientations_of_one_head_are_the_same_head(shared_data: Path) -> None:
    files = sorted((shared_data / "nifti_orientations").glob("*.nii.gz"))
    seen = set()
    for file in files:
        volume = _opened(file)
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.array, volume.grid.affine))
        seen.add((image.shape, int(np.asarray(image.dataobj).astype(np.int64).sum())))
    assert len(files) > 10
    assert len(seen) <= 2


def test_the_dicom_reader_of_the_tests_writes_what_pydicom_reads(tmp_path: Path) -> None:
    """Guards the fixtures above."""
    folder = _folder(tmp_path, [_slice(0.0)])
    assert pydicom.dcmread(next(folder.iterdir())).pixel_array.shape == (6, 5)
