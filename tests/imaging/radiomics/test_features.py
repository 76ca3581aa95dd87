"""Every radiomics feature against the values the IBSI published for its two phantoms."""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.radiomics.features import Radiomics, Settings, discretised, radiomics
from ostensor.imaging.volume import Grid, Mask, Volume

DATA = Path(os.environ.get("OSTENSOR_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "ibsi"
AGGREGATIONS = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb")
NOT_GIVEN = {"morph_vol_dens_ombb", "morph_area_dens_ombb", "morph_area_dens_aee"}
NOT_FEATURES = ("img_", "vox_", "mean_int", "min_int", "max_int", "int_mask", "morph_mask")
LEVELS = Settings()
CONFIGURATION_A = Settings(window=(-500.0, 400.0), bin_width=25.0)


def published(name: str) -> list[Any]:
    """Rows of a reference table; one that is skipped where the data are absent."""
    path = DATA / name
    if not path.is_file():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs the IBSI phantoms of the shared data"))]
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [pytest.param(row, id=row["tag"]) for row in rows if not row["tag"].startswith(NOT_FEATURES)]


@cache
def found(phantom: str, settings: Settings, aggregations: tuple[str, ...]) -> dict[str, float]:
    image, region = (nibabel.load(DATA / f"{phantom}_{kind}.nii.gz") for kind in ("image", "mask"))
    grid = Grid(image.shape, image.affine)
    volume, mask = Volume(np.asarray(image.dataobj), grid, "ct"), Mask(np.asarray(region.dataobj) > 0, grid)
    features: dict[str, float] = {}
    for aggregation in aggregations:
        chosen = Settings(settings.window, settings.bin_width, settings.bin_count, aggregation)
        features |= radiomics(mask, volume, chosen).features
    return features


def agrees(value: float, row: dict[str, Any]) -> bool:
    """Within the published tolerance, plus the rounding of a value printed with three digits."""
    rounding = 0.5 * 10 ** (np.floor(np.log10(abs(row["value"]))) - 2) if row["value"] else 0.0
    return abs(value - row["value"]) <= row["tolerance"] + rounding * (1 + 1e-9)


@pytest.mark.data
@pytest.mark.parametrize("row", published("reference_digital_phantom.json"))
def test_the_digital_phantom_has_the_published_value(row: dict[str, Any]) -> None:
    features = found("digital_phantom", LEVELS, AGGREGATIONS)
    if row["tag"] in NOT_GIVEN:
        assert row["tag"] not in features, "a feature we do not give must not appear"
    else:
        assert agrees(features[row["tag"]], row), f"{features[row['tag']]} is not {row['value']}"


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("row", published("reference_config_A.json"))
def test_the_ct_phantom_has_the_published_value_of_configuration_a(row: dict[str, Any]) -> None:
    features = found("ct_phantom", CONFIGURATION_A, AGGREGATIONS[:4])
    if row["tag"] not in NOT_GIVEN:
        assert agrees(features[row["tag"]], row), f"{features[row['tag']]} is not {row['value']}"


@pytest.mark.data
def test_nothing_is_reported_that_the_phantom_does_not_check() -> None:
    published_tags = {
        param.values[0]["tag"] for param in published("reference_digital_phantom.json") if param.values[0]
    }
    if not published_tags:
        pytest.skip("needs the IBSI phantoms of the shared data")
    assert set(found("digital_phantom", LEVELS, AGGREGATIONS)) == published_tags - NOT_GIVEN


def noise(seed: int = 0, shape: tuple[int, int, int] = (11, 13, 7)) -> tuple[Mask, Volume]:
    rng = np.random.default_rng(seed)
    grid = Grid(shape, np.diag([0.7, 0.9, 3.0, 1.0]))
    inside = np.zeros(shape, bool)
    inside[1:9, 2:12, 1:6] = rng.random((8, 10, 5)) > 0.3
    return Mask(inside, grid), Volume(rng.integers(-90, 300, shape).astype(np.int16), grid, "ct")


def given(mask: Mask, volume: Volume, **settings: Any) -> Radiomics:
    return radiomics(mask, volume, Settings(**settings))


def test_fixed_bins_count_from_the_window_or_span_the_range() -> None:
    """IBSI section 2.7: worked by hand."""
    values = np.array([-500.0, -476.0, -475.0, 0.0, 399.0])
    assert discretised(values, CONFIGURATION_A).tolist() == [1, 1, 2, 21, 36]
    assert discretised(np.array([0.0, 24.9, 25.0, 75.0, 100.0]), Settings(bin_count=4)).tolist() == [1, 1, 2, 4, 4]
    assert discretised(np.array([7.0, 7.0]), Settings(bin_count=4)).tolist() == [1, 1]


def test_the_order_of_slices_and_a_shift_of_all_values_change_no_texture_in_space() -> None:
    mask, volume = noise()
    one = given(mask, volume, bin_count=8).features
    turned = Mask(np.ascontiguousarray(mask.array[:, :, ::-1]), mask.grid)
    moved = replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]) + 70)
    other = given(turned, moved, bin_count=8).features
    textures = [name for name in one if name.startswith(("cm_", "rlm_", "szm_", "dzm_", "ngt_", "ngl_", "ih_"))]
    assert len(textures) > 100
    assert {name: other[name] for name in textures} == pytest.approx({name: one[name] for name in textures})


def test_pair_sums_agree_with_the_sum_over_all_pairs() -> None:
    """Moran's I and Geary's C as the manual writes them, pair by pair."""
    mask, volume = noise(3)
    features = given(mask, volume, bin_width=25.0).features
    points = np.argwhere(mask.array) * (0.7, 0.9, 3.0)
    values = volume.array[mask.array].astype(float)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    weight = np.divide(1, distance, out=np.zeros_like(distance), where=distance > 0)
    off, n = values - values.mean(), len(values)
    moran = n / weight.sum() * (weight * off[:, None] * off[None]).sum() / (off**2).sum()
    geary = (n - 1) / (2 * weight.sum()) * (weight * (off[:, None] - off[None]) ** 2).sum() / (off**2).sum()
    assert features["morph_moran_i"] == pytest.approx(moran, abs=1e-12)
    assert features["morph_geary_c"] == pytest.approx(geary)


def test_unequal_voxels_are_said_and_a_flat_region_has_no_pair_sums() -> None:
    mask, volume = noise()
    result = radiomics(mask, volume)
    assert result.settings == Settings(bin_width=25.0)
    assert any("not cubes" in reason for reason in result.reasons)
    flat = radiomics(mask, replace(volume, array=np.full(mask.grid.shape, 40, np.int16)))
    assert "morph_moran_i" not in flat.features
    assert any("equal" in reason for reason in flat.reasons)
    assert np.isfinite(list(flat.features.values())).all()


def test_no_features_without_voxels_or_voxel_size() -> None:
    mask, volume = noise()
    empty = radiomics(Mask(np.zeros(mask.grid.shape, bool), mask.grid), volume)
    assert (empty.features, empty.reasons) == ({}, ("The mask is empty.",))
    unknown = Grid(mask.grid.shape, mask.grid.affine, False)
    blind = radiomics(Mask(mask.array, unknown), Volume(volume.array, unknown, "ct"))
    assert blind.features == {}
    assert "voxel size" in blind.reasons[0]
    outside = given(mask, volume, window=(900.0, 1000.0), bin_width=25.0)
    assert "between 900 and 1000" in outside.reasons[0]
    assert all(name.startswith("morph_") for name in outside.features)


def test_one_voxel_gives_finite_numbers() -> None:
    _mask, volume = noise()
    array = np.zeros(volume.grid.shape, bool)
    array[3, 4, 2] = True
    features = radiomics(Mask(array, volume.grid), volume).features
    assert np.isfinite(list(features.values())).all()
    assert features["morph_vol_approx"] == pytest.approx(0.7 * 0.9 * 3)
    assert not any(name.startswith("cm_") for name in features), "one voxel has no neighbour"


def test_wrong_settings_are_refused() -> None:
    mask, volume = noise()
    with pytest.raises(BadCall, match="exclude each other"):
        given(mask, volume, bin_width=25.0, bin_count=32)
    with pytest.raises(BadCall, match="whole numbers from 1"):
        given(mask, volume)
    with pytest.raises(BadCall, match="different grids"):
        radiomics(mask, Volume(volume.array, Grid(mask.grid.shape, np.eye(4)), "ct"))
