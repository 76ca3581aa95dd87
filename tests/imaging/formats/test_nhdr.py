"""Headers whose voxels lie in a file beside them, written by SimpleITK and read without it."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from ostensor.imaging.errors import BadCall
from ostensor.imaging.files import read_image

VALUES = (np.arange(5 * 7 * 11).reshape(11, 7, 5) * 3 - 400).astype(np.int16)  # z y x, as SimpleITK has it


def written(folder: Path) -> Path:
    image = SimpleITK.GetImageFromArray(VALUES)
    image.SetSpacing((0.7, 0.9, 3.0))
    image.SetOrigin((12.5, -31.0, 7.25))
    SimpleITK.WriteImage(image, str(folder / "a.nhdr"))
    return folder / "a.nhdr"


def test_voxels_of_the_neighbour_are_read_in_their_place(tmp_path: Path) -> None:
    volume = read_image(written(tmp_path), within=[tmp_path]).volume
    assert volume is not None
    assert np.array_equal(volume.array, VALUES.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.grid.affine @ (0, 0, 0, 1), (-12.5, 31.0, 7.25, 1))
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.7, 0.9, 3.0))


@pytest.mark.parametrize("place", ["../a.raw", "/etc/passwd", "sub/a.raw", "a%03d.raw 1 3 1", "LIST"])
def test_voxels_anywhere_else_are_refused(tmp_path: Path, place: str) -> None:
    path = written(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"data file: {place}" if line.startswith("data file") else line for line in lines) + "\n")
    with pytest.raises(BadCall, match=r"beside|elsewhere|cannot be opened"):
        read_image(path, within=[tmp_path])


def test_a_neighbour_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    path = written(tmp_path / "root")
    (raw,) = [file for file in (tmp_path / "root").iterdir() if file != path]
    raw.rename(tmp_path / raw.name)
    raw.symlink_to(tmp_path / raw.name)
    with pytest.raises(BadCall, match="elsewhere"):
        read_image(path, within=[tmp_path / "root"])
