"""A network of the head is believed only in the company of most of what it knows; sizes are set here, in blocks."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.models.card import Card
from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.store.records import ImageRecord
from ostensor.tools.segmenting.landmarks import LEAST_COMPANY, ROOM, company_of
from ostensor.tools.segmenting.missing import Missed, judge_missing
from ostensor.tools.segmenting.verdicts import Chance, Sureness, View, judge
from ostensor.workers.local import Segmented, SegmentedMask

GRID = Grid((43, 37, 29), np.diag([-2.0, 2.5, 4.0, 1.0]))  # 0.02 ml per voxel
PAIRED = ("thalamus", "putamen", "pallidum", "hippocampus", "amygdala")
SINGLE = ("brain stem", "cerebellum", "cerebral cortex", "cerebral white matter", "third ventricle")
NAMES = (*(f"left {name}" for name in PAIRED), *SINGLE)


def network(plausible: Sequence[str] = NAMES, region: str = "head") -> Card:
    """Knows all ten, and of some that they are 2 to 8 ml large."""
    return Card(
        name="toy-head", title="toy", system="toy", paper="", task="segment", modalities=("mr",), dimensions=(3,),
        memory_mb=100, licence="CC0", purpose="any", weights="bundled", weights_file="", fidelity="library",
        text_encoder="", intensity="percentile", region=(region,), vocabulary=NAMES, claimed=NAMES,
        plausible_ml=dict.fromkeys(plausible, (2.0, 8.0)),
    )  # fmt: skip


HEAD = network()


def record(grid: Grid = GRID) -> ImageRecord:
    return ImageRecord(
        image_id="img_0", content_hash="", source_name="made", modality="mr", synthetic=False, grid=grid,
        facts={}, created="",
    )  # fmt: skip


def finds(**voxels: int) -> Callable[[Card, Sequence[str]], Segmented]:
    """A network that marks so many voxels of a structure, and none of the others."""

    def ask(_card: Card, names: Sequence[str]) -> Segmented:
        masks = []
        for name in names:
            array = np.zeros(GRID.shape, dtype=np.bool_)
            array.flat[: voxels.get(name.replace(" ", "_"), 0)] = True
            masks.append(SegmentedMask(name, array, 0.9, 0.95))
        return Segmented(tuple(masks), True, "", "", 0.0)

    return ask


def test_structures_of_a_plausible_size_are_counted_with_some_room() -> None:
    """100 voxels are 2 ml and 400 are 8 ml; with half as much again as room, 67 to 599 voxels pass."""
    assert ROOM == 1.5
    ask = finds(left_thalamus=200, left_putamen=68, left_pallidum=66, brain_stem=599, cerebellum=601, third_ventricle=9)
    assert company_of(HEAD, record(), ask) == pytest.approx(3 / 10)


def test_company_is_asked_of_networks_of_the_head_with_enough_known_sizes_only() -> None:
    ask = finds(left_thalamus=200)
    assert company_of(network(NAMES[: LEAST_COMPANY - 1]), record(), ask) is None
    assert company_of(network(region="abdomen"), record(), ask) is None
    assert company_of(HEAD, record(Grid(GRID.shape, np.eye(4), spacing_known=False)), ask) is None
    assert company_of(HEAD, record(), ask) == pytest.approx(1 / 10)


@pytest.mark.parametrize(("company", "verdict"), [(0.08, "outside_view"), (0.68, "present"), (None, "present")])
def test_a_sure_mask_in_poor_company_shows_another_part_of_the_body(company: float | None, verdict: str) -> None:
    """4 to 8 % of a head's structures are found in limbs, 68 to 76 % in heads (docs/verdicts.md)."""
    array = np.zeros(GRID.shape, dtype=np.bool_)
    array[20:26, 10:16, 9:15] = True
    scan = Volume(np.ones(GRID.shape, dtype=np.int16), GRID, "mr")
    view = View(seen=NAMES, company=company)
    found = judge("brain stem", Mask(array, GRID), scan, Sureness(0.95), HEAD, StructureTable.bundled(), view)
    assert found.verdict == verdict
    if company is not None and verdict == "outside_view":
        assert "Only 8% of what the model knows" in found.reason
        assert "another part of the body than a head" in found.reason


def test_a_missing_structure_in_poor_company_is_outside_the_view_not_absent() -> None:
    known, strange = (Volume(np.zeros(GRID.shape, np.int16), GRID, kind) for kind in ("mr", "unknown"))
    poor, good = View(seen=NAMES[:2], company=0.05), View(seen=NAMES[:2], company=0.7)
    table, missed = StructureTable.bundled(), Missed(0.01)
    assert judge_missing("brain stem", missed, poor, known, table)[0] == "outside_view"
    assert judge_missing("brain stem", missed, good, known, table)[0] == "absent"
    verdict, reason = judge_missing("brain stem", missed, good, strange, table)
    assert verdict == "unsure"
    assert "Say modality ('ct'" in reason


def test_what_was_nearly_marked_and_what_may_be_small_is_not_absent() -> None:
    scan = Volume(np.zeros(GRID.shape, np.int16), GRID, "mr")
    table, view = StructureTable.bundled(), View(seen=NAMES[:3], company=0.7)
    verdict, reason = judge_missing("brain stem", Missed(0.31), view, scan, table)
    assert verdict == "unsure"
    assert "0.31, came too near" in reason
    verdict, reason = judge_missing("soft tissue sarcoma", Missed(0.0), view, scan, table)
    assert verdict == "unsure"
    assert "Small and faint ones are missed" in reason


def test_an_engine_that_marks_nothing_at_all_and_tells_nothing_of_its_sureness_denies_nothing() -> None:
    """It may know one structure only, so that nothing else was seen is no sign of another part of the body."""
    scan, table = Volume(np.zeros(GRID.shape, np.int16), GRID, "ct"), StructureTable.bundled()
    assert judge_missing("spleen", Missed(None), View(), scan, table)[0] == "unsure"
    assert judge_missing("spleen", Missed(None), View(seen=NAMES[:2]), scan, table)[0] == "unsure"
    assert judge_missing("spleen", Missed(0.01), View(), scan, table)[0] == "outside_view"


@pytest.mark.parametrize(("chance", "verdict"), [(0.004, "absent"), (0.09, "absent"), (0.1, "unsure"), (0.6, "unsure")])
def test_where_its_chance_is_known_a_structure_is_absent_below_the_limit(chance: float, verdict: str) -> None:
    """Whatever the highest sigmoid and the card say: the chance was fitted on both."""
    scan = Volume(np.zeros(GRID.shape, np.int16), GRID, "mr")
    table, view = StructureTable.bundled(), View(seen=NAMES[:3], company=0.7)
    missed = Missed(0.31, Chance(chance, 0.1, 0.5), is_known=False)
    found, reason = judge_missing("brain stem", missed, view, scan, table)
    assert found == verdict
    assert ("below 0.01" if chance < 0.01 else f"{chance:.2f}") in reason


@pytest.mark.parametrize(("chance", "verdict"), [(0.05, "absent"), (0.3, "unsure"), (0.7, "present")])
def test_a_mask_needs_a_chance_that_it_is_there(chance: float, verdict: str) -> None:
    array = np.zeros(GRID.shape, dtype=np.bool_)
    array[20:26, 10:16, 9:15] = True
    scan = Volume(np.ones(GRID.shape, dtype=np.int16), GRID, "mr")
    sure = Sureness(0.95, 0.4, calibrated=True, chance=Chance(chance, 0.1, 0.5))
    view = View(seen=NAMES, company=0.7)
    found = judge("brain stem", Mask(array, GRID), scan, sure, HEAD, StructureTable.bundled(), view)
    assert found.verdict == verdict
    assert verdict == "present" or f"{chance:.2f}" in found.reason
