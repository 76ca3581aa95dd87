"""From pixels back to voxels: one bright voxel is looked for in the picture itself."""

import io

import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.geometry import reorient_array
from ostensor.imaging.pictures.render import render
from ostensor.imaging.pictures.spots import spot_at
from ostensor.imaging.volume import Grid, Mask, Volume

SHAPE = (29, 23, 17)
AT = (19, 6, 11)
TURNED = np.array([[0, -0.9, 0, 4.0], [0, 0, 1.3, 7.0], [-1.1, 0, 0, 5.0], [0, 0, 0, 1]])


def scan() -> tuple[Volume, tuple[int, ...], Mask]:
    array = np.zeros(SHAPE, np.int16)
    array[AT] = 1000
    near = np.zeros(SHAPE, np.bool_)
    near[15:23, 3:10, 8:15] = True
    volume = Volume(array, Grid(SHAPE, TURNED), "mr")
    turned, _ = reorient_array(array, volume.grid, "RAS")
    return volume, tuple(int(n) for n in np.argwhere(turned == 1000)[0]), Mask(near, volume.grid)


@pytest.mark.parametrize("zoom", [False, True])
@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_the_brightest_pixel_leads_back_to_the_bright_voxel(view: str, zoom: bool) -> None:
    """The middle of the bright pixels, found by looking, not by the layout; half a voxel is the tolerance."""
    volume, ras, near = scan()
    axis = {"axial": 2, "coronal": 1, "sagittal": 0}[view]
    shown = render(
        volume,
        {"a": near} if zoom else {},
        view=view,
        slice_index=ras[axis],
        window=(500, 1000),
        zoom=zoom,
        style="contour",
    )  # type: ignore[arg-type]
    grey = np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB")).astype(int)
    (spot,) = shown.spots
    inside = np.zeros(grey.shape[:2], np.bool_)
    inside[
        int(spot.top) + 1 : int(spot.top + spot.height) - 1, int(spot.left) + 1 : int(spot.left + spot.width) - 1
    ] = True
    plain = (grey.min(2) == grey.max(2)) & inside
    rows, columns = np.nonzero(plain & (grey[:, :, 0] > 150))
    found = spot.ras_index(columns.mean(), rows.mean())
    assert found is not None
    assert np.abs(np.array(found) - ras).max() < 0.5


def test_a_montage_knows_which_plane_a_pixel_is_of_and_frames_are_of_none() -> None:
    volume, ras, _ = scan()
    shown = render(volume, {}, view="montage", width=900)
    assert [one.plane for one in shown.spots] == ["axial", "coronal", "sagittal"]
    for one in shown.spots:
        assert spot_at(shown.spots, one.left + one.width / 2, one.top + one.height / 2) is one
        assert spot_at(shown.spots, one.left - 3, one.top + 5) is None
    del ras


def test_projections_and_bodies_have_no_places() -> None:
    volume, _, near = scan()
    assert render(volume, {}, kind="mip").spots == ()
    assert render(volume, {"a": near}, kind="surface").spots == ()
