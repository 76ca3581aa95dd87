"""DICOM in: read rightly or refused with the reason. Expected values are analytic, or another program's reading."""

import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import MPEG2MPML, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image
from ostensor.imaging.opened import Opened
from ostensor.imaging.volume import Volume

from ..made_dicom import COLUMNS, ROWS, SECRETS, ct_slice, enhanced_mr, item, pet_slice, save

HEIGHTS = (0.0, 2.5, 5.0, 7.5, 10.0)


def volume_of(path: Path, series: str | None = None) -> Volume:
    opened = read_image(path, series=series)
    assert opened.volume is not None
    return opened.volume


def tilted(height: float, degrees: float = 15.0) -> pydicom.Dataset:
    """A slice of a CT whose gantry leans: planes stay axial, positions slide along y."""
    shift = float(np.tan(np.radians(degrees))) * height
    return ct_slice(height, ImagePositionPatient=[10.0, 20.0 + shift, height])


def test_a_gantry_tilt_becomes_a_sheared_affine_and_a_warning(tmp_path: Path) -> None:
    opened = read_image(save(tmp_path / "ct", [tilted(h) for h in HEIGHTS]))
    assert opened.volume is not None
    step = opened.volume.grid.affine[:3, 2]
    np.testing.assert_allclose(step, (0, -np.tan(np.radians(15)) * 2.5, 2.5), atol=1e-6)
    np.testing.assert_allclose(opened.volume.grid.voxel_ml, 0.8 * 0.6 * 2.5 / 1000, rtol=1e-9)
    assert any("gantry tilt of 15.0 degrees" in note for note in opened.warnings)


def test_slices_off_the_line_are_refused(tmp_path: Path) -> None:
    slices = [ct_slice(h, ImagePositionPatient=[10.0, 20.0 + (h == 5.0) * 1.5, h]) for h in HEIGHTS]
    with pytest.raises(BadCall, match=r"slice 3 is 1\.50 mm off"):
        read_image(save(tmp_path / "ct", slices))


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_missing_slice_is_refused_with_its_place(tmp_path: Path, gone: int) -> None:
    slices = [ct_slice(h) for n, h in enumerate(HEIGHTS) if n != gone]
    with pytest.raises(BadCall, match=rf"missing or unevenly spaced: 5\.00 mm after slice {gone}, usually 2\.50"):
        read_image(save(tmp_path / "ct", slices))


def test_irregular_spacing_is_refused_and_rounding_is_not(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="unevenly spaced"):
        read_image(save(tmp_path / "uneven", [ct_slice(h) for h in (0.0, 2.5, 5.0, 7.8, 10.0)]))
    rounded = volume_of(save(tmp_path / "even", [ct_slice(h) for h in (0.0, 2.5, 5.01, 7.49, 10.0)]))
    assert rounded.grid.spacing_mm[2] == pytest.approx(2.5)


def test_copies_of_a_slice_count_once_and_are_reported(tmp_path: Path) -> None:
    slices = [ct_slice(h, value=round(h)) for h in HEIGHTS]
    folder = save(tmp_path / "ct", [*slices, slices[2], slices[4]])
    opened = read_image(folder)
    assert opened.volume is not None
    assert opened.volume.array.shape == (COLUMNS, ROWS, 5)
    assert any("2 duplicated slices" in note for note in opened.warnings)


def test_two_files_that_claim_to_be_one_slice_are_refused(tmp_path: Path) -> None:
    first, other = ct_slice(0.0), ct_slice(0.0, value=3)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    with pytest.raises(BadCall, match="claim to be the same slice but differ"):
        read_image(save(tmp_path / "ct", [first, other, ct_slice(2.5)]))


def test_different_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="2 slices lie at the same place"):
        read_image(save(tmp_path / "ct", [ct_slice(0.0), ct_slice(2.5), ct_slice(2.5, value=9)]))


def test_echoes_of_one_series_are_named_and_chosen(tmp_path: Path) -> None:
    slices = [
        ct_slice(h, value=round(echo), Modality="MR", EchoTime=str(echo)) for h in HEIGHTS for echo in (4.6, 90.0)
    ]
    folder = save(tmp_path / "mr", slices)
    with pytest.raises(BadCall, match=r"different times or echoes.*echo time 4\.6, 5 slices.*echo time 90") as refusal:
        read_image(folder)
    alias = next(word for word in str(refusal.value).replace(":", " ").split() if word.endswith("-2"))
    second = volume_of(folder, alias)
    assert second.array.shape == (COLUMNS, ROWS, 5)
    assert int(second.array.min()) == 90 - 1024, "the values of the second echo"


def test_a_localiser_in_the_series_is_refused_with_the_choice(tmp_path: Path) -> None:
    side = ct_slice(0.0, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    folder = save(tmp_path / "ct", [*(ct_slice(h) for h in HEIGHTS), side])
    with pytest.raises(BadCall, match=r"different directions.*axial 6x5, 5 slices.*sagittal 6x5, 1 slices") as refusal:
        read_image(folder)
    alias = next(word for word in str(refusal.value).replace(":", " ").split() if word.endswith("-1"))
    assert volume_of(folder, alias).array.shape[2] == 5


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "unit vectors"),
        ({"ImagePositionPatient": None}, "lack position"),
        ({"PixelSpacing": None}, "lack position, orientation or pixel spacing"),
        ({"PixelSpacing": [0, 0.6]}, "pixel spacing"),
        ({"RescaleSlope": "0"}, "means nothing"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
    ],
)
def test_headers_that_do_not_make_sense_are_refused(tmp_path: Path, changes: dict[str, object], fact: str) -> None:
    with pytest.raises(BadCall, match=fact):
        read_image(save(tmp_path / "ct", [ct_slice(h, **changes) for h in HEIGHTS]))


def test_a_single_slice_without_thickness_gives_no_volume(tmp_path: Path) -> None:
    opened = read_image(save(tmp_path / "ct", [ct_slice(0.0, SliceThickness=None)]))
    assert opened.volume is not None
    assert not opened.volume.grid.spacing_known
    assert any("no volume" in note for note in opened.warnings)


def test_colour_is_refused_and_grey_stored_as_colour_is_read(tmp_path: Path) -> None:
    def us(red: int) -> pydicom.Dataset:
        grey = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)
        pixels = np.stack([grey + np.uint8(red), grey, grey], axis=-1)
        return ct_slice(
            0.0, Modality="US", SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB",
            BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=pixels.tobytes(), ImagePositionPatient=None,
            ImageOrientationPatient=None, PixelSpacing=None, RescaleSlope=None, RescaleIntercept=None,
            SequenceOfUltrasoundRegions=[item(PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3,
                                              PhysicalDeltaX=0.02, PhysicalDeltaY=0.03)],
        )  # fmt: skip

    with pytest.raises(BadCall, match="in colour"):
        read_image(save(tmp_path / "colour", [us(40)]))
    opened = read_image(save(tmp_path / "grey", [us(0)]))
    assert opened.volume is not None
    assert opened.volume.modality == "us"
    np.testing.assert_array_equal(opened.volume.array[:, :, 0].T.ravel(), np.arange(ROWS * COLUMNS))
    assert any("0.2 x 0.3 mm" in note for note in opened.warnings), "1/10 of the deltas in cm"
    assert not opened.volume.grid.spacing_known


def test_a_film_without_places_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros(3 * ROWS * COLUMNS, np.uint16).tobytes()
    film = ct_slice(0.0, Modality="US", NumberOfFrames=3, PixelData=pixels)
    with pytest.raises(BadCall, match=r"3 frames\) tells no place per frame"):
        read_image(save(tmp_path / "us", [film]))


def test_radiographs_are_flat_and_bright_is_high(tmp_path: Path) -> None:
    flat = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "RescaleIntercept": "0", "Modality": "DX"}
    plain, inverted = (
        volume_of(save(tmp_path / kind, [ct_slice(0.0, PhotometricInterpretation=kind, **flat)]))
        for kind in ("MONOCHROME2", "MONOCHROME1")
    )
    np.testing.assert_array_equal(inverted.array, 29 - plain.array)
    assert plain.modality == "xr"
    assert not plain.grid.spacing_known, "a projection has no mm in the patient"


def test_two_radiographs_of_a_series_are_a_choice(tmp_path: Path) -> None:
    flat = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "Modality": "CR"}
    folder = save(tmp_path / "cr", [ct_slice(0.0, **flat), ct_slice(0.0, value=5, **flat)])
    with pytest.raises(BadCall, match="series set to one of 2"):
        read_image(folder)


def test_frames_of_an_enhanced_mr_are_ordered_and_rescaled_one_by_one(tmp_path: Path) -> None:
    heights = [6.0, 0.0, 3.0]
    opened = read_image(save(tmp_path / "mr", [enhanced_mr(heights)]))
    assert opened.volume is not None
    assert opened.volume.modality == "mr"
    np.testing.assert_allclose(opened.volume.grid.spacing_mm, (0.6, 0.8, 3.0))
    frames = np.arange(3 * ROWS * COLUMNS).reshape(3, ROWS, COLUMNS)
    wanted = np.stack([frames[n] * (n + 1) + 0.5 for n in (1, 2, 0)])
    np.testing.assert_allclose(opened.volume.array, wanted.transpose(2, 1, 0))
    assert any("lie 3 mm apart" in note for note in opened.warnings)
    assert opened.source is not None
    assert [instance.frame for instance in opened.source.instances] == [2, 3, 1]


def test_unsound_enhanced_files_are_refused(tmp_path: Path) -> None:
    cases = {
        "same place": enhanced_mr([0.0, 3.0, 3.0]),
        "missing or unevenly": enhanced_mr([0.0, 3.0, 9.0, 12.0]),
        "describes 3": enhanced_mr([0.0, 3.0, 6.0], NumberOfFrames=4),
    }
    turned = enhanced_mr([0.0, 3.0, 6.0])
    turned.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [
        item(ImageOrientationPatient=[0, 1, 0, 0, 0, 1])
    ]
    for number, (fact, data) in enumerate({**cases, "different directions": turned}.items()):
        with pytest.raises(BadCall, match=fact):
            read_image(save(tmp_path / str(number), [data]))


def test_a_zip_is_read_without_unpacking_and_refused_when_damaged_or_locked(tmp_path: Path) -> None:
    folder = save(tmp_path / "ct", [ct_slice(h) for h in HEIGHTS])
    archive = tmp_path / "ct.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("notes/readme.txt", "no image")
        for file in folder.iterdir():
            packed.write(file, f"../../{file.name}")
    assert volume_of(archive).content_hash == volume_of(folder).content_hash
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "ct.zip"]
    whole = archive.read_bytes()
    locked = bytearray(whole)
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = locked.find(magic)
        while start >= 0:
            locked[start + flags] |= 1  # the "encrypted" bit
            start = locked.find(magic, start + 4)
    archive.write_bytes(bytes(locked))
    with pytest.raises(BadCall, match="encrypted"):
        read_image(archive)


def test_other_dicom_is_named_and_other_files_are_passed_over(tmp_path: Path) -> None:
    folder = save(tmp_path / "ct", [ct_slice(h) for h in HEIGHTS])
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 40)
    (folder / "notes.txt").write_text("seen by S. Nobody", encoding="utf-8")
    (folder / "empty.dcm").write_bytes(b"")
    assert volume_of(folder).array.shape == (COLUMNS, ROWS, 5)
    only = save(tmp_path / "sr", [ct_slice(0.0, Modality="SR", Rows=None, PixelData=None)])
    with pytest.raises(BadCall, match="DICOM of kind SR"):
        read_image(only)


def test_a_damaged_header_is_left_out_and_reported(tmp_path: Path) -> None:
    folder = save(tmp_path / "ct", [ct_slice(h) for h in HEIGHTS])
    bad = (folder / next(iter(sorted(p.name for p in folder.iterdir())))).read_bytes()
    (folder / "bad.dcm").write_bytes(bad.replace(b"0.8\\0.6 ", b"zero\\one"))
    assert any("1 image files with damaged headers" in note for note in read_image(folder).warnings)


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "ct", [ct_slice(0.0)])
    path = next(folder.iterdir())
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    body = tmp_path / "old.dcm"
    data.save_as(body, implicit_vr=True, little_endian=True)
    raw = body.read_bytes()
    start = raw.index(b"\x08\x00\x16\x00")  # SOPClassUID: the first element after the file meta group
    body.write_bytes(raw[start:])
    np.testing.assert_array_equal(volume_of(body).array, volume_of(path).array)


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
    ],
)
def test_compressed_files_equal_the_plain_one(compressed: str, plain: str) -> None:
    """pydicom's own test files: one MR slice in several transfer syntaxes."""
    one, other = (Path(str(get_testdata_file(name))) for name in (compressed, plain))
    assert volume_of(one).content_hash == volume_of(other).content_hash


def test_a_compression_nobody_decodes_is_named(tmp_path: Path) -> None:
    data = ct_slice(0.0, PixelData=encapsulate([b"\0" * 64]))
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(BadCall, match="MPEG2 Main Profile"):
        read_image(save(tmp_path / "film", [data]))
    for syntax in (RLELossless, JPEG2000Lossless):
        data.file_meta.TransferSyntaxUID = syntax
        with pytest.raises(BadCall, match="cannot be decoded"):
            read_image(save(tmp_path / syntax, [data]))


def test_no_identifier_is_in_anything_that_is_answered(tmp_path: Path) -> None:
    slices = [ct_slice(h, SeriesInstanceUID=uid) for uid in ("1.2.840.999.7", "1.2.840.999.8") for h in HEIGHTS]
    folder = save(tmp_path / "study", slices)
    said = repr(read_image(folder))
    chosen = read_image(folder, series=read_image(folder).series[0].series)
    for bad in ([ct_slice(0.0), ct_slice(9.0), ct_slice(10.0)], [ct_slice(0.0, Modality="SR", Rows=None)]):
        with pytest.raises(BadCall) as refusal:
            read_image(save(tmp_path / str(len(bad)), bad))
        said += str(refusal.value)
    said += repr(chosen)
    assert chosen.source is not None, "kept for the store"
    assert not any(secret in said for secret in SECRETS), said


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        # Analytic: weight in g / (dose * 2^-(delay / half-life)); 10:05:06 to 11:00:00 is half of the half-life of 6588 s.
        ({}, 70_000 / (370e6 * 2 ** (-3294 / 6588))),
        ({"DecayCorrection": "ADMIN"}, 70_000 / 370e6),
        ({"SeriesTime": "002706.00", "AcquisitionTime": "002706.00", "injected": "233212"}, 70_000 / (370e6 / 2**0.5)),
    ],
)
def test_pet_becomes_suv_by_body_weight(tmp_path: Path, changes: dict[str, str], factor: float) -> None:
    given = dict(changes)
    slices = [pet_slice(h, RescaleSlope=str(h + 1)) for h in HEIGHTS]
    injected = given.pop("injected", None)
    for data in slices:
        for keyword, value in given.items():
            setattr(data, keyword, value)
        if injected:
            data.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = injected
    opened = read_image(save(tmp_path / "pet", slices))
    assert opened.volume is not None
    assert opened.unit == "SUV"
    stored = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS).T
    wanted = np.stack([stored * (h + 1) * factor for h in HEIGHTS], axis=2)
    np.testing.assert_allclose(opened.volume.array, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "unit", "fact"),
    [
        ({"PatientWeight": None}, "BQML", "the patient's weight is missing"),
        ({"PatientWeight": "0"}, "BQML", "the patient's weight is missing"),
        ({"CorrectedImage": ["DECY"]}, "BQML", "not corrected for attenuation"),
        ({"DecayCorrection": "NONE"}, "BQML", "not corrected to a known time"),
        ({"SeriesTime": "120000.00"}, "BQML", "series time is later"),
        ({"SeriesTime": "", "AcquisitionTime": ""}, "BQML", "lacks a date or time"),
        ({"RadiopharmaceuticalInformationSequence": []}, "BQML", "0 injections"),
        ({"Units": "CNTS"}, "CNTS", "cannot be converted"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUV", "type LBM"),
    ],
)
def test_a_pet_that_gives_no_suv_says_why(tmp_path: Path, changes: dict[str, object], unit: str, fact: str) -> None:
    opened = read_image(save(tmp_path / "pet", [pet_slice(h, **changes) for h in HEIGHTS]))
    assert opened.unit == unit
    assert any(fact in note for note in opened.warnings), opened.warnings
    assert opened.volume is not None
    np.testing.assert_allclose(opened.volume.array[1, 0], 2.5, err_msg="the values stay as they are")


def test_a_series_that_lacks_its_end_is_reported(tmp_path: Path) -> None:
    opened = read_image(save(tmp_path / "pet", [pet_slice(h, NumberOfSlices=7) for h in HEIGHTS]))
    assert any("promises 7 slices, 5 are there" in note for note in opened.warnings)


@pytest.mark.data
@pytest.mark.parametrize(("kind", "unit"), [("CT", "HU"), ("MR_T1", ""), ("PET", "SUV")])
def test_real_series_lie_where_the_nifti_files_of_the_same_patient_lie(shared_data: Path, kind: str, unit: str) -> None:
    """The sarcoma data set holds each series twice: DICOM and NIfTI, written by its authors."""
    folder = shared_data / "sts_ibsi"
    opened = read_image(folder / "dicom" / "STS_019" / kind / "image")
    assert opened.volume is not None
    assert opened.unit == unit
    theirs = nibabel.as_closest_canonical(nibabel.load(folder / "nifti" / "STS_019" / f"{kind}_image.nii.gz"))
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(opened.volume.array, opened.volume.grid.affine))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=2e-3)
    np.testing.assert_allclose(np.asarray(ours.dataobj), np.asarray(theirs.dataobj), atol=2e-3)


@pytest.mark.data
def test_a_compressed_real_series_equals_simpleitk(shared_data: Path) -> None:
    """JPEG 2000 slices; GDCM decodes them by itself."""
    folder = shared_data / "totalsegmentator_example" / "example_ct_dicom"
    ours = volume_of(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    np.testing.assert_array_equal(ours.array, sitk.GetArrayFromImage(image).T)
    corner = np.array(image.TransformIndexToPhysicalPoint((3, 5, 7))) * (-1, -1, 1)
    np.testing.assert_allclose((ours.grid.affine @ (3, 5, 7, 1))[:3], corner, atol=1e-3)


@pytest.mark.data
def test_a_study_of_three_scans_is_a_choice(shared_data: Path) -> None:
    opened: Opened = read_image(shared_data / "sts_ibsi" / "dicom" / "STS_019")
    assert opened.volume is None
    assert sorted(row.modality for row in opened.series) == ["ct", "mr", "pet"]
    assert "STS" not in repr(opened.series)


@pytest.mark.data
def test_real_files_that_are_no_scan_are_refused_by_kind(shared_data: Path) -> None:
    folder = shared_data / "highdicom_dicom"
    for name, fact in (
        ("seg_image_ct_binary.dcm", "kind SEG"),
        ("sr_document.dcm", "kind SR"),
        ("sm_image_control.dcm", "colour"),
    ):
        with pytest.raises(BadCall, match=fact):
            read_image(folder / name)
    assert volume_of(folder / "dx_image.dcm").array.shape == (211, 169, 1)


def test_two_uids_never_share_an_alias(tmp_path: Path) -> None:
    uids = [generate_uid() for _ in range(12)]
    folder = save(tmp_path / "study", [ct_slice(0.0, SeriesInstanceUID=uid) for uid in uids])
    assert len({row.series for row in read_image(folder).series}) == 12


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID"])
def test_a_series_of_two_patients_is_refused_by_the_elements_name(tmp_path: Path, keyword: str) -> None:
    """An anonymised copy beside its original, with the same UIDs: the first file's identity would count for both."""
    other = {"PatientBirthDate": "19000101", "StudyInstanceUID": "1.2.840.998.7"}.get(keyword, "ANON")
    slices = [ct_slice(2.5 * n, SOPInstanceUID=f"1.2.840.998.{n}") for n in range(3)]
    copies = [ct_slice(2.5 * n, SOPInstanceUID=f"1.2.840.998.{n}", **{keyword: other}) for n in range(3)]
    with pytest.raises(BadCall, match=keyword) as refused:
        read_image(save(tmp_path / "both", [*slices, *copies]))
    assert not [value for value in (*SECRETS, other) if value in str(refused.value)]


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"PatientWeight": "70000"}, "weight of 70000 kg is impossible"),
        ({"dose": "370"}, "dose of 370 Bq is impossible"),
        ({"dose": "370000000000"}, "dose of 3.7e+11 Bq is impossible"),
        ({"half_life": "109.8"}, "leaves nothing of the dose"),
        ({"half_life": "1.83"}, "half-life of 1.83 s is impossible"),
    ],
)
def test_a_pet_header_in_a_wrong_unit_gives_no_suv(tmp_path: Path, changes: dict[str, str], fact: str) -> None:
    given = dict(changes)
    dose, half_life = given.pop("dose", None), given.pop("half_life", None)
    slices = [pet_slice(h, **given) for h in HEIGHTS]
    for data in slices:
        injection = data.RadiopharmaceuticalInformationSequence[0]
        injection.RadionuclideTotalDose = dose or injection.RadionuclideTotalDose
        injection.RadionuclideHalfLife = half_life or injection.RadionuclideHalfLife
    opened = read_image(save(tmp_path / "pet", slices))
    assert opened.unit == "BQML"
    assert fact in " ".join(opened.warnings)


def enhanced_ct(top: dict[str, object], shared: pydicom.Dataset | None) -> pydicom.Dataset:
    """Two frames of stored values 0 to 59, times 30 in the file; a rescale at the top, in the shared group, or none."""
    data = enhanced_mr([0.0, 3.0], Modality="CT", **top)
    data.PixelData = (np.arange(60) * 30).astype(np.uint16).tobytes()
    for frame in data.PerFrameFunctionalGroupsSequence:
        del frame.PixelValueTransformationSequence
    if shared is not None:
        data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [shared]
    return data


@pytest.mark.parametrize("shared", [None, item()])
@pytest.mark.parametrize("kind", ["HU", None])
def test_a_rescale_at_the_top_of_a_multi_frame_ct_is_honoured(
    tmp_path: Path, shared: pydicom.Dataset | None, kind: str | None
) -> None:
    top = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": kind}
    opened = read_image(save(tmp_path / "ct", [enhanced_ct(top, shared)]))
    assert opened.volume is not None
    assert (opened.unit, int(opened.volume.array.min()), int(opened.volume.array.max())) == (
        "HU",
        -1024,
        59 * 30 - 1024,
    )


def test_a_multi_frame_ct_without_a_rescale_is_not_called_hu(tmp_path: Path) -> None:
    opened = read_image(save(tmp_path / "ct", [enhanced_ct({}, item())]))
    assert opened.unit == ""
    assert "not in HU" in " ".join(opened.warnings)


@pytest.mark.parametrize("half", [{"RescaleSlope": 1}, {"RescaleIntercept": -1024}])
def test_half_a_rescale_is_refused(tmp_path: Path, half: dict[str, object]) -> None:
    with pytest.raises(BadCall, match="half a rescale"):
        read_image(save(tmp_path / "ct", [enhanced_ct({}, item(**half))]))


def test_words_in_the_place_of_numbers_are_named_when_the_scan_is_opened(tmp_path: Path) -> None:
    slices = [ct_slice(h) for h in HEIGHTS]
    for data in slices:
        for tag, kind, value in (
            (0x00101030, "DS", b"Olive "),
            (0x00101020, "DS", b"1,75"),
            (0x00080020, "DA", b"Olive "),
        ):
            data[tag] = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)
    folder = save(tmp_path / "ct", slices)
    (note,) = [w for w in read_image(folder).warnings if "no valid value" in w]
    assert all(word in note for word in ("PatientWeight", "PatientSize", "StudyDate"))
    assert "Olive" not in note


def test_a_folder_by_a_relative_path_and_through_a_link_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "series").mkdir()
    for number in range(3):
        data = ct_slice(2.5 * number, InstanceNumber=number + 1, SOPInstanceUID=generate_uid())
        data.save_as(tmp_path / "series" / f"{number}.dcm", enforce_file_format=True)
    (tmp_path / "link").symlink_to("series")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for path in (Path("../series"), tmp_path / "here" / ".." / "series", tmp_path / "link"):
        volume = read_image(path).volume
        assert volume is not None
        assert volume.grid.shape == (5, 6, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, {}),
        ({"KVP": "120", "ContrastBolusAgent": "NONE"}, {"kvp": 120.0, "contrast": False}),
        ({"KVP": "80.0", "ContrastBolusAgent": "Roe's 300 ml"}, {"kvp": 80.0, "contrast": True}),
        ({"KVP": "0"}, {}),
    ],
)
def test_how_a_scan_was_made_is_told_in_numbers_and_yes_or_no(
    tmp_path: Path, changes: dict[str, str], said: dict[str, float]
) -> None:
    opened = read_image(save(tmp_path / "ct", [ct_slice(h, **changes) for h in HEIGHTS]))
    assert opened.acquisition == said
