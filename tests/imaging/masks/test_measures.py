"""Measures of bodies whose size is known by formula, on grids without symmetry."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage.measure import find_contours, marching_cubes, mesh_surface_area

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient_mask
from ostensor.imaging.masks import measures
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask, Volume

SPACING = np.array([0.7, 0.9, 1.6])
TURN = Rotation.from_euler("zyx", (17, 4, -6), degrees=True).as_matrix()


def _grid(shape: tuple[int, int, int], *, turned: bool = True, known: bool = True) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = (TURN if turned else np.eye(3)) @ np.diag(SPACING)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2 + (0.13, -0.21, 0.31)
    return Grid(shape, affine, known)


def _ellipsoid(grid: Grid, half_mm: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> Mask:
    points = np.indices(grid.shape).reshape(3, -1)
    world = grid.affine[:3, :3] @ points + grid.affine[:3, 3:]
    inside = (((world - np.array(centre)[:, None]) / np.array(half_mm)[:, None]) ** 2).sum(axis=0) <= 1
    return Mask(inside.reshape(grid.shape), grid)


def test_volume_of_an_ellipsoid_on_an_oblique_grid() -> None:
    mask = _ellipsoid(_grid((61, 53, 37)), (15, 11, 19))
    assert measures.volume_ml(mask) == pytest.approx(4 / 3 * np.pi * 15 * 11 * 19 / 1000, rel=0.01)


def test_diameters_of_an_ellipsoid_are_its_axes() -> None:
    """Half a voxel on either end is the tolerance."""
    found = measures.diameters(_ellipsoid(_grid((61, 53, 37), turned=False), (15, 11, 19)))
    assert found is not None
    assert found.longest_axial_mm == pytest.approx(30, abs=0.9)
    assert found.perpendicular_mm == pytest.approx(22, abs=0.9)
    assert found.longest_3d_mm == pytest.approx(38, abs=1.6)
    assert abs(found.slice_index - 18) <= 1


def test_diameters_do_not_depend_on_the_order_of_the_axes() -> None:
    mask = _ellipsoid(_grid((61, 53, 37)), (15, 11, 8))
    one, other = measures.diameters(mask), measures.diameters(reorient_mask(mask, "SPL"))
    assert one is not None
    assert other is not None
    assert other.longest_axial_mm == pytest.approx(one.longest_axial_mm)
    assert other.longest_3d_mm == pytest.approx(one.longest_3d_mm)


def test_one_voxel_has_small_diameters_and_an_empty_mask_none() -> None:
    grid = _grid((5, 7, 11))
    array = np.zeros(grid.shape, bool)
    assert measures.diameters(Mask(array, grid)) is None
    array = array.copy()
    array[2, 3, 4] = True
    found = measures.diameters(Mask(array, grid))
    assert found is not None
    assert 0 < found.longest_axial_mm < 1.5


@pytest.mark.parametrize(
    ("index", "face"),
    [((0, 3, 5), "left"), ((4, 3, 5), "right"), ((2, 0, 5), "posterior"), ((2, 6, 5), "anterior"),
     ((2, 3, 0), "inferior"), ((2, 3, 10), "superior")],
)  # fmt: skip
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SLA"])
def test_truncation_names_the_patients_side_in_any_axis_order(index: tuple[int, ...], face: str, codes: str) -> None:
    array = np.zeros((5, 7, 11), bool)
    array[index] = True
    mask = reorient_mask(Mask(array, _grid((5, 7, 11))), codes)
    assert measures.truncated_faces(mask) == (face,)


def test_constant_padding_is_not_part_of_the_scan() -> None:
    grid = _grid((5, 7, 11))
    scan = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    scan[:, :, 8:] = -1024
    array = np.zeros(grid.shape, bool)
    array[2, 3, 7] = True
    mask = Mask(array, grid)
    assert measures.truncated_faces(mask) == ()
    assert measures.truncated_faces(mask, Volume(scan, grid)) == ("superior",)


def test_a_body_that_stands_free_in_a_constant_ground_is_not_cut() -> None:
    """A brain without its skull: exact zeros around, and its mask reaches its own first and last planes."""
    x = np.indices((60, 60, 60)) - 29.5
    brain = (x**2).sum(axis=0) < 25**2
    grid = _grid(brain.shape)
    scan = Volume(np.where(brain, 100 + np.random.default_rng(0).normal(size=brain.shape), 0).astype(np.float32), grid)
    assert measures.truncated_faces(Mask(brain, grid), scan) == ()
    cut = scan.array.copy()
    cut[:, :, 40:] = 0  # the same, cut straight through and padded
    kept = brain & (np.arange(60) < 40)
    assert measures.truncated_faces(Mask(kept, grid), Volume(cut, grid)) == ("superior",)


def test_a_single_slice_is_never_cut_through_its_own_thickness() -> None:
    grid = Grid((5, 7, 1), np.eye(4))
    array = np.zeros(grid.shape, bool)
    array[2, 3, 0] = True
    assert measures.truncated_faces(Mask(array, grid)) == ()


@pytest.mark.parametrize(("x_mm", "expected"), [(-25.0, "left"), (24.0, "right"), (2.0, "midline")])
def test_side_is_the_patients(x_mm: float, expected: str) -> None:
    mask = _ellipsoid(_grid((113, 31, 23), turned=False), (5, 4, 6), (x_mm, 0, 0))
    assert measures.side(mask) == measures.side(reorient_mask(mask, "LPI")) == expected


def test_centroid_and_parts() -> None:
    grid = _grid((61, 53, 37))
    one = _ellipsoid(grid, (5, 4, 6), (-8, 3, 4))
    two = Mask(one.array | _ellipsoid(grid, (3, 3, 3), (9, 3, 4)).array, grid)
    assert measures.centroid_mm(one) == pytest.approx((-8, 3, 4), abs=0.1)
    assert (measures.part_count(one), measures.part_count(two)) == (1, 2)


def test_intensity_agrees_with_numpy_and_refuses_another_grid() -> None:
    grid = _grid((5, 7, 11))
    values = np.random.default_rng(0).normal(40, 12, grid.shape).astype(np.float32)
    mask = Mask(values > 45, grid)
    found = measures.intensity(mask, Volume(values, grid))
    assert found is not None
    inside = values[values > 45].astype(float)
    assert (found.mean, found.sd, found.median) == pytest.approx((inside.mean(), inside.std(), np.median(inside)))
    assert (found.minimum, found.maximum) == (inside.min(), inside.max())
    with pytest.raises(BadCall, match="different grids"):
        measures.intensity(mask, Volume(values, _grid((5, 7, 11), turned=False)))


def test_without_voxel_size_nothing_is_given_in_mm() -> None:
    mask = _ellipsoid(_grid((61, 53, 37), known=False), (15, 11, 19))
    assert measures.volume_ml(mask) is None
    assert measures.diameters(mask) is None
    assert measures.centroid_mm(mask) is None
    assert measures.no_number(mask) == measures.NO_SPACING


def test_the_region_of_a_mask_measures_as_the_mask() -> None:
    grid = _grid((61, 53, 37))
    mask = _ellipsoid(grid, (12, 7, 9), (-3, 4, 2))
    region = Region.of(mask)
    assert region.array.size < mask.array.size
    for measured in (measures.volume_ml, measures.diameters, measures.centroid_mm, measures.side, measures.surface,
                     measures.part_count, measures.truncated_faces, measures.bounding_box):  # fmt: skip
        assert measured(region) == measured(mask), measured.__name__


def test_surface_of_a_mask_is_that_of_skimages_mesh() -> None:
    """Marching cubes of scikit-image: volume by signed tetrahedra, area by its own function."""
    rng = np.random.default_rng(1)
    for density in (0.05, 0.4, 0.8):
        array = rng.random((7, 11, 5)) < density
        mask = Mask(array, _grid((7, 11, 5)))
        points, faces, _n, _v = marching_cubes(np.pad(array, 1).astype(np.float32), 0.5)
        points = points @ mask.grid.affine[:3, :3].T
        a, b, c = np.moveaxis(points[faces].astype(float), 1, 0)
        found = measures.surface(mask)
        assert found is not None
        assert found.volume_ml == pytest.approx(abs(np.einsum("ij,ij->", np.cross(a, b), c)) / 6000, rel=1e-6)
        assert found.area_cm2 == pytest.approx(mesh_surface_area(points, faces) / 100, rel=1e-6)


def test_the_mesh_of_a_ball_cuts_the_corners_its_voxels_have() -> None:
    """Mean over positions of the ball between the voxels: the count is right on average, the mesh a little small."""
    grid = _grid((23, 19, 13), turned=False)
    exact = 4 / 3 * np.pi * 5**3 / 1000
    by_mesh, by_voxel = [], []
    for shift in np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)):
        ball = _ellipsoid(grid, (5, 5, 5), tuple(shift))
        surface = measures.surface(ball)
        assert surface is not None
        by_mesh.append(surface.volume_ml)
        by_voxel.append(measures.volume_ml(ball))
        assert 0.85 < surface.sphericity < 0.95
    assert np.mean(by_voxel) == pytest.approx(exact, rel=0.005)
    assert 0.96 * exact < np.mean(by_mesh) < exact


def test_the_perpendicular_diameter_is_a_line_of_the_outline() -> None:
    """A slanted bar: its outline's corners give both lengths, computed here pair by pair."""
    grid = Grid((31, 29, 1), np.diag([0.7, 0.9, 3.0, 1.0]))
    x, y = np.indices((31, 29)) * np.array([0.7, 0.9])[:, None, None]
    array = ((np.abs((y - 12) - 0.5 * (x - 10)) < 3) & (np.abs(x - 10) < 6))[..., None]
    found = measures.diameters(Mask(array, grid))
    assert found is not None
    outline = find_contours(np.pad(array[..., 0], 1).astype(float), 0.5)[0] * (0.7, 0.9)
    points = np.concatenate(
        [outline[:-1] + t * np.diff(outline, axis=0) for t in np.linspace(0, 1, 20, endpoint=False)]
    )
    gaps = points[:, None] - points[None]
    lengths = np.linalg.norm(gaps, axis=-1)
    i, j = np.unravel_index(lengths.argmax(), lengths.shape)
    along = gaps[i, j] / lengths[i, j]
    square = np.abs(gaps @ along) < 0.02  # the points' spacing: nearly at right angles
    assert found.longest_axial_mm == pytest.approx(lengths.max())
    assert found.perpendicular_mm == pytest.approx((lengths * square).max(), abs=0.05)
    caliper = np.ptp(points @ np.array([-along[1], along[0]]))
    assert found.perpendicular_mm < caliper - 0.3, "a caliper over the whole bar would be longer"


def test_the_greatest_length_in_space_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        array = np.zeros((11, 13, 7), bool)
        array[tuple(rng.integers(0, (11, 13, 7), (9, 3)).T)] = True
        mask = Mask(array, _grid((11, 13, 7)))
        inside = np.pad(array, 1)
        steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
        edge = [v + s / 2 for v in np.argwhere(inside) for s in steps if not inside[tuple(v + s)]]
        points = np.array(edge) @ mask.grid.affine[:3, :3].T
        found = measures.diameters(mask)
        assert found is not None
        assert found.longest_3d_mm == pytest.approx(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def test_intensity_of_whole_numbers_is_that_of_numpy() -> None:
    grid = _grid((5, 7, 11))
    rng = np.random.default_rng(2)
    for dtype in (np.int16, np.uint8, np.float64):
        values = (rng.normal(90, 30, grid.shape).clip(0, 255)).astype(dtype)
        mask = Mask(rng.random(grid.shape) < 0.3, grid)
        inside = values[mask.array].astype(float)
        found = measures.intensity(mask, Volume(values, grid))
        assert found is not None
        assert (found.mean, found.sd) == pytest.approx((inside.mean(), inside.std()))
        given = (found.minimum, found.p5, found.median, found.p95, found.maximum)
        assert given == pytest.approx(tuple(np.percentile(inside, (0, 5, 50, 95, 100))))


@pytest.mark.parametrize("codes", ["RAS", "SPL", "AIL"])
def test_the_area_of_muscle_at_a_vertebra_is_that_of_its_middle_slice(codes: str) -> None:
    """A cone: its radius is known at every height."""
    grid = Grid((61, 53, 37), np.diag([0.7, 0.9, 1.6, 1.0]))
    x, y, z = np.indices(grid.shape)
    radius = 4 + 0.2 * z
    cone = Mask(((x - 30) * 0.7) ** 2 + ((y - 26) * 0.9) ** 2 <= radius**2, grid)
    level = Mask((z >= 10) & (z <= 20) & (x > 40), grid)
    found = measures.area_at_level(reorient_mask(cone, codes), reorient_mask(level, codes))
    assert found is not None
    assert found.area_cm2 == pytest.approx(np.pi * (4 + 0.2 * 15) ** 2 / 100, rel=0.02)
    assert not found.at_edge
    above = measures.area_at_level(Mask(cone.array & (z < 5), grid), level)
    assert above is not None
    assert (above.area_cm2, above.slice_index) == (0, 15)
    whole = measures.area_at_level(Mask(np.ones(grid.shape, bool), grid), level)
    assert whole is not None
    assert whole.at_edge
    assert measures.area_at_level(cone, Mask(np.zeros(grid.shape, bool), grid)) is None
    with pytest.raises(BadCall, match="different grids"):
        measures.area_at_level(cone, Mask(level.array, Grid(grid.shape, np.eye(4))))


def test_a_single_slice_has_no_surface() -> None:
    grid = Grid((5, 7, 1), np.eye(4))
    assert measures.surface(Mask(np.ones(grid.shape, bool), grid)) is None
