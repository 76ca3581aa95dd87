"""Windows by number, several slices, zoom, styles, projections and lit bodies: pixels known in advance."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient, reorient_mask
from ostensor.imaging.pictures.legend import COLOURS, font, put_together
from ostensor.imaging.pictures.render import render
from ostensor.imaging.pictures.surfaces import lit_bodies
from ostensor.imaging.pictures.windows import window_of
from ostensor.imaging.volume import Grid, Mask, Volume

SHAPE = (60, 50, 40)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]))


def pixels(found: Any) -> npt.NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(found.png)).convert("RGB")).astype(int)


def near(picture: npt.NDArray[np.int64], colour: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(picture - colour).sum(axis=2) < 14)


def box(*where: slice, grid: Grid = GRID) -> Mask:
    array = np.zeros(grid.shape, bool)
    array[where] = True
    return Mask(array, grid)


def scan(value: float = 0.0, modality: str = "mr") -> Volume:
    return Volume(np.full(SHAPE, value, np.float32), GRID, modality)  # type: ignore[arg-type]  # a plain string here


def test_bytes_are_shown_as_they_are_and_windows_may_be_numbers() -> None:
    """A CT photographed off a screen: most of it is air, so percentiles would wash the rest out."""
    array = np.zeros(SHAPE, np.uint8)
    array[20:40, 20:40, 10:30] = 128
    photographed = Volume(array, GRID, "ct")
    assert window_of(photographed, "auto") == (127.5, 255.0)
    body = pixels(render(photographed, {}, slice_index=20))
    assert body[body.shape[0] // 2, body.shape[1] // 2, 0] == pytest.approx(128, abs=2)
    assert window_of(scan(), [300, 50]) == (300, 50)
    grey = pixels(render(scan(310), {}, window=[300, 40], slice_index=5))
    assert grey[grey.shape[0] // 2, grey.shape[1] // 2, 0] == pytest.approx(255 * 30 / 40, abs=1)
    for wrong in ([1.0], [0, 0], [float("nan"), 3]):
        with pytest.raises(BadCall, match=r"Give \[centre, width\]"):
            window_of(scan(), wrong)


def test_several_slices_lie_evenly_inside_the_masks() -> None:
    mask = box(slice(20, 40), slice(20, 40), slice(10, 31))
    found = render(scan(), {"b": mask}, count=3, width=900)
    assert found.shown == (15, 20, 25)
    assert near(pixels(found), COLOURS[0]).any()
    assert render(scan(), {}, count=4).shown == (8, 16, 23, 31), "through the whole scan without a mask"
    with pytest.raises(BadCall, match="one view"):
        render(scan(), {"b": mask}, view="montage", count=2)


def test_zoom_shows_the_mask_and_a_margin_larger() -> None:
    mask = box(slice(28, 32), slice(23, 27), slice(18, 22))
    plain, zoomed = (near(pixels(render(scan(), {"b": mask}, zoom=z))[:-24], COLOURS[0]).sum() for z in (False, True))
    assert zoomed > 1.5 * plain
    assert render(scan(), {"b": mask}, zoom=True).shown == render(scan(), {"b": mask}).shown
    with pytest.raises(BadCall, match="no mask to zoom to"):
        render(scan(), {}, zoom=True)
    with pytest.raises(BadCall, match="slices 10 to 29"):
        render(scan(), {"b": mask}, zoom=True, slice_index=5)


@pytest.mark.parametrize("codes", ["SRA", "ASL", "PIR"])
@pytest.mark.parametrize(
    "how",
    [
        {"view": "axial"},
        {"view": "montage", "zoom": True},
        {"view": "sagittal", "kind": "mip"},
        {"view": "coronal", "kind": "surface"},
    ],
)
def test_pictures_are_the_same_however_the_axes_of_the_scan_are_stored(codes: str, how: dict[str, Any]) -> None:
    """No voxel size is that of another axis: as pictures of the same scan stored along R, A and S."""
    grid = Grid((41, 37, 23), np.diag([0.7, 0.9, 3.0, 1.0]))
    volume = Volume(np.random.default_rng(0).integers(0, 90, grid.shape).astype(np.int16), grid, "mr")
    mask = box(slice(20, 27), slice(5, 19), slice(4, 9), grid=grid)
    wanted = render(volume, {"b": mask}, **how)
    assert render(reorient(volume, codes), {"b": reorient_mask(mask, codes)}, **how).png == wanted.png


def test_a_contour_leaves_the_inside_and_a_fill_has_no_border() -> None:
    mask = box(slice(10, 50), slice(10, 40), slice(10, 30))
    contour, fill, both = (
        pixels(render(scan(), {"b": mask}, style=s, slice_index=20)) for s in ("contour", "fill", "both")
    )  # type: ignore[arg-type]
    middle = contour.shape[0] // 2, contour.shape[1] // 2
    tint = tuple(int(0.35 * c + 0.65 * contour[middle][0]) for c in COLOURS[0])
    assert near(contour[:-24], COLOURS[0]).any()
    assert contour[middle].std() == 0
    assert not near(fill[:-24], COLOURS[0]).any()
    assert np.abs(fill[middle] - tint).max() <= 2
    assert near(both[:-24], COLOURS[0]).any()
    assert np.abs(both[middle] - tint).max() <= 2


@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR"])
def test_a_projection_shows_the_brightest_wherever_it_lies(codes: str) -> None:
    """One bright voxel block to the right, in front and high: seen at upper left of the frontal projection."""
    array = np.zeros(SHAPE, np.float32)
    array[50:55, 40:45, 32:36] = 900
    found = render(reorient(Volume(array, GRID, "pet"), codes), {}, view="coronal", kind="mip", window=[450, 900])
    assert found.shown == ()
    rows, columns = np.nonzero(near(pixels(found)[40:-40, 40:-40], (255, 255, 255)))
    size = pixels(found).shape
    assert rows.mean() + 40 < 0.4 * size[0]
    assert columns.mean() + 40 < 0.4 * size[1]


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SLA"])
@pytest.mark.parametrize(("view", "front"), [("coronal", 1), ("sagittal", 0), ("axial", 0)])
def test_of_two_bodies_in_line_the_nearer_one_is_seen(codes: str, view: str, front: int) -> None:
    """Two plates one behind the other along each axis; the eye is in front, at the left, or at the feet."""
    axis = {"coronal": 1, "sagittal": 0, "axial": 2}[view]
    plates = []
    for low in (8, 26):
        where = [slice(10, 30)] * 3
        where[axis] = slice(low, low + 4)
        plates.append(reorient_mask(box(*where), codes))
    found = render(reorient(scan(), codes), dict(zip("ab", plates, strict=True)), view=view, kind="surface")  # type: ignore[arg-type]
    picture = pixels(found)[:-60]  # without the legend
    seen, hidden = COLOURS[front], COLOURS[1 - front]
    assert near(picture, seen).sum() > 500
    assert near(picture, hidden).sum() == 0


def test_light_falls_off_towards_the_rim_of_a_ball() -> None:
    x = np.indices((64, 64, 64)) - 31.5
    ball = (x**2).sum(axis=0) < 28**2
    lit = lit_bodies([ball])[..., 0] / COLOURS[0][0]
    assert lit[32, 32] == pytest.approx(1.0, abs=0.03)
    assert lit[32, 32 + 14] == pytest.approx(0.2 + 0.8 * np.cos(np.arcsin(14 / 28)), abs=0.06), "Lambert's law"
    assert lit[32, 32 + 24] < 0.75
    assert lit[0, 0] == 0


def test_a_montage_of_bodies_has_an_oblique_view_too() -> None:
    mask = box(slice(10, 50), slice(10, 40), slice(10, 30))
    found = render(scan(), {"b": mask}, view="montage", kind="surface", width=600)
    shape = pixels(found).shape
    quarters = [pixels(found)[a : a + shape[0] // 2 - 20, b : b + shape[1] // 2] for a in (0, shape[0] // 2) for b in (0, shape[1] // 2)]  # fmt: skip
    assert all((quarter[..., 0] > 100).sum() > 300 for quarter in quarters)


def test_what_has_no_projection_is_refused() -> None:
    flat = Grid((30, 30, 1), np.eye(4))
    with pytest.raises(BadCall, match="single slice"):
        render(Volume(np.zeros(flat.shape, np.float32), flat), {}, kind="mip")
    with pytest.raises(BadCall, match="none was given"):
        render(scan(), {}, kind="surface")
    unknown = Grid(SHAPE, np.eye(4), spacing_known=False)
    with pytest.raises(BadCall, match="voxel size"):
        render(Volume(np.zeros(SHAPE, np.float32), unknown), {"b": box(slice(3, 9), slice(3, 9), slice(3, 9), grid=unknown)}, kind="surface")  # fmt: skip
    with pytest.raises(BadCall, match="1 to 12"):
        render(scan(), {}, count=13)


def test_words_in_a_legend_are_parted_by_a_space() -> None:
    """Between two words at least three columns of pixels are dark."""
    panel = Image.new("RGB", (400, 20))
    legend = np.asarray(put_together([panel], ["left thalamus"], columns=1))[20:, 24:200].max(axis=(0, 2)) > 60
    lit = np.flatnonzero(legend)
    gaps = np.diff(lit) - 1
    assert gaps.max() >= 3
    assert np.sort(gaps)[-2] < 3, "only one gap: letters of a word stay together"
    assert font(12) is not None
