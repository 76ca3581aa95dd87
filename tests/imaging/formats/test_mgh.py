"""FreeSurfer's files against nibabel, which reads them by code of its own; refusals by changed bytes."""

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image
from ostensor.imaging.formats.table import NO_ORIENTATION

SHAPE = (5, 7, 11)
# Oblique, shifted, anisotropic: a turn of 20 degrees about z, then of 35 about x.
TURN = np.array([[0.9397, -0.2802, 0.1962], [0.3420, 0.7698, -0.5390], [0.0, 0.5736, 0.8192]])
AFFINE = np.eye(4)
AFFINE[:3, :3], AFFINE[:3, 3] = TURN @ np.diag([-0.7, 0.9, 3.0]), (12.5, -31.0, 7.25)


def written(path: Path, dtype: type, affine: np.ndarray = AFFINE) -> Path:
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 251
    nibabel.save(nibabel.MGHImage(values.astype(dtype), affine), path)
    return path


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_voxels_and_places_are_those_of_nibabel(tmp_path: Path, name: str, dtype: type) -> None:
    path = written(tmp_path / name, dtype)
    content = path.read_bytes()
    oracle = nibabel.MGHImage.from_bytes(gzip.decompress(content) if name.endswith("z") else content)
    volume = read_image(path, modality="mr").volume
    assert volume is not None
    assert np.array_equal(volume.array, np.asanyarray(oracle.dataobj))
    assert volume.array.dtype.isnative
    np.testing.assert_allclose(volume.grid.affine, oracle.affine, atol=2e-5)  # the header keeps float32
    assert volume.grid.axis_codes == "".join(nibabel.aff2axcodes(oracle.affine))


def test_a_file_without_geometry_has_no_voxel_size(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mgh", np.int16)
    content = bytearray(path.read_bytes())
    content[28:30] = struct.pack(">h", 0)  # goodRASFlag
    path.write_bytes(content)
    found = read_image(path)
    assert found.volume is not None
    assert not found.volume.grid.spacing_known
    assert NO_ORIENTATION in found.warnings


@pytest.mark.parametrize(
    ("at", "value", "fact"),
    [
        (0, struct.pack(">i", 2), "does not begin as an MGH"),
        (16, struct.pack(">i", 3), "holds 3 frames"),
        (20, struct.pack(">i", 9), "type 9"),
        (4, struct.pack(">i", 0), "no voxels"),
        (4, struct.pack(">i", 2**30), "GiB"),
        (30, struct.pack(">f", 0.0), "geometry"),
        (42, struct.pack(">f", float("nan")), "geometry"),
        (4, struct.pack(">i", 6), "cut short"),
    ],
)
def test_damaged_headers_are_refused(tmp_path: Path, at: int, value: bytes, fact: str) -> None:
    path = written(tmp_path / "a.mgh", np.uint8)
    content = bytearray(path.read_bytes()[: 284 + 385])
    content[at : at + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(BadCall, match=fact):
        read_image(path)


def test_a_packed_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mgz", np.int32)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(BadCall, match="cut short"):
        read_image(path)


def test_few_bytes_do_not_unpack_to_a_gigabyte(tmp_path: Path) -> None:
    head = written(tmp_path / "a.mgh", np.uint8).read_bytes()[:284]
    head = head[:4] + struct.pack(">3i", 1024, 1024, 1000) + head[16:]
    (tmp_path / "bomb.mgz").write_bytes(gzip.compress(head + bytes(10_000)))
    with pytest.raises(BadCall, match="times its size"):
        read_image(tmp_path / "bomb.mgz")
