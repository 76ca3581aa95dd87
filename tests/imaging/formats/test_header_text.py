"""NRRD and MetaImage headers: what they leave out is unknown, whatever SimpleITK fills in. Headers are written by hand."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ostensor.imaging.files import read_image
from ostensor.imaging.formats.table import NO_ORIENTATION
from ostensor.imaging.opened import Opened

VOXELS = np.arange(7 * 5 * 3, dtype="<i2")  # x y z: 7 5 3
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 5 3\nencoding: raw\nendian: little\n"
META = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 7 5 3\n"
KIND = "ElementType = MET_SHORT\nElementDataFile = "
MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
DIRECTIONS = "space directions: (0.7,0,0) (0,0.9,0) (0,0,3)\n"


def opened(folder: Path, ending: str, lines: str) -> Opened:
    path = folder / f"a{ending}"
    if ending == ".nrrd":
        path.write_bytes((NRRD + lines + "\n").encode() + VOXELS.tobytes())
    elif ending == ".mha":
        path.write_bytes((META + lines + KIND + "LOCAL\n").encode() + VOXELS.tobytes())
    else:
        path.write_text(META + lines + KIND + "a.raw\n")
        (folder / "a.raw").write_bytes(VOXELS.tobytes())
    return read_image(path)


@pytest.mark.parametrize(
    ("ending", "lines"),
    [
        (".nrrd", ""),
        (".nrrd", "spacings: nan nan nan\n"),
        (".nrrd", "spacings: 0.7 0.9 nan\n"),
        (".nrrd", "# spacings: 0.7 0.9 3\n"),
        (".nrrd", 'spacings: 0.7 0.9 3\nunits: "furlong" "furlong" "furlong"\n'),
        (".mha", ""),
        (".mha", MATRIX),
        (".mhd", ""),
    ],
)
def test_no_spacing_in_the_header_is_no_spacing(tmp_path: Path, ending: str, lines: str) -> None:
    found = opened(tmp_path, ending, lines)
    assert found.volume is not None
    assert not found.volume.grid.spacing_known
    assert any("no voxel size" in warning for warning in found.warnings)
    assert found.volume.array[1, 2, 1] == 1 + 2 * 7 + 35, "the voxels are read all the same"


@pytest.mark.parametrize(
    ("ending", "lines", "certain"),
    [
        (".nrrd", "spacings: 0.7 0.9 3\n", False),
        (".nrrd", "space: 3D-right-handed\n" + DIRECTIONS, False),
        (".nrrd", "space: scanner-xyz\n" + DIRECTIONS, False),
        (".nrrd", "space dimension: 3\n" + DIRECTIONS, False),
        (".nrrd", "space: left-posterior-superior\n" + DIRECTIONS, True),
        (".nrrd", "space: RAS\n" + DIRECTIONS, True),
        (".mha", "ElementSpacing = 0.7 0.9 3\n", False),
        (".mhd", "ElementSpacing = 0.7 0.9 3\n", False),
        (".mha", "ElementSpacing = 0.7 0.9 3\n" + MATRIX, True),
    ],
)
def test_no_orientation_in_the_header_leaves_the_sides_open(
    tmp_path: Path, ending: str, lines: str, *, certain: bool
) -> None:
    found = opened(tmp_path, ending, lines)
    assert found.volume is not None
    assert found.volume.grid.spacing_known
    np.testing.assert_allclose(found.volume.grid.spacing_mm, (0.7, 0.9, 3.0))
    assert (NO_ORIENTATION not in found.warnings) == certain


def test_a_unit_of_length_in_an_nrrd_is_honoured(tmp_path: Path) -> None:
    lines = 'space: left-posterior-superior\nspace directions: (700,0,0) (0,900,0) (0,0,3000)\nspace units: "um" "um" "um"\n'
    found = opened(tmp_path, ".nrrd", lines)
    assert found.volume is not None
    np.testing.assert_allclose(found.volume.grid.spacing_mm, (0.7, 0.9, 3.0))


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd"])
def test_what_simpleitk_writes_leaves_nothing_open(tmp_path: Path, name: str) -> None:
    image = sitk.GetImageFromArray(VOXELS.reshape(3, 5, 7))
    image.SetSpacing((0.7, 0.9, 3.0))
    sitk.WriteImage(image, str(tmp_path / name))
    found = read_image(tmp_path / name)
    assert found.volume is not None
    assert found.volume.grid.spacing_known
    assert NO_ORIENTATION not in found.warnings
