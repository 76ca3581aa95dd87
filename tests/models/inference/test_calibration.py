"""Expected Dice: its signs, its error, its file. Expected values by hand or from data made with a known law."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.catalogue import WEIGHTS_FOLDER, catalogue
from ostensor.models.inference.calibration import (
    SIGNS,
    Calibration,
    calibration_of,
    expected_calibration_error,
    path_of,
    signs_of,
    way_of,
)
from ostensor.training.cases import Case
from ostensor.training.reliability.calibrate import CHANGES, Row, fit, quality


def test_signs_of_three_voxels_by_hand() -> None:
    """Logits 0 counts as outside; sigmoid(2) = .881, sigmoid(-1) = .269."""
    logit = np.full((3, 2, 5), -9.0, dtype=np.float32)
    logit[0, 0, 0], logit[1, 0, 0], logit[2, 0, 0] = 2.0, 2.0, -1.0
    inside, outside = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    found = dict(zip(SIGNS, signs_of(logit, 0.5), strict=True))
    assert found["soft Dice"] == pytest.approx(2 * 2 * inside / (2 + 2 * inside + outside), rel=1e-5)
    assert found["mean sigmoid"] == pytest.approx(inside, rel=1e-5)
    assert found["ambiguous share"] == 0
    assert found["share of the largest part"] == 0.5
    assert signs_of(np.full((3, 2, 5), -1.0, dtype=np.float32), 0.0) == ()


def test_slices_are_counted_apart_in_flat_networks() -> None:
    logit = np.full((5, 2, 4), 3.0, dtype=np.float32)
    name = next(sign for sign in SIGNS if sign.startswith("log10"))
    whole, flat = (dict(zip(SIGNS, signs_of(logit, 1.0, by_slice=by), strict=True))[name] for by in (False, True))
    assert (whole, flat) == (pytest.approx(math.log10(40)), pytest.approx(math.log10(10)))


def test_calibration_error_of_known_cases() -> None:
    assert expected_calibration_error([0.9, 0.9, 0.1], [1.0, 0.8, 0.1]) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error([0.9, 0.9], [0.5, 0.5]) == pytest.approx(0.4)
    assert expected_calibration_error([1.0, 0.0], [0.0, 0.0]) == pytest.approx(0.5)


def _rows(seed: int, count: int = 400) -> list[Row]:
    """True Dice is a sigmoid of two signs; the mean sigmoid is always high, so it says nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        soft, size = rng.uniform(0, 1), rng.uniform(1, 4)
        dice = 1 / (1 + math.exp(-(6 * (soft - 0.5) + 1.5 * (size - 2.5))))
        made.append(Row("p", "liver", "none", (soft, 0.9 + 0.05 * rng.random(), 0.99, size, 0.5, 1.0), dice, 500))
    return made


def test_a_known_law_is_learned_and_ranks_new_masks() -> None:
    made = fit(_rows(0), "abc", "")
    found = quality(made, _rows(1))
    assert found.ece < 0.03 < 0.2 < found.ece_raw
    assert found.spearman is not None
    assert found.spearman > 0.99
    with pytest.raises(BadCall, match="7 masks are too few"):
        fit(_rows(0, 7), "abc", "")


def test_limits_part_what_is_there_from_what_is_not() -> None:
    """Good masks have a soft Dice of .9, false ones of .2; both limits must lie between what they are worth."""
    sign = (0.99, 0.99, 3.0, 0.5, 1.0)
    rows = [
        Row("p", "liver", "none", (0.9, *sign), 0.9, 500),
        Row("p", "liver", "wrong kind", (0.2, *sign), 0.0, 0),
    ] * 60
    made = fit(rows, "abc", "")
    good, bad = (made.expected_dice("liver", row.signs) for row in rows[:2])
    assert bad < made.sure_from <= good


def test_scans_are_cut_in_half_from_either_end() -> None:
    """Labels count columns; the half that stays keeps its place in the world."""
    labels = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None], (9, 4, 3))
    grid = Grid(labels.shape, np.diag([2.0, 2.0, 5.0, 1.0]))
    kept = set()
    for name in ("a", "b", "c", "d"):
        case = Case("p", name, Volume(labels.astype(np.int16), grid, "ct"), labels, grid)
        half = CHANGES["half"](case, np.random.default_rng(0))
        assert half.volume is not None
        columns = half.labels[:, 0, 0].tolist()
        assert half.volume.array[:, 0, 0].tolist() == columns
        assert half.grid.affine[0, 3] == 2.0 * columns[0]
        kept.add(tuple(columns))
    assert kept == {(0, 1, 2, 3), (4, 5, 6, 7)}


def test_a_calibration_of_other_weights_or_decisions_is_not_used(tmp_path: Path) -> None:
    entry = next(card for card in catalogue(WEIGHTS_FOLDER) if card.weights == "bundled" and card.facts.get("cutoffs"))
    other = {**entry.facts, "along_mm": 17.0}
    for folder, sha256, facts, used in (
        ("same", entry.sha256, entry.facts, True),
        ("weights", "0" * 64, entry.facts, False),
        ("decisions", entry.sha256, other, False),
        ("preparation", entry.sha256, {**entry.facts, "preparation": {"dims": 2}}, False),
    ):
        made = fit(_rows(0), sha256, way_of(facts))
        path = path_of(entry, tmp_path / folder)
        path.parent.mkdir()
        path.write_text(json.dumps(made.to_json()), encoding="utf-8")
        found = calibration_of(entry, tmp_path / folder)
        assert (found is not None) == used, folder
    again = Calibration.from_json(json.loads(path_of(entry, tmp_path / "same").read_text(encoding="utf-8")))
    assert again.expected_dice("liver", _rows(2)[0].signs) == pytest.approx(
        made.expected_dice("liver", _rows(2)[0].signs)
    )
    assert again.expected_dice("liver", ()) == 0.0


def test_every_bundled_calibration_is_of_its_models_weights_and_decisions() -> None:
    kept = [card for card in catalogue(WEIGHTS_FOLDER) if path_of(card, WEIGHTS_FOLDER).is_file()]
    assert kept
    for entry in kept:
        assert calibration_of(entry, WEIGHTS_FOLDER) is not None, (
            f"run `ostensor eval {entry.name.removeprefix('sat-mini-')} --calibrate`"
        )
