"""Every model that knows a structure is asked: toys whose masks are moved by known steps, counted by hand."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ostensor.models import catalogue
from ostensor.server.mcp.wire import packed
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.results import SegmentResult
from ostensor.tools.desk.settings import Settings
from ostensor.tools.segmenting.second_opinions import makers

from ...toys.desks import Ask

LIVER = 17 * 20 * 12  # voxels; moved by one along x it shares 16 of 17
VOXEL_ML = 0.8 * 0.9 * 3 / 1000


@pytest.fixture
def settings(several: Settings) -> Settings:
    return several


def asked(ask: Ask, image_id: str, *names: str) -> dict[str, dict[str, Any]]:
    rows = ask("segment", image_id=image_id, structures=list(names), model="all").result["masks"]
    return {row["structure"]: row for row in rows}


def test_the_mask_of_three_models_is_what_most_mark(ask: Ask, desk: Desk, image_id: str) -> None:
    """Two of three have the liver moved by one voxel, one of those with a slice more: most mark the moved one."""
    row = asked(ask, image_id, "liver")["liver"]
    own = row["agreement"]["masks"]
    assert list(own) == ["toy-ct", "toy-moved", "toy-outside"]
    np.testing.assert_array_equal(desk.store.mask(row["mask_id"]).array, desk.store.mask(own["toy-moved"]).array)
    assert row["verdict"] == "present"
    assert row["volume_ml"] == pytest.approx(LIVER * VOXEL_ML, abs=0.01)
    assert row["agreement"]["volume_ml"] == pytest.approx([LIVER * VOXEL_ML, LIVER * VOXEL_ML * 13 / 12], abs=0.01)
    assert row["agreement"]["dice"] == pytest.approx(2 * 16 * 12 / (17 * 12 + 17 * 13), abs=1e-4)
    assert (row["confidence"], row["mean_sigmoid"], row["volume_90_ml"]) == (None, None, None)
    assert any("more than half of 3 models" in warning for warning in row["warnings"])
    record = desk.store.mask_record(row["mask_id"])
    assert record.facts["provenance"]["licence"] == "CC BY-NC; CC0"
    assert makers(desk, record) == {"toy-ct", "toy-moved", "toy-outside"}


def test_with_two_models_the_better_measured_one_has_the_mask(ask: Ask, desk: Desk, image_id: str) -> None:
    """Both have the right kidney; the better measured one is unsure of it, and that another agrees does not raise it."""
    row = asked(ask, image_id, "right kidney")["right kidney"]
    own = row["agreement"]["masks"]
    np.testing.assert_array_equal(desk.store.mask(row["mask_id"]).array, desk.store.mask(own["toy-ct"]).array)
    assert row["agreement"]["dice"] == pytest.approx(4 / 5)  # 5 voxels wide, moved by one
    assert row["verdict"] == "unsure"
    alone = ask("segment", image_id=image_id, structures=["right kidney"], model="toy-moved").result["masks"][0]
    assert alone["verdict"] == "present"
    assert desk.store.mask_record(row["mask_id"]).facts["provenance"]["model"] == "toy-ct"


def test_models_that_disagree_on_presence_leave_it_open(ask: Ask, desk: Desk, image_id: str) -> None:
    row = asked(ask, image_id, "spleen")["spleen"]
    assert row["verdict"] == "unsure"
    assert "disagree on whether the spleen is there: toy-ct marks 2.138 ml; toy-moved says absent" in row["reason"]
    assert row["agreement"]["masks"]["toy-moved"] is None
    assert row["agreement"]["dice"] == 0
    record = desk.store.mask_record(row["mask_id"])
    assert record.facts["verdict"] == "unsure", "what later tools read of the mask says so, too"
    assert desk.store.mask_record(row["agreement"]["masks"]["toy-ct"]).facts["verdict"] == "present"


def test_models_that_mark_different_places_leave_it_open(ask: Ask, image_id: str) -> None:
    row = asked(ask, image_id, "left kidney")["left kidney"]
    assert row["verdict"] == "unsure"
    assert "mark different things" in row["reason"]
    assert "Dice of 0.00" in row["reason"]


def test_one_model_alone_is_said_to_be_alone(ask: Ask, image_id: str) -> None:
    rows = asked(ask, image_id, "urinary bladder", "aorta")
    assert rows["urinary bladder"]["verdict"] == "absent"
    assert "Only toy-ct looks for the urinary bladder" in rows["urinary bladder"]["warnings"][0]
    assert rows["urinary bladder"]["agreement"] is None
    assert (rows["aorta"]["verdict"], rows["aorta"]["warnings"]) == ("unsupported", [])


def test_rows_keep_their_order_and_none_is_doubled(ask: Ask, image_id: str) -> None:
    names = ["spleen", "liver", "urinary bladder", "left kidney"]
    assert list(asked(ask, image_id, *names)) == names


def test_a_model_that_cannot_be_asked_sinks_no_other(ask: Ask, image_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from engines_toy import BROKEN, CRASHING

    monkeypatch.setattr(catalogue, "ENTRIES", (*catalogue.ENTRIES, BROKEN, CRASHING))
    catalogue.forget_cards()
    row = asked(ask, image_id, "liver")["liver"]
    assert row["verdict"] == "present"
    assert list(row["agreement"]["masks"]) == ["toy-ct", "toy-moved", "toy-outside"]
    assert any("toy-broken could not be asked: toy-broken has lost its weights" in text for text in row["warnings"])
    assert any("toy-crashing could not be asked: toy-crashing ended" in text for text in row["warnings"])


def test_the_same_question_has_the_same_handles(ask: Ask, image_id: str) -> None:
    first, again = (asked(ask, image_id, "liver", "spleen") for _ in range(2))
    assert [row["mask_id"] for row in first.values()] == [row["mask_id"] for row in again.values()]


def test_agreement_costs_nothing_where_it_was_not_asked_for(ask: Ask, image_id: str) -> None:
    """With model='auto' the field does not travel; with 'all' it takes less than 250 characters more."""
    plain = ask("segment", image_id=image_id, structures=["liver"]).result
    whole = ask("segment", image_id=image_id, structures=["liver"], model="all").result
    sent = [packed(SegmentResult, one)["masks"][0] for one in (plain, whole)]
    assert "agreement" not in sent[0]
    assert len(json.dumps(sent[1]["agreement"], separators=(",", ":"))) <= 250


def test_a_cohort_may_be_looked_at_by_every_model(ask: Ask) -> None:
    done = ask("run_batch", paths=["ct.nii.gz"], structures=["liver", "spleen"], model="all", wait_s=60)
    assert not done.is_error, done.text
    assert done.result["cohort"]["verdicts"] == {"present": 1, "unsure": 1}, "liver and spleen, as above"


def test_weights_for_research_are_not_asked_for_another_purpose(
    ask: Ask, desk: Desk, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = tuple(
        replace(one, purpose="research-only") if one.name == "toy-moved" else one for one in catalogue.ENTRIES
    )
    monkeypatch.setattr(catalogue, "ENTRIES", cards)
    catalogue.forget_cards()
    desk.settings = replace(desk.settings, purpose="commercial")
    assert list(asked(ask, image_id, "liver")["liver"]["agreement"]["masks"]) == ["toy-ct", "toy-outside"]


def test_all_takes_no_context(ask: Ask, image_id: str) -> None:
    refused = ask("segment", image_id=image_id, structures=["liver"], model="all", context="abdominal CT")
    assert refused.is_error
    assert "'all' takes no context" in refused.text
