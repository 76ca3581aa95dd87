"""Pictures: the right side is on the left, whatever the axis order of the file."""

import io

import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient, reorient_mask
from ostensor.imaging.pictures.legend import COLOURS, MAX_BYTES
from ostensor.imaging.pictures.render import render
from ostensor.imaging.pictures.windows import WINDOWS_HU, window_of
from ostensor.imaging.volume import Grid, Mask, Volume

SHAPE = (41, 53, 29)
GRID = Grid(SHAPE, np.diag([1.1, 0.9, 2.3, 1.0]))


def _scan(modality: str = "ct") -> Volume:
    return Volume(np.full(SHAPE, 40, np.int16), GRID, modality)  # type: ignore[arg-type]  # a plain string here


def _blob(where: tuple[int, int, int]) -> Mask:
    array = np.zeros(SHAPE, bool)
    x, y, z = where
    array[x - 3 : x + 3, y - 3 : y + 3, z - 3 : z + 3] = True
    return Mask(array, GRID)


def _centre_of_colour(png: bytes) -> tuple[float, float]:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    pixels = np.asarray(picture).astype(int)[: picture.size[1] - 24]
    match = (np.abs(pixels - COLOURS[0]).sum(axis=2)) < 12
    rows, columns = np.nonzero(match)
    return float(columns.mean()) / pixels.shape[1], float(rows.mean()) / pixels.shape[0]


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SLA", "PIR"])
@pytest.mark.parametrize(
    ("view", "where", "left", "top"),
    [("axial", (34, 45, 14), True, True), ("axial", (6, 8, 14), False, False),
     ("coronal", (34, 20, 24), True, True), ("sagittal", (20, 45, 5), True, False)],
)  # fmt: skip
def test_each_side_is_where_radiologists_expect_it(
    codes: str, view: str, where: tuple[int, int, int], left: bool, top: bool
) -> None:
    """Right, front and head of the patient go to left, top (left in sagittal views) and top of the picture."""
    picture = render(reorient(_scan(), codes), {"blob": reorient_mask(_blob(where), codes)}, view=view)  # type: ignore[arg-type]  # parametrised
    x, y = _centre_of_colour(picture.png)
    assert (x < 0.5) is left
    assert (y < 0.5) is top


def test_a_slice_is_chosen_through_the_mask_and_counted_from_the_feet() -> None:
    assert abs(render(_scan(), {"b": _blob((20, 20, 8))}).shown[0] - 8) <= 3
    assert render(reorient(_scan(), "LPI"), {}, slice_index=4).shown == (4,)


def test_pixels_keep_the_shape_of_the_body() -> None:
    """A square in mm is square in the picture although its voxels are not."""
    array = np.zeros(SHAPE, bool)
    array[15:24, 20:31, 5:25] = True  # 9.9 mm by 9.9 mm
    png = render(_scan(), {"b": Mask(array, GRID)}, slice_index=10).png
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    rows, columns = np.nonzero((np.abs(pixels - COLOURS[0]).sum(axis=2) < 12)[:-20])
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.1)


def test_the_picture_is_a_png_of_bounded_size_in_every_view() -> None:
    noise = Volume(np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16), GRID, "ct")
    for view in ("axial", "coronal", "sagittal", "montage"):
        found = render(noise, {f"s{n}": _blob((20, 20, 10)) for n in range(9)}, view=view, width=2000)
        assert len(found.png) <= MAX_BYTES
        assert Image.open(io.BytesIO(found.png)).format == "PNG"


def test_windows() -> None:
    in_hu = Volume(np.where(np.arange(np.prod(GRID.shape)).reshape(GRID.shape) % 2, 60, -1000), GRID, "ct")
    assert window_of(in_hu, "lung") == WINDOWS_HU["lung"]
    assert window_of(in_hu, "auto") == WINDOWS_HU["soft_tissue"]
    with pytest.raises(BadCall, match="a CT that is not in HU"):
        window_of(Volume(in_hu.array > 0, GRID, "ct"), "lung")
    assert window_of(_scan(), (10, 20)) == (10, 20)
    with pytest.raises(BadCall, match="Hounsfield"):
        window_of(_scan("mr"), "bone")
    with pytest.raises(BadCall, match="Unknown window"):
        window_of(_scan(), "rainbow")
    with pytest.raises(BadCall, match="above 0"):
        window_of(_scan(), (10, 0))


def test_unusable_requests_are_refused() -> None:
    with pytest.raises(BadCall, match="slices 0 to 28"):
        render(_scan(), {}, slice_index=29)
    with pytest.raises(BadCall, match="Unknown view"):
        render(_scan(), {}, view="oblique")  # type: ignore[arg-type]  # the refusal under test
    with pytest.raises(BadCall, match="another image"):
        render(_scan(), {"b": Mask(np.zeros((3, 3, 3), bool), Grid((3, 3, 3), np.eye(4)))})
    with pytest.raises(BadCall, match="pixels"):
        render(_scan(), {}, width=9000)


def test_a_single_slice_is_drawn_in_any_montage() -> None:
    flat = Grid((41, 53, 1), np.eye(4), spacing_known=False)
    assert render(Volume(np.zeros(flat.shape, np.uint8) + 3, flat), {}, view="montage").slices == 1
