"""Who is asked for a second opinion, and who is not: a toy that knows how good it is, and toys that do not."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostensor.imaging.volume import Mask
from ostensor.models import catalogue
from ostensor.models.inference.calibration import Calibration, way_of
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import HERE, Ask

LIVER = (slice(8, 25), slice(10, 30), slice(5, 17))
EXPECTED = {"liver": 0.9, "spleen": 0.9, "right kidney": 0.4}


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """`toy-second` expects the Dice above, whatever its masks look like."""
    monkeypatch.syspath_prepend(str(HERE))
    from second_toy import CARDS

    zeros = (0.0,) * 6
    sure = Calibration(
        weights_sha256="2" * 64,
        way=way_of({}),
        centre=zeros,
        scale=(1.0,) * 6,
        weights=zeros,
        bias=0.0,
        offsets={name: logit(value) for name, value in EXPECTED.items()},
        sure_from=0.5,
    )
    (tmp_path / "toy-second.calibration.json").write_text(json.dumps(sure.to_json()), encoding="utf-8")
    monkeypatch.setattr(catalogue, "ENTRIES", CARDS)
    monkeypatch.setattr(catalogue, "WEIGHTS_FOLDER", tmp_path)
    catalogue.forget_cards()
    yield
    monkeypatch.undo()
    catalogue.forget_cards()


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    return Settings(store=tmp_path / "store", roots=(root,), factory="second_toy:load")


def drawn(desk: Desk, image_id: str, structure: str, *where: slice) -> str:
    grid = desk.store.image(image_id).grid
    array = np.zeros(grid.shape, bool)
    array[where] = True
    return desk.store.add_mask(Mask(array, grid), image_id=image_id, structure=structure, made_by="test").mask_id


def second(result: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in result["checks"] if row["method"] == "second_opinion")


def test_a_drawn_mask_is_compared_with_the_network_that_knows_how_good_it_is(
    ask: Ask, desk: Desk, image_id: str
) -> None:
    row = second(ask("assess_mask", mask_id=drawn(desk, image_id, "liver", *LIVER)).result)
    assert (row["check"], row["passed"], row["value"]) == ("second opinion", True, 1.0)
    assert "at least 0.75" in row["allowed"]
    assert "toy-second" in row["allowed"]


def test_a_moved_mask_fails_and_the_answer_says_by_how_much_and_by_whom(ask: Ask, desk: Desk, image_id: str) -> None:
    """Moved by 12 voxels of 0.8 mm to the patient's left, of which the mask is 17 long: 5 of 17 are shared."""
    mask = drawn(desk, image_id, "liver", slice(20, 37), *LIVER[1:])
    reply = ask("assess_mask", mask_id=mask, methods=["second_opinion"])
    row = second(reply.result)
    assert row["passed"] is False
    assert row["value"] == pytest.approx(5 / 17, abs=1e-4)
    assert reply.result["plausible"] is False
    assert "toy-second" in reply.text
    assert "10 mm left of it" in reply.text


def test_a_mask_of_another_organ_is_named(ask: Ask, desk: Desk, image_id: str) -> None:
    mask = drawn(desk, image_id, "liver", slice(40, 50), slice(30, 41), slice(20, 29))
    assert "rather is the spleen" in second(ask("assess_mask", mask_id=mask).result)["reason"]


def test_another_models_mask_is_judged_but_never_the_networks_own(ask: Ask, image_id: str) -> None:
    theirs = ask("segment", image_id=image_id, structures=["liver"], model="toy-ct").result["masks"][0]["mask_id"]
    assert second(ask("assess_mask", mask_id=theirs).result)["passed"] is True
    own = ask("segment", image_id=image_id, structures=["spleen"], model="toy-second").result["masks"][0]["mask_id"]
    edited = ask("edit_mask", operation="shrink", mask_ids=[own], amount_mm=1).result["mask_id"]
    for mask in (own, edited):
        row = second(ask("assess_mask", mask_id=mask).result)
        assert row["passed"] is None
        assert "comes from toy-second itself" in row["reason"]


def test_a_network_that_is_unsure_or_not_calibrated_is_not_asked(ask: Ask, desk: Desk, image_id: str) -> None:
    unsure = drawn(desk, image_id, "right kidney", *LIVER)
    assert "expected Dice 0.40" in second(ask("assess_mask", mask_id=unsure).result)["reason"]
    unknown = drawn(desk, image_id, "urinary bladder", *LIVER)
    assert "No calibrated model" in second(ask("assess_mask", mask_id=unknown).result)["reason"]


def test_weights_for_research_are_not_asked_for_another_purpose(
    ask: Ask, desk: Desk, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = tuple(
        dataclasses.replace(one, purpose="research-only") if one.name == "toy-second" else one
        for one in catalogue.ENTRIES
    )
    monkeypatch.setattr(catalogue, "ENTRIES", cards)
    catalogue.forget_cards()
    desk.settings = dataclasses.replace(desk.settings, purpose="commercial")
    row = second(ask("assess_mask", mask_id=drawn(desk, image_id, "liver", *LIVER)).result)
    assert "No calibrated model" in row["reason"]
