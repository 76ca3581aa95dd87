"""Diameters across the centre line of tubes whose radius is known by formula, and of aortas drawn by experts."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging.masks.diameters import diameters
from ostensor.imaging.masks.edit import largest_part
from ostensor.imaging.tubes.calibre import FLAT, SHORT, Calibre, NoCalibre, calibre
from ostensor.imaging.volume import Grid, Mask

Points = np.ndarray


def made(
    body: Callable[[Points], Points],
    shape: tuple[int, int, int],
    spacing: tuple[float, ...],
    turn: tuple[float, ...] = (0, 0, 0),
    *,
    known: bool = True,
) -> Mask:
    """A body given in patient space, on a grid around the origin."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zyx", turn, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + (0.13, -0.21, 0.31)
    points = (affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]).T
    return Mask(body(points).reshape(shape), Grid(shape, affine, known))


def arch(points: Points) -> Points:
    """An aortic arch: half a torus of 40 mm with a tube of 14 mm radius, and two legs straight down."""
    x, y, z = points.T
    away = np.where(z > 0, np.hypot(np.hypot(x, z) - 40, y), np.hypot(np.abs(x) - 40, y))
    return np.asarray(away <= 14)


def rod(points: Points, way: tuple[float, ...], radius: Callable[[Points], Points] | float, half: float) -> Points:
    """A round rod through the origin, 2 `half` long, its radius a function of the place along it."""
    unit = np.array(way) / np.linalg.norm(way)
    along = points @ unit
    off = np.linalg.norm(points - along[:, None] * unit, axis=1)
    return np.asarray((off <= (radius(along) if callable(radius) else radius)) & (np.abs(along) <= half))


def measured(mask: Mask) -> Calibre:
    found = calibre(mask)
    assert isinstance(found, Calibre), found
    return found


@pytest.mark.parametrize(
    ("shape", "spacing", "turn"),
    [
        ((151, 61, 31), (0.8, 0.8, 5.0), (0, 0, 0)),
        ((103, 97, 35), (1.4, 1.4, 5.0), (17, 14, -16)),
        ((81, 43, 101), (1.5, 1.4, 1.6), (0, 0, 0)),
        ((43, 31, 53), (3.0, 3.0, 3.0), (7, 14, -9)),
    ],
)
def test_an_arch_in_axial_slices_is_as_wide_as_its_tube(
    shape: tuple[int, int, int], spacing: tuple[float, ...], turn: tuple[float, ...]
) -> None:
    """28 mm wherever it is cut across, within 1.2 mm: less than half of the thinnest of these slices."""
    mask = made(arch, shape, spacing, turn)
    axial = diameters(mask)
    assert axial is not None
    assert axial.longest_axial_mm > 60, "the slice through the bend shows it lengthwise"
    found = measured(mask)
    assert found.narrowest is not None
    assert found.narrowest.diameter_mm == pytest.approx(28, abs=1.2)
    assert found.median_mm == pytest.approx(28, abs=0.7)
    assert found.widest.diameter_mm == pytest.approx(28, abs=1.2)
    assert found.branches == 1


@pytest.mark.parametrize("way", [(0, 0, 1), (1, 0, 1), (1, 1, 0.5), (1, 0, 0), (0.2, 1, -0.3)])
def test_an_oblique_rod_is_as_wide_and_as_long_as_it_is(way: tuple[float, ...]) -> None:
    """18 mm wide and 60 mm long, in slices of 3 mm, whatever way it runs."""
    found = measured(made(lambda p: rod(p, way, 9, 30), (101, 83, 31), (0.7, 0.9, 3.0)))
    assert found.narrowest is not None
    assert [found.narrowest.diameter_mm, found.median_mm, found.widest.diameter_mm] == pytest.approx([18] * 3, abs=0.8)
    assert found.length_mm == pytest.approx(60, rel=0.1)
    across = abs(np.array(found.widest.along) @ (np.array(way) / np.linalg.norm(way)))
    assert across > np.cos(np.radians(8)), "the section is at right angles"


@pytest.mark.parametrize("way", [(0.9, 0, 1), (2, 0.4, 1)])
def test_ends_cut_aslant_make_no_narrow_place(way: tuple[float, ...]) -> None:
    """The mask ends in axial planes inside the scan, the rod of 18 mm runs at 42 and 64 degrees through them."""
    mask = made(lambda p: rod(p, way, 9, 1000) & (abs(p[:, 2]) < 26), (171, 101, 61), (0.9, 0.9, 1.6))
    found = measured(mask)
    assert found.narrowest is not None
    assert found.narrowest.diameter_mm == pytest.approx(18, abs=0.6)
    assert found.widest.diameter_mm == pytest.approx(18, abs=0.6)


def test_a_tapered_tube_is_widest_where_it_is_widest() -> None:
    """Radius 8 mm at one end and 14 mm at the other; a section lies at least a radius away from either end."""
    found = measured(
        made(lambda p: rod(p, (0.3, 0.1, 1), lambda h: 11 + 3 * h / 70, 70), (61, 63, 61), (1.0, 0.9, 3.0))
    )
    assert found.narrowest is not None
    low, high = found.narrowest, found.widest
    assert 16 <= low.diameter_mm <= 18.5
    assert 25.5 <= high.diameter_mm <= 28.5
    assert low.point_mm[2] < -45
    assert high.point_mm[2] > 30
    assert found.median_mm == pytest.approx(22, abs=0.8)


def test_a_bulge_is_found_with_its_place() -> None:
    """An aneurysm of 36 mm in a vessel of 20 mm, its middle 12 mm along the vessel."""
    way = np.array([0.3, 0.1, 1]) / np.linalg.norm([0.3, 0.1, 1])
    mask = made(
        lambda p: rod(p, (0.3, 0.1, 1), lambda h: 10 + 8 * np.exp(-(((h - 12) / 18) ** 2)), 75),
        (61, 63, 61),
        (1.1, 1.0, 3.0),
    )
    found = measured(mask)
    assert found.widest.diameter_mm == pytest.approx(36, abs=1.5)
    assert np.linalg.norm(np.array(found.widest.point_mm) - 12 * way) < 6
    assert found.longest_mm == pytest.approx(36, abs=2.5)
    assert found.perpendicular_mm == pytest.approx(36, abs=2.5)
    assert found.median_mm < 26


def test_a_flat_vein_has_the_diameter_of_its_area_and_the_lines_of_its_section() -> None:
    """An ellipse of 26 x 12 mm: a circle of its area has a diameter of the root of 26 times 12."""
    mask = made(
        lambda p: ((p[:, 0] / 13) ** 2 + (p[:, 1] / 6) ** 2 <= 1) & (abs(p[:, 2]) < 60), (53, 37, 53), (0.9, 0.7, 3.0)
    )
    found = measured(mask)
    assert found.median_mm == pytest.approx((26 * 12) ** 0.5, abs=0.5)
    assert found.longest_mm == pytest.approx(26, abs=2)
    assert found.perpendicular_mm == pytest.approx(12, abs=1)
    assert found.branches == 1


def test_both_arms_of_a_fork_are_followed_and_the_fork_itself_is_not_measured() -> None:
    """A trunk of 20 mm over two arms of 12 mm: at the fork a section would hold both arms."""

    def fork(points: Points) -> Points:
        trunk = rod(points, (0, 0, 1), 10, 1000) & (points[:, 2] >= 0)
        arms = [rod(points, (side, 0, 1), 6, 1000) & (points[:, 2] < 3) for side in (0.5, -0.5)]
        return np.asarray(trunk | arms[0] | arms[1])

    found = measured(made(fork, (101, 61, 81), (0.9, 0.7, 2.0)))
    assert found.branches == 2
    assert found.widest.diameter_mm == pytest.approx(20, abs=0.8)
    assert found.narrowest is not None
    assert found.narrowest.diameter_mm == pytest.approx(12, abs=0.8)


def test_where_a_wide_branch_leaves_the_trunk_is_no_wider() -> None:
    """A trunk of 20 mm, and a branch of 18 mm that leaves it upwards: a section through both would be far wider."""

    def branched(points: Points) -> Points:
        branch = rod(points, (0.7, 0, 1), 9, 1000) & (points[:, 0] > 0)
        return np.asarray(rod(points, (0, 0, 1), 10, 1000) | branch)

    found = measured(made(branched, (121, 61, 81), (0.9, 0.9, 2.0)))
    assert found.branches == 2
    assert found.widest.diameter_mm < 22.5


def test_what_has_no_diameter_says_why() -> None:
    thin = calibre(made(lambda p: rod(p, (0, 0.2, 1), 1.4, 60), (23, 31, 51), (2.0, 2.0, 2.5)))
    assert isinstance(thin, NoCalibre)
    assert "narrower than two voxels of 2.2 mm" in thin.reason
    short = made(lambda p: rod(p, (0, 0, 1), 12, 4), (41, 43, 21), (0.9, 0.8, 1.2))
    assert calibre(short) == NoCalibre(SHORT)
    array = np.ones((9, 7, 1), bool)
    assert calibre(Mask(array, Grid((9, 7, 1), np.diag([0.7, 0.9, 5, 1])))) == NoCalibre(FLAT)
    unknown = calibre(made(arch, (43, 31, 53), (3.0, 3.0, 3.0), known=False))
    assert isinstance(unknown, NoCalibre)
    assert "no known voxel size" in unknown.reason
    empty = calibre(made(lambda p: p[:, 0] > 1e9, (5, 7, 11), (1.0, 2.0, 3.0)))
    assert isinstance(empty, NoCalibre)
    assert "empty" in empty.reason


def _labelled(path: Path, label: int) -> Mask:
    image = nibabel.load(path)
    array = largest_part(np.asarray(image.dataobj) == label)
    return Mask(array, Grid(array.shape, image.affine))


@pytest.mark.data
@pytest.mark.parametrize("name", ["amos_0001", "amos_0013"])
def test_descending_aortas_drawn_by_experts_are_as_wide_as_their_slices(shared_data: Path, name: str) -> None:
    """Slices of 5 mm; an aorta that runs down is cut by them at an angle, which its centres in neighbouring slices tell.

    A plane at an angle cuts a tube in its own area over the angle's cosine. The three slices at either end are left out.
    """
    mask = _labelled(shared_data / "label_maps" / f"{name}.nii.gz", 8)
    held = np.flatnonzero(mask.array.any(axis=(0, 1)))
    x, y, z = mask.grid.spacing_mm
    centres = np.array([np.argwhere(mask.array[:, :, n]).mean(axis=0) * (x, y) for n in held])
    cosine = 1 / np.sqrt(1 + np.square(np.gradient(centres, z, axis=0)).sum(axis=1))
    by_slice = 2 * np.sqrt(mask.array[:, :, held].sum(axis=(0, 1)) * x * y * cosine / np.pi)[3:-3]
    found = measured(mask)
    assert found.narrowest is not None
    assert found.median_mm == pytest.approx(np.median(by_slice), rel=0.03)
    assert found.narrowest.diameter_mm == pytest.approx(by_slice.min(), rel=0.05)
    assert found.widest.diameter_mm == pytest.approx(by_slice.max(), rel=0.08)


@pytest.mark.data
@pytest.mark.parametrize("name", ["hra_male_2mm", "hra_female_2mm"])
def test_whole_aortas_with_their_arch_are_as_wide_as_aortas_are(shared_data: Path, name: str) -> None:
    """Aortas of adults are 20 to 40 mm at their widest; a slice through the arch shows four times as much."""
    rows = json.loads((shared_data / "hra_phantom" / f"{name}.json").read_text(encoding="utf-8"))["labels"]
    number = next(row["label"] for row in rows if row["key"] == "aorta")
    mask = _labelled(shared_data / "hra_phantom" / f"{name}.nii.gz", number)
    axial = diameters(mask)
    assert axial is not None
    assert axial.longest_axial_mm > 80
    found = measured(mask)
    assert 20 < found.widest.diameter_mm < 40
    assert 14 < found.median_mm < 30
    assert found.longest_mm < 40
