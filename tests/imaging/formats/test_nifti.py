"""NIfTI headers that say nothing or nonsense: bytes are changed by hand, and nothing is made up for them."""

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image
from ostensor.imaging.formats.table import NO_ORIENTATION

SHAPE = (5, 7, 3)
VALUES = np.arange(105, dtype=np.int16).reshape(SHAPE)
AFFINE = np.diag([0.7, 0.9, 3.0, 1.0])
# Source: nifti1.h: byte offsets of pixdim[1], vox_offset, qform_code and sform_code.
PIXDIM, VOX_OFFSET, QFORM, SFORM = 80, 108, 252, 254


def made(**codes: int) -> bytearray:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.set_qform(AFFINE, code=codes.get("qform", 0))
    image.set_sform(AFFINE, code=codes.get("sform", 0))
    return bytearray(image.to_bytes())


@pytest.mark.parametrize("qform", [0, 1])
@pytest.mark.parametrize("sizes", [(0.0, 0.0, 0.0), (0.7, 0.9, 0.0), (float("nan"), 0.9, 3.0)])
def test_a_voxel_size_of_zero_is_no_size(tmp_path: Path, sizes: tuple[float, ...], qform: int) -> None:
    content = made(qform=qform)
    content[PIXDIM : PIXDIM + 12] = struct.pack("<3f", *sizes)
    (tmp_path / "a.nii").write_bytes(content)
    if qform and any(np.isnan(sizes)):
        with pytest.raises(BadCall, match="NaN"):
            read_image(tmp_path / "a.nii")
        return
    found = read_image(tmp_path / "a.nii")
    assert found.volume is not None
    assert not found.volume.grid.spacing_known
    assert any("no voxel size" in warning for warning in found.warnings)
    assert (NO_ORIENTATION in found.warnings) == (qform == 0)


def test_an_sform_needs_no_voxel_sizes_beside_it(tmp_path: Path) -> None:
    content = made(sform=1)
    content[PIXDIM : PIXDIM + 12] = struct.pack("<3f", 0, 0, 0)
    (tmp_path / "a.nii").write_bytes(content)
    found = read_image(tmp_path / "a.nii")
    assert found.volume is not None
    assert found.volume.grid.spacing_known
    np.testing.assert_allclose(found.volume.grid.spacing_mm, (0.7, 0.9, 3.0), rtol=1e-6)


@pytest.mark.parametrize("told", [0.0, 348.0])
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_are_never_read_out_of_the_header(tmp_path: Path, told: float, *, packed: bool) -> None:
    content = made(sform=1)
    content[VOX_OFFSET : VOX_OFFSET + 4] = struct.pack("<f", told)
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    found = read_image(path)
    assert found.volume is not None
    np.testing.assert_array_equal(found.volume.array, VALUES)
    assert any("read from byte 352" in warning for warning in found.warnings)


def test_an_extension_of_unknown_length_hides_where_the_voxels_begin(tmp_path: Path) -> None:
    content = made(sform=1)
    content[VOX_OFFSET : VOX_OFFSET + 4] = struct.pack("<f", 0)
    content[348] = 1
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(BadCall, match="within the header"):
        read_image(tmp_path / "a.nii")


def test_a_size_no_scanner_makes_is_flagged(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    assert any("unit in the header" in warning for warning in read_image(tmp_path / "a.nii").warnings)
