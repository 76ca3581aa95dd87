"""Priors, scales, conditions and the classical engine."""

import numpy as np
import pytest

from ostensor.models.synthesis.classical import background_of, classical, with_body
from ostensor.models.synthesis.conditions import ConditionPlan, label_map
from ostensor.models.synthesis.priors import (
    Tissue,
    gradient_echo,
    mr_value,
    of_tissue,
    paint_values,
    prior,
    tissue_of,
    tissues,
)
from ostensor.models.synthesis.scales import from_unit, hu_to_unit, mr_to_unit, unit_to_hu
from ostensor.retrieval.anatomy.structures import StructureTable


def test_the_painter_reproduces_the_table_exactly() -> None:
    """No interpolation, no blur: HU of liver, lung and air as the table says."""
    labels = np.array([[[0, 1], [2, 1]]])
    values = {1: of_tissue("liver", "ct").value, 2: of_tissue("lung", "ct").value}
    assert paint_values(labels, values, outside=-1000).tolist() == [[[-1000, 60], [-830, 60]]]


@pytest.mark.parametrize(
    ("name", "tissue"),
    [("left kidney", "kidney"), ("urinary bladder", "water"), ("gallbladder", "bile"), ("left ventricle", "blood"),
     ("lateral ventricles", "water"), ("myocardium", "muscle"), ("left femur", "marrow"), ("costal cartilage", "cartilage"),
     ("anterior hippocampus", "grey"), ("portal and splenic vein", "blood"), ("left adrenal gland", "gland")],
)  # fmt: skip
def test_names_tell_their_tissue(name: str, tissue: str) -> None:
    assert tissue_of(name) == (tissue, "name")


def test_a_kind_tells_what_the_name_does_not_and_else_it_is_soft_tissue() -> None:
    assert tissue_of("inferior palpebral", ("systemic artery",)) == ("blood", "kind")
    assert tissue_of("something new") == ("soft", "none")


def test_most_structures_of_the_anatomy_table_have_a_tissue() -> None:
    """Even what no network saw gets a plausible value; counted over every row."""
    rows = StructureTable.bundled().rows
    known = sum(tissue_of(row.name, (row.is_a, row.parent, row.part_of))[1] != "none" for row in rows)
    assert known / len(rows) > 0.6


def test_the_signal_equation_against_numbers_worked_by_hand() -> None:
    """PD 1, T1 = TR: E1 = exp(-1); flip 70 degrees; T2 much longer than TE.

    sin 70 (1 - 0.367879) / (1 - 0.342020 * 0.367879) = 0.939693 * 0.632121 / 0.874178 = 0.679491; times exp(-4.6e-6).
    """
    assert gradient_echo(Tissue("x", 0, 0, 150.0, 1e6, 1.0, 0)) == pytest.approx(0.679491, abs=2e-5)


def test_t1_weighting_orders_tissues_as_radiology_does() -> None:
    """Fat brighter than white than grey matter than water; air black."""
    bright = {name: mr_value(tissues()[name]) for name in ("fat", "white", "grey", "water", "air")}
    assert bright["fat"] == pytest.approx(900)
    assert bright["fat"] > bright["white"] > bright["grey"] > bright["water"] > bright["air"] == 0


def test_scales_come_back() -> None:
    hu = np.array([-1000, -500, -100, 40, 299, 1200], np.float32)
    assert np.allclose(unit_to_hu(hu_to_unit(hu)), hu, atol=0.1)
    assert from_unit(hu_to_unit(hu), "ct").tolist() == [-1000, -500, -100, 40, 299, 1200]
    unit = mr_to_unit(np.arange(1001.0))
    assert (unit.min(), unit.max()) == (-1.0, 1.0)
    assert unit[500] == pytest.approx(0.0, abs=1e-3)


def test_conditions_show_neighbours_and_swapped_labels_swap_their_channels() -> None:
    plan = ConditionPlan("ct", ("liver", "spleen"), neighbours=1)
    labels = np.zeros((3, 5, 4), np.uint8)
    labels[1, 2, 1], labels[2, 4, 2] = 1, 2
    maps = plan.of_stack(labels, {1: "liver", 2: "spleen"})
    assert maps.shape == (4, plan.channels, 3, 5) == (4, 5, 3, 5)
    liver = float(hu_to_unit(np.array(60.0)))
    assert maps[1, 1, 1, 2] == pytest.approx(liver)  # the slice itself
    assert maps[2, 0, 1, 2] == pytest.approx(liver)  # seen from the slice above as the one below
    assert maps[1, 3, 1, 2] == 1
    assert maps[1, 4, 1, 2] == 0
    swapped = plan.of_stack(labels, {1: "spleen", 2: "liver"})
    assert np.array_equal(swapped[:, 3], maps[:, 4])
    assert np.array_equal(swapped[:, 4], maps[:, 3])


def test_of_overlapping_masks_the_smaller_wins() -> None:
    big, small = np.ones((2, 3, 2), np.bool_), np.zeros((2, 3, 2), np.bool_)
    small[1, 2, 1] = True
    assert label_map([small, big])[1, 2, 1] == 1
    assert label_map([small, big]).sum() == 1 + 2 * 11


def test_the_classical_engine_has_the_priors_mean_and_grain_inside_a_tissue() -> None:
    """Mean 60; spread from grain 9 and noise 12, the grain weakened by the blur: between 12 and 15 HU."""
    labels = np.ones((23, 29, 17), np.uint8)
    made = classical(labels, {1: prior("liver", "ct")}, "ct", np.random.default_rng(0))
    assert made.mean() == pytest.approx(60, abs=1.0)
    assert 12 < made.std() < 15


def test_edges_are_soft_by_the_point_spread() -> None:
    """A Gaussian of 0.7 voxels, sampled, has weights 0.570, 0.205, 0.010: the voxel at a step gets 0.5 + 0.570 / 2."""
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[20:] = 1
    made = classical(labels, {1: of_tissue("muscle", "ct")}, "ct", np.random.default_rng(0))
    share = (made[20].mean() + 1000) / (made[30].mean() + 1000)
    assert share == pytest.approx(0.785, abs=0.01)


def test_a_body_is_put_around_the_masks_where_there_are_some() -> None:
    labels = np.zeros((60, 60, 3), np.uint8)
    labels[25:35, 28:33, 1] = 1
    body = with_body(labels, (2.0, 2.0, 5.0), 9)
    assert (body[:, :, 1] == 9).any()
    assert not (body[:, :, 0] == 9).any()
    assert body[14, 30, 1] == 0 != body[16, 30, 1]  # 20 mm are ten pixels
    assert np.array_equal(body == 1, labels == 1)


def test_auto_background_is_tissue_in_a_small_crop() -> None:
    assert background_of("auto", (36, 50, 35), (1.0, 1.0, 1.0)) == "tissue"
    assert background_of("auto", (256, 256, 35), (1.5, 1.5, 5.0)) == "body"
    assert background_of("air", (36, 50, 35), (1.0, 1.0, 1.0)) == "air"
