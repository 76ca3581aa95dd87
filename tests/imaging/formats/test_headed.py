"""MetaImage and NRRD by our own reader: what SimpleITK writes and reads is the expected value."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image, write_volume
from ostensor.imaging.formats.headed.reading import read_headed
from ostensor.imaging.volume import Grid

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
META = "ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementSpacing = 0.7 -0.9 3\nTransformMatrix = 0 1 0 1 0 0 0 0 1\n"


def made(kind: str, *, turned: bool = True, shape: tuple[int, ...] = (11, 7, 5)) -> sitk.Image:
    values = np.random.default_rng(3).integers(0, 100, shape).astype(kind)
    image = sitk.GetImageFromArray(values)
    if len(shape) == 3:
        image.SetSpacing((0.7, 0.9, 3.0))
        image.SetOrigin((-31.3, 17.9, 5.5))
        if turned:
            image.SetDirection(Rotation.from_euler("zyx", (97, 4, -6), degrees=True).as_matrix().ravel().tolist())
    return image


def same(path: Path) -> None:
    ours, theirs = read_headed(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(ours.array, sitk.GetArrayFromImage(theirs).T.reshape(ours.array.shape))
    for index in ((0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)):
        point = np.array(theirs.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        np.testing.assert_allclose((ours.grid.affine @ [*index, 1])[:3], point, atol=1e-4)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_simpleitk_writes_is_read_as_it_reads_it(tmp_path: Path, kind: str, ending: str, *, packed: bool) -> None:
    sitk.WriteImage(made(kind), str(tmp_path / f"a{ending}"), useCompression=packed)
    same(tmp_path / f"a{ending}")


@pytest.mark.parametrize(
    "lines",
    [
        "ElementByteOrderMSB = True\nElementType = MET_SHORT\nOffset = 1 2 3\nElementDataFile = LOCAL\n",
        "BinaryDataByteOrderMSB = False\nElementType : MET_LONG\nPosition : 1 2 3\nElementDataFile : Local\n",
        "ElementType = MET_FLOAT\r\nOrigin = 1 2 3\r\nElementDataFile = LOCAL\n",
        "ElementType = MET_USHORT\nHeaderSize = 6\nElementDataFile = v.raw\n",
        "ElementType = MET_USHORT\nHeaderSize = -1\nElementDataFile = v.raw\n",
    ],
)
def test_metaimages_written_by_hand_are_read_as_itk_reads_them(tmp_path: Path, lines: str) -> None:
    size = 385 * (4 if "LONG" in lines or "FLOAT" in lines else 2)
    body = np.random.default_rng(1).integers(0, 60, size).astype("u1").tobytes()
    detached = "v.raw" in lines
    (tmp_path / "v.raw").write_bytes(b"sixsix" + body)
    (tmp_path / "a.mha").write_bytes((META + lines).encode() + (b"" if detached else body))
    same(tmp_path / "a.mha")


@pytest.mark.parametrize(
    "lines",
    [
        "encoding: raw\nendian: big\nspacings: 0.7 0.9 3\n",
        "encoding: raw\nendian: little\nspace: RAS\nspace directions: (0,0.7,0) (-0.9,0,0) (0,0,3)\nspace origin: (1,2,3)\n",
        "encoding: raw\nendian: little\nspace: left-anterior-superior\nspace directions: (0,0.7,0) (-0.9,0,0) (0,0,3)\nspace origin: (1,2,3)\n",
        "encoding: raw\nendian: little\nspace dimension: 3\nspace directions: (0,0.7,0) (-0.9,0,0) (0,0,3)\n",
        "encoding: raw\nendian: little\nbyte skip: 6\nspacings: 1 1 2\ndata file: v.raw\n",
        "encoding: raw\nendian: little\nbyte skip: -1\nspacings: 1 1 2\ndatafile: v.raw\n",
        "encoding: gzip\nendian: little\nspacings: 1 1 2\nkey:=value\n# a comment\n",
        "encoding: text\nspacings: 1 1 2\n",
    ],
)
def test_nrrds_written_by_hand_are_read_as_itk_reads_them(tmp_path: Path, lines: str) -> None:
    values = np.random.default_rng(1).integers(0, 900, 385).astype(">i2" if "big" in lines else "<i2")
    packer = zlib.compressobj(wbits=31)
    body = values.tobytes()
    if "gzip" in lines:
        body = packer.compress(body) + packer.flush()
    elif "text" in lines:
        body = " ".join(map(str, values)).encode()
    (tmp_path / "v.raw").write_bytes(b"sixsix" + body)
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 11\n{lines}\n".encode()
    (tmp_path / "a.nrrd").write_bytes(head + (b"" if "v.raw" in lines else body))
    same(tmp_path / "a.nrrd")


def test_a_metaimage_of_text_is_read(tmp_path: Path) -> None:
    values = np.arange(385)
    text = META + "BinaryData = False\nElementType = MET_SHORT\nElementDataFile = LOCAL\n" + "\n".join(map(str, values))
    (tmp_path / "a.mha").write_text(text)
    np.testing.assert_array_equal(read_headed(tmp_path / "a.mha").array.ravel(order="F"), values)


def test_one_time_point_and_a_flat_picture_are_read(tmp_path: Path) -> None:
    sitk.WriteImage(made("int16", shape=(7, 5)), str(tmp_path / "flat.mha"))
    assert read_headed(tmp_path / "flat.mha").array.shape == (5, 7, 1)
    four = sitk.JoinSeries([made("int16")])
    sitk.WriteImage(four, str(tmp_path / "four.nrrd"))
    assert read_headed(tmp_path / "four.nrrd").array.shape == (5, 7, 11)


def test_a_tag_of_dicom_that_was_copied_along_does_no_harm(tmp_path: Path) -> None:
    image = made("int16")
    image.SetMetaData("0010|0010", "Someone^Söme")
    for ending in (".mha", ".nrrd"):
        sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
        same(tmp_path / f"a{ending}")


@pytest.mark.parametrize("known", [True, False])
def test_a_nrrd_of_ours_is_read_by_simpleitk(tmp_path: Path, *, known: bool) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zyx", (97, 4, -6), degrees=True).as_matrix() @ np.diag([0.7, 0.9, 3.0])
    values = np.random.default_rng(0).normal(size=(5, 7, 11)).astype(np.float32)
    write_volume(tmp_path / "a.nrrd", values, Grid((5, 7, 11), affine, known))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd"))).T, values)
    assert read_image(tmp_path / "a.nrrd", modality="mr").volume.grid.spacing_known == known  # type: ignore[union-attr]  # it is one
    if known:
        same(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("ending", "text", "fact"),
    [
        (".mha", META + "ElementType = MET_SHORT\nNonsense = 1\nElementDataFile = LOCAL\n", "a key of the format"),
        (".mha", META + "ElementType = MET_SHORT\nNDims = 3\nElementDataFile = LOCAL\n", "twice"),
        (".mha", META + "ElementType = MET_SHORT\n", "names no data"),
        (".mha", META + "ElementType = MET_SHORT_ARRAY\nElementDataFile = LOCAL\n", "ElementType"),
        (
            ".mha",
            META + "ElementType = MET_SHORT\nElementToIntensityFunctionSlope = 2\nElementDataFile = LOCAL\n",
            "rescaled",
        ),
        (".mha", META + "ElementType = MET_SHORT\nElementDataFile = LOCAL\nabc", "cut short"),
        (".nrrd", "NRRD0004\ntype: short\ntype: short\ndimension: 3\nsizes: 5 7 11\nencoding: raw\n\n", "twice"),
        (".nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 11\nencoding: bzip2\nendian: big\n\n", "encoding"),
        (".nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 11\nencoding: raw\n\n", "endian"),
        (".nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 eleven\nencoding: raw\n\n", "whole number"),
    ],
)
def test_headers_that_break_the_grammar_are_refused(tmp_path: Path, ending: str, text: str, fact: str) -> None:
    (tmp_path / f"a{ending}").write_text(text)
    with pytest.raises(BadCall, match=fact):
        read_headed(tmp_path / f"a{ending}")
