"""A pair and its two halves give one answer, on expert slices of patients held out of training."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.models.catalogue import card
from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.store.records import ImageRecord
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use
from ostensor.tools.segmenting.pairs import halves_of, with_halves
from ostensor.tools.segmenting.planning import Wish
from ostensor.training.data import btcv, hippocampus


def wish(structure: str, model: str) -> Wish:
    return Wish(structure, structure, card(model), "")


def test_a_pair_is_asked_for_by_its_halves_where_the_model_finds_both() -> None:
    table = StructureTable.bundled()
    asked = [
        wish("kidneys", "sat-mini-abdomen-2d"),
        wish("left kidney", "sat-mini-abdomen-2d"),
        wish("liver", "sat-mini-abdomen-2d"),
    ]
    made = with_halves(table, asked)
    assert [one.structure for one in made] == ["left kidney", "right kidney", "liver"]
    assert [one.asked_as for one in made] == ["left kidney", "kidneys", "liver"], "words asked for themselves are kept"
    assert halves_of(table, wish("hippocampi", "sat-mini-hippocampus")) == (), "it knows no sides"
    assert halves_of(table, wish("hippocampi", "sat-mini-brain")) == ("left hippocampus", "right hippocampus")


def answers(desk: Desk, image: ImageRecord, *names: str) -> dict[str, dict[str, object]]:
    result = use(desk, "segment", image_id=image.image_id, structures=list(names), wait_s=200).result
    return {row.structure: row.model_dump() for row in result.masks}


@pytest.mark.data
def test_the_pair_is_the_union_of_its_halves_and_never_surer(shared_data: Path, tmp_path: Path) -> None:
    cases = btcv.DATASET.cases(shared_data, "test")[::4]
    with Desk(Settings(store=tmp_path, roots=(shared_data,), threads=1)) as desk:
        for case in cases:
            assert case.volume is not None
            image = desk.store.add_image(case.volume, source_name="slice")
            rows = answers(desk, image, "kidneys", "left kidney", "right kidney")
            masks = [row["mask_id"] for name, row in rows.items() if name != "kidneys" and row["mask_id"]]
            verdicts = [row["verdict"] for name, row in rows.items() if name != "kidneys"]
            if not masks:
                assert rows["kidneys"]["mask_id"] is None
                continue
            union = np.logical_or.reduce([desk.store.mask(str(mask)).array for mask in masks])
            assert np.array_equal(desk.store.mask(str(rows["kidneys"]["mask_id"])).array, union)
            assert (rows["kidneys"]["verdict"] == "unsure") == ("unsure" in verdicts)
            assert answers(desk, image, "kidneys")["kidneys"]["mask_id"] == rows["kidneys"]["mask_id"]


@pytest.mark.data
def test_a_network_without_sides_answers_for_the_pair_itself(shared_data: Path, tmp_path: Path) -> None:
    case = hippocampus.DATASET.cases(shared_data, "test")[0]
    assert case.volume is not None
    with Desk(Settings(store=tmp_path, roots=(shared_data,), threads=1)) as desk:
        image = desk.store.add_image(case.volume, source_name="crop")
        assert answers(desk, image, "hippocampi")["hippocampi"]["mask_id"] is not None
