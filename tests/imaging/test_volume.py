"""Volumes and grids refuse what cannot be an image."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Mask, Volume

AFFINE = np.array([[-0.7, 0.1, 0, 12], [0.1, 0.9, 0, -40], [0, 0, 3.0, 7], [0, 0, 0, 1]], dtype=float)


def test_voxel_volume_is_the_determinant() -> None:
    """Expected by hand: |-0.7*0.9 - 0.1*0.1| * 3 = 1.92 mm3."""
    assert Grid((5, 7, 11), AFFINE).voxel_ml == pytest.approx(0.00192)


def test_axis_codes_name_where_axes_grow() -> None:
    """The first axis runs to the patient's left."""
    assert Grid((5, 7, 11), AFFINE).axis_codes == "LAS"


@pytest.mark.parametrize(
    ("affine", "fact"),
    [
        (np.zeros((4, 4)), "last row"),
        (np.diag([1.0, 0, 1, 1]), "singular"),
        (np.diag([1.0, np.nan, 1, 1]), "NaN"),
        (np.eye(3), "shape (3, 3)"),
    ],
)
def test_a_bad_affine_is_refused(affine: np.ndarray, fact: str) -> None:
    with pytest.raises(BadCall, match=fact.replace("(", r"\(").replace(")", r"\)")):
        Grid((5, 7, 11), affine)


@pytest.mark.parametrize(
    ("array", "fact"),
    [
        (np.zeros((5, 7, 11, 2)), "4 dimensions"),
        (np.zeros((5, 7, 11), dtype=complex), "complex128"),
        (np.full((5, 7, 11), np.nan), "385 NaN"),
        (np.zeros((5, 7, 12)), "must agree"),
    ],
)
def test_a_bad_array_is_refused(array: np.ndarray, fact: str) -> None:
    with pytest.raises(BadCall, match=fact):
        Volume(array, Grid((5, 7, 11), AFFINE))


def test_same_content_same_hash_and_a_moved_grid_another() -> None:
    volume = Volume(np.arange(385).reshape(5, 7, 11), Grid((5, 7, 11), AFFINE))
    again = Volume(np.arange(385).reshape(5, 7, 11), Grid((5, 7, 11), AFFINE))
    moved = Volume(volume.array, Grid((5, 7, 11), AFFINE + np.diag([0.01, 0, 0, 0])))
    assert volume.content_hash == again.content_hash != moved.content_hash


def test_grids_of_one_shape_and_other_place_differ() -> None:
    shifted = AFFINE.copy()
    shifted[0, 3] += 1
    assert not Grid((5, 7, 11), AFFINE).same_as(Grid((5, 7, 11), shifted))


def test_a_mask_must_be_boolean() -> None:
    with pytest.raises(BadCall, match="uint8"):
        Mask(np.zeros((5, 7, 11), dtype=np.uint8), Grid((5, 7, 11), AFFINE))
