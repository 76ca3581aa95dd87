"""A card that contradicts itself never enters the catalogue."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from ostensor.models.card import Card
from ostensor.models.catalogue import ENTRIES

GOOD = ENTRIES[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modalities", ("ct", "xray film")),
        ("modalities", ()),
        ("dimensions", (4,)),
        ("purpose", "commercial"),
        ("weights", "somewhere"),
        ("fidelity", "perfect"),
        ("intensity", "hu"),
        ("claimed", ("liver",)),
        ("memory_mb", 0),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, value: Any) -> None:
    """Each value lies outside the list written in the card's docstring."""
    with pytest.raises(ValueError, match=f"'{GOOD.name}'.*{field}"):
        replace(GOOD, **{field: value})


def test_a_card_does_not_change() -> None:
    """Values are frozen (STYLE §6)."""
    with pytest.raises(FrozenInstanceError):
        GOOD.name = "other"  # type: ignore[misc]  # the refusal is what is tested


def test_only_bundled_weights_are_ready() -> None:
    """A file the user must bring cannot be asked at once."""
    ready = {kind: replace(GOOD, weights=kind).is_ready for kind in ("bundled", "hub", "user-file", "none")}
    assert ready == {"bundled": True, "hub": False, "user-file": False, "none": False}


def test_cards_can_be_collected_in_a_set() -> None:
    """Measured results are not part of the hash, so cards stay hashable."""
    with_results: Card = replace(GOOD, plausible_ml={"liver": (1.0, 2.0)})
    assert len({GOOD, GOOD, with_results}) == 2
