"""What any other model says of a mask: toys whose masks are moved by known steps, sizes and lengths by hand."""

from typing import Any

import numpy as np
import pytest

from ostensor.imaging.volume import Mask
from ostensor.models import catalogue
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask

LIVER = (slice(8, 25), slice(10, 30), slice(5, 17))


@pytest.fixture
def settings(several: Settings) -> Settings:
    return several


def drawn(desk: Desk, image_id: str, structure: str, *where: slice) -> str:
    grid = desk.store.image(image_id).grid
    array = np.zeros(grid.shape, np.bool_)
    if where:
        array[where] = True
    return desk.store.add_mask(Mask(array, grid), image_id=image_id, structure=structure, made_by="test").mask_id


def rows(ask: Ask, mask_id: str) -> dict[str, dict[str, Any]]:
    result = ask("assess_mask", mask_id=mask_id, methods=["second_engine"]).result
    assert {row["method"] for row in result["checks"]} == {"second_engine"}
    return {row["check"]: row for row in result["checks"]}


def test_every_model_that_did_not_make_the_mask_is_asked(ask: Ask, image_id: str) -> None:
    made = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    assert list(rows(ask, made)) == ["second engine toy-moved", "second engine toy-outside"]


def test_a_measured_model_judges_and_says_where_the_masks_differ(ask: Ask, desk: Desk, image_id: str) -> None:
    """4080 voxels of 2.16 mm3; moved by 0.8 mm to the left both hold a face of 240 voxels alone: 0.518 ml."""
    found = rows(ask, drawn(desk, image_id, "liver", *LIVER))["second engine toy-moved"]
    assert (found["passed"], found["value"]) == (True, pytest.approx(16 / 17, abs=1e-4))
    assert found["allowed"].startswith("at least 0.7 (Dice of toy-moved on held-out scans less 0.15")
    assert "the mask has 8.813 ml, its own 8.813 ml" in found["reason"]
    assert "The mask holds 0.518 ml alone, up to 1 mm beyond the other, mostly right" in found["reason"]
    assert "toy-moved marks 0.518 ml alone, up to 1 mm beyond the other, mostly left" in found["reason"]


def test_a_model_that_was_never_measured_judges_nothing(ask: Ask, desk: Desk, image_id: str) -> None:
    mask = drawn(desk, image_id, "liver", slice(28, 45), *LIVER[1:])
    reply = ask("assess_mask", mask_id=mask, methods=["second_engine"])
    found = {row["check"]: row for row in reply.result["checks"]}
    theirs = found["second engine toy-outside"]
    assert (theirs["passed"], theirs["value"], theirs["allowed"]) == (None, 0.0, "")
    assert "weak evidence either way" in theirs["reason"]
    assert found["second engine toy-moved"]["passed"] is False
    assert reply.result["plausible"] is False
    assert theirs["reason"] in reply.text


def test_only_unmeasured_models_leave_plausible_open_but_are_told(ask: Ask, image_id: str) -> None:
    made = ask("segment", image_id=image_id, structures=["left kidney"]).result["masks"][0]["mask_id"]
    reply = ask("assess_mask", mask_id=made, methods=["second_engine"])
    assert reply.result["plausible"] is None
    assert "toy-outside agrees with a Dice of 0.00" in reply.text


def test_a_model_that_finds_nothing_proves_nothing(ask: Ask, desk: Desk, image_id: str) -> None:
    mask = drawn(desk, image_id, "spleen", slice(40, 50), slice(30, 41), slice(20, 29))
    found = rows(ask, mask)
    assert (found["second engine toy-moved"]["passed"], found["second engine toy-moved"]["value"]) == (None, 0.0)
    assert "toy-moved marks nothing" in found["second engine toy-moved"]["reason"]
    empty = rows(ask, drawn(desk, image_id, "spleen"))
    assert empty["second engine toy-moved"]["value"] is None
    assert "The mask is empty; toy-ct marks 2.138 ml" in empty["second engine toy-ct"]["reason"]


def test_where_no_other_model_knows_it_that_is_said(ask: Ask, desk: Desk, image_id: str) -> None:
    together = ask("segment", image_id=image_id, structures=["liver"], model="all").result["masks"][0]["mask_id"]
    for mask, fact in (
        (together, "comes from toy-ct, toy-moved, toy-outside"),
        (drawn(desk, image_id, "aorta", *LIVER), "No other model"),
    ):
        found = rows(ask, mask)["second engine"]
        assert found["passed"] is None
        assert fact in found["reason"]


def test_a_model_that_cannot_be_asked_sinks_no_other(
    ask: Ask, desk: Desk, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines_toy import BROKEN, CRASHING

    monkeypatch.setattr(catalogue, "ENTRIES", (*catalogue.ENTRIES, BROKEN, CRASHING))
    catalogue.forget_cards()
    found = rows(ask, drawn(desk, image_id, "liver", *LIVER))
    assert "lost its weights" in found["second engine toy-broken"]["reason"]
    assert "ended in the middle" in found["second engine toy-crashing"]["reason"]
    assert found["second engine toy-moved"]["passed"] is True
