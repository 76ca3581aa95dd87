"""Surfaces: closed, outward, of the right size and place; filling gives the mask back."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging.errors import BadCall
from ostensor.imaging.formats.stl import read_stl, surface, voxelise, write_stl
from ostensor.imaging.volume import Grid, Mask

SHAPE = (11, 13, 17)
TURNED = np.eye(4)
TURNED[:3, :3] = Rotation.from_euler("zyx", (31, 22, -41), degrees=True).as_matrix() @ np.diag([0.7, 0.9, 3.0])
TURNED[:3, 3] = (-31.3, 17.9, 5.5)


def arm() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[1:6, 1:4, 2:9], mask[1:4, 4:8, 2:5], mask[5, 9, 11] = True, True, True
    return mask


@pytest.mark.parametrize("flip", [1.0, -1.0])
@pytest.mark.parametrize("seed", [None, 3])
def test_filling_the_surface_gives_the_mask(tmp_path: Path, flip: float, seed: int | None) -> None:
    grid = Grid(SHAPE, TURNED @ np.diag([flip, 1, 1, 1]))
    array = arm() if seed is None else np.random.default_rng(seed).random(SHAPE) < 0.3
    write_stl(tmp_path / "a.stl", Mask(array, grid))
    np.testing.assert_array_equal(voxelise(read_stl(tmp_path / "a.stl"), grid), array)


def test_a_ball_has_its_volume_and_faces_outwards() -> None:
    """Analytic: 4/3 pi r^3 by the divergence theorem; a voxelised ball of radius 20 mm at 1 mm comes within 2 %."""
    points = np.indices((47, 45, 43)).reshape(3, -1).T
    inside = (np.linalg.norm(points - (23, 22, 21), axis=1) <= 20).reshape(47, 45, 43)
    for flip in (1, -1):
        grid = Grid(inside.shape, np.diag([flip, 1.0, 1.0, 1.0]))
        a, b, c = np.moveaxis(surface(Mask(inside, grid)), 1, 0)
        assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.02)


def test_every_edge_is_shared_by_two_triangles_in_opposite_directions() -> None:
    triangles = np.round(surface(Mask(arm(), Grid(SHAPE, TURNED))), 6)
    corners, numbers = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    faces = numbers.reshape(-1, 3)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward, back = (sorted(map(tuple, e)) for e in (edges, edges[:, ::-1]))
    assert forward == back
    assert len(corners) > 50


def test_the_file_says_its_space_unit_and_origin(tmp_path: Path) -> None:
    write_stl(tmp_path / "a.stl", Mask(arm(), Grid(SHAPE, TURNED)), synthetic=True)
    said = (tmp_path / "a.stl").read_bytes()[:80]
    assert b"SPACE=LPS UNIT=mm synthetic" in said
    assert not said.startswith(b"solid"), "readers would take it for text"
    middle = read_stl(tmp_path / "a.stl").reshape(-1, 3).mean(axis=0) * (-1, -1, 1)
    wanted = TURNED[:3, :3] @ np.argwhere(arm()).mean(axis=0) + TURNED[:3, 3]
    assert np.linalg.norm(middle - wanted) < 3.0, "one long voxel edge"


def test_what_has_no_surface_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="empty"):
        surface(Mask(np.zeros(SHAPE, dtype=np.bool_), Grid(SHAPE, TURNED)))
    with pytest.raises(BadCall, match="voxel size is not known"):
        surface(Mask(arm(), Grid(SHAPE, TURNED, spacing_known=False)))
    (tmp_path / "short.stl").write_bytes(b"\0" * 80 + (9).to_bytes(4, "little") + b"\0" * 70)
    with pytest.raises(BadCall, match="cut short"):
        read_stl(tmp_path / "short.stl")
