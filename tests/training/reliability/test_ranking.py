"""Does confidence rank true Dice? Signs of toys whose masks are known by hand, and tables with known ranks."""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ostensor.imaging.errors import Unavailable
from ostensor.models.inference.calibration import SIGNS, Calibration
from ostensor.models.inference.views import VIEWS, agreement
from ostensor.training.folders import Folders
from ostensor.training.reliability import ranking
from ostensor.training.reliability.calibrate import CHANGES
from ostensor.training.reliability.ranking import KINDS, Ranked, entropy_per_voxel, measure, ranked, table, write
from ostensor.training.segmenting.config import RunConfig

LIVER = {"liver": (1,)}
SIZE = SIGNS.index("log10 of voxels (per slice in 2-D networks)")


def _by_size(weight: float, bias: float) -> Calibration:
    """Expected Dice as a sigmoid of the mask's size alone."""
    weights = tuple(weight if n == SIZE else 0.0 for n in range(len(SIGNS)))
    plain = (0.0,) * len(SIGNS), (1.0,) * len(SIGNS)
    return Calibration("", "", *plain, weights, bias, {}, sure_from=0.5)


def test_entropy_of_votes_by_hand() -> None:
    """One voxel marked by both views, one by one of them: ln 2 over 1.5 voxels."""
    masks = [np.array([[[1, 1, 0]]], dtype=bool), np.array([[[1, 0, 0]]], dtype=bool)]
    assert entropy_per_voxel(agreement(masks)) == pytest.approx(math.log(2) / 1.5)
    assert entropy_per_voxel(agreement([masks[0], masks[0]])) == 0
    assert entropy_per_voxel(agreement([masks[0] & False, masks[1] & False])) == 0


def test_a_network_that_no_view_confuses_agrees_with_itself(toys: ModuleType) -> None:
    """A box of clear contrast: every view, moved back, has the same mask; 819 voxels, logits of 6."""
    found = list(
        ranked(toys.predictor(toys.brighter_than(toys.CUT_HU)), _by_size(2.0, -5.0), toys.case(), LIVER, "none")
    )
    assert [(one.patient, one.structure, one.change, one.dice) for one in found] == [("p0", "liver", "none", 1.0)]
    assert found[0].said == {
        "expected Dice": pytest.approx(1 / (1 + math.exp(5 - 2 * math.log10(9 * 13 * 7)))),
        "mean sigmoid": pytest.approx(1 / (1 + math.exp(-6)), abs=1e-3),  # features are kept in half precision
        "agreement": 1.0,
        "minus entropy": 0.0,
    }


def test_agreement_and_entropy_are_those_of_plain_thresholds(toys: ModuleType) -> None:
    """Six thresholded pictures, moved back by `roll` and compared pair by pair; the liver's edge is blurred by noise."""
    scan = toys.case()
    scan.volume.array[toys.LIVER] += np.random.default_rng(0).normal(-90, 40, (9, 13, 7)).astype(np.float32)
    back = {1: (-3, 0), 2: (3, 1)}  # views 1 and 2 moved the scan by 3 and -3 voxels along x and y
    masks = [
        np.roll(view.change(scan.volume.array) > toys.CUT_HU, *back.get(n, (0, 0))) for n, view in enumerate(VIEWS)
    ]
    pairs = [2 * (a & b).sum() / (a.sum() + b.sum()) for n, a in enumerate(masks) for b in masks[:n]]
    votes = np.sum(masks, axis=0)
    entropy = sum(
        -n / 6 * math.log(n / 6) - (1 - n / 6) * math.log(1 - n / 6) for n in votes[(votes > 0) & (votes < 6)]
    )
    network = toys.predictor(toys.brighter_than(toys.CUT_HU))
    (found,) = ranked(network, _by_size(1.0, 0.0), scan, LIVER, "none")
    assert len(pairs) == 15
    assert 0.5 < np.mean(pairs) < 0.95, "the views do differ"
    assert found.said["agreement"] == pytest.approx(np.mean(pairs))
    assert found.said["minus entropy"] == pytest.approx(-entropy / np.mean([mask.sum() for mask in masks]), rel=1e-5)
    truth = scan.labels == 1
    assert found.dice == pytest.approx(2 * (masks[0] & truth).sum() / (masks[0].sum() + truth.sum()))


def test_a_mask_that_is_empty_is_not_ranked(toys: ModuleType) -> None:
    """Nothing is above 340 HU. Everything is below it, so the opposite network marks the whole scan."""
    network = toys.predictor(toys.brighter_than(340), ("liver", "spleen"))
    assert list(ranked(network, _by_size(1.0, 0.0), toys.case(), LIVER, "none")) == []
    (found,) = ranked(network, _by_size(1.0, 0.0), toys.case(), {**LIVER, "spleen": (2,)}, "none")
    assert (found.structure, found.dice) == ("spleen", 0.0)


def test_it_is_measured_on_the_half_not_calibrated_on_under_every_change(
    toys: ModuleType, toy_plan: RunConfig, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a threshold finds: all of a clean, noisy (5 sd), moved or cropped scan, the exact opposite where dark is
    bright. Two of four held-out patients; the spleen is not claimed; a wrong scan's mask is worth nothing."""
    network = toys.predictor(toys.brighter_than(toys.CUT_HU), ("liver", "spleen"))
    monkeypatch.setattr(ranking, "card", lambda name, folder: network.card)
    monkeypatch.setattr(ranking, "calibration_of", lambda entry, folder: _by_size(1.0, 0.0))
    monkeypatch.setattr(ranking, "load_predictor", lambda name, threads, folder: network)
    monkeypatch.setattr(ranking, "wrong_scans", lambda data, name, part: [toys.case(f"{name}, {part}")])
    held_out = sorted(toys.DATASET.held_out([f"p{n}" for n in range(6)]))
    found = measure(toy_plan, folders)
    assert [row.patient for row in found if row.change == "none"] == held_out[0::2]
    assert {row.structure for row in found} == {"liver"}
    assert {row.change for row in found} == {*CHANGES, "wrong kind"}
    for change in ("none", "noise", "motion", "crop"):
        assert [row.dice for row in found if row.change == change] == [1.0, 1.0]
    assert [row.dice for row in found if row.change == "wrong modality"] == [0.0, 0.0]
    assert all(0.5 < row.dice < 1 for row in found if row.change == "low dose")
    assert [(row.patient, row.dice) for row in found if row.change == "wrong kind"] == [("toys, report", 0.0)]
    assert [row.patient for row in measure(toy_plan, folders, most=1) if row.change == "none"] == held_out[:1]


def test_without_a_calibration_it_says_what_to_do(
    toys: ModuleType, toy_plan: RunConfig, folders: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = toys.predictor(toys.brighter_than(toys.CUT_HU))
    monkeypatch.setattr(ranking, "card", lambda name, folder: network.card)
    with pytest.raises(Unavailable, match="'sat-mini-torso' is not calibrated"):
        measure(toy_plan, folders)


def _rows(change: str = "none") -> list[Ranked]:
    """Ranks by hand: in order, reversed, all alike, and two neighbours swapped: 1 - 6 x 2 / (4 x 15) = 0.8."""
    said = [(0.2, 0.9, 0.5, -3.0), (0.3, 0.8, 0.5, -4.0), (0.4, 0.7, 0.5, -2.0), (0.5, 0.6, 0.5, -1.0)]
    return [
        Ranked("p", "liver", change, dict(zip(KINDS, values, strict=True)), dice)
        for values, dice in zip(said, (0.1, 0.2, 0.6, 0.9), strict=True)
    ]


def test_the_table_holds_rank_correlations_and_means() -> None:
    lines = table(_rows()).splitlines()
    assert lines[0].startswith("| scan | masks | true Dice | expected | agreement | Spearman: expected Dice |")
    assert lines[2:] == [
        "| all | 4 | 0.45 | 0.35 | 0.50 | 1.00 | -1.00 | - | 0.80 |",
        "| none | 4 | 0.45 | 0.35 | 0.50 | 1.00 | -1.00 | - | 0.80 |",
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_changes_are_ranked_apart_and_together() -> None:
    """Masks that are all bad have no ranks; over everything the true Dice is 1.8 / 9."""
    noisy = [Ranked(row.patient, row.structure, "noise", row.said, 0.0) for row in _rows()]
    wrong = [Ranked("q", "liver", "wrong kind", _rows()[0].said, 0.0)]
    lines = table([*wrong, *noisy, *_rows()]).splitlines()[2:]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| all", "9", "0.20"], ["| none", "4", "0.45"], ["| noise", "4", "0.00"], ["| wrong kind", "1", "0.00"],
    ]  # fmt: skip
    assert lines[2].endswith("| 0.35 | 0.50 | - | - | - | - |")


def test_the_report_keeps_its_other_sections(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text(
        "# Doubt\n\nWords.\n\n## ranking by other\n\nkept\n\n## ranking by toys\n\nold\n\n## last\n\nkept\n"
    )
    write("toys", _rows(), path)
    assert path.read_text() == (
        f"# Doubt\n\nWords.\n\n## ranking by other\n\nkept\n\n## ranking by toys\n\n{table(_rows())}\n\n## last\n\nkept\n"
    )
