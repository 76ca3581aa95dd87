"""Does fitting to each scan help? A toy whose first step is known, and the table by hand.

Adam's first step moves every parameter by the learning rate against the sign of its gradient, whatever its size.
"""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from ostensor.models.uncertainty.adapting import Adaptation
from ostensor.models.uncertainty.adapting_predictor import AdaptingPredictor
from ostensor.training.folders import Folders
from ostensor.training.reliability import adapting as adapting_evaluate
from ostensor.training.reliability.adapting import GRID, SPOILT, Pair, measure, pairs_of, table, tune, write
from ostensor.training.segmenting.config import RunConfig

GAIN = 4.0
RIM = (slice(5, 6), slice(7, 20), slice(6, 13))  # beside the liver's lowest plane along x, a ninth of it


def _scan(toys: ModuleType):  # type: ignore[no-untyped-def]  # a Case
    """Air around a body of 100 HU with a liver of 320; its rim of 200 HU is no liver."""
    array = np.full(toys.SHAPE, -1000.0)
    array[2:-2, 2:-2, 2:-2] = 100
    array[toys.LIVER] = 320
    array[RIM] = 200
    scan = toys.case(array=array)
    scan.labels[RIM] = 0
    return scan


def _predictor(toys: ModuleType, how: Adaptation) -> AdaptingPredictor:
    """Logits of 4 (s x + b - 0.98) with s = 1 and b = 0: x is 1 in the rim, so it is just marked."""

    class Normed(toys.Toy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(lambda image: GAIN * (self.norm(image) - 0.98), ("liver", "spleen"))
            self.norm = nn.BatchNorm3d(1, eps=0)

    torch.manual_seed(0)
    return AdaptingPredictor(Normed(), toys.predictor(Normed(), ("liver", "spleen")), ["liver"], how=how)


def test_one_step_lowers_scale_and_shift_and_so_drops_the_rim(toys: ModuleType) -> None:
    """Most of the body has x = 1/3 and a logit of -2.6: entropy falls when scale and shift fall, by .05 each. Then the
    rim has 4 (.95 - .05 - .98) < 0 and is no longer marked, and the liver 4 (1.71 - .05 - .98) > 0 still is."""
    liver, rim = 8 * 13 * 7, 13 * 7
    predictor = _predictor(toys, Adaptation(steps=1, learning_rate=0.05))
    found = list(pairs_of(predictor, [_scan(toys)], toys.DATASET))
    assert [(one.patient, one.change) for one in found] == [("p0", change) for change in SPOILT], "no spleen is shown"
    clean = found[0]
    assert clean.plain == pytest.approx(2 * liver / (2 * liver + rim))
    assert clean.adapted == 1.0
    assert clean.fell
    assert not clean.stopped


def test_a_step_that_would_change_too_much_leaves_the_answer_as_it_was(toys: ModuleType) -> None:
    """Scale and shift fall by .5: the liver's logit 4 (.9 - .5 - .98) is below 0, and nothing would be marked."""
    clean, *spoilt = pairs_of(_predictor(toys, Adaptation(steps=1, learning_rate=0.5)), [_scan(toys)], toys.DATASET)
    assert (clean.stopped, clean.fell) == (True, False)
    assert all(one.adapted == one.plain for one in (clean, *spoilt) if one.stopped)


def test_settings_are_tuned_on_training_patients_and_measured_on_held_out_ones(
    toys: ModuleType, toy_plan: RunConfig, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[Adaptation | None, list[str]]] = []

    def pairs(how: Adaptation | None, cases: list, dataset: object) -> list[Pair]:  # type: ignore[type-arg]
        used.append((how, [case.patient for case in cases]))
        gain = 0.0 if how is None else how.steps * how.learning_rate
        return [Pair("a", "none", 0.5, 0.5 + gain, True, False), Pair("a", "noise", 0.5, 0.5 - gain / 2, True, False)]

    monkeypatch.setattr(adapting_evaluate, "load_adapting", lambda name, how, threads, folder: how)
    monkeypatch.setattr(adapting_evaluate, "pairs_of", pairs)
    held_out = sorted(toys.DATASET.held_out([f"p{n}" for n in range(6)]))
    train = sorted({f"p{n}" for n in range(6)} - set(held_out))
    found = tune(toy_plan, folders)
    assert used == [(how, train) for how in GRID]
    assert found == {how: pytest.approx(how.steps * how.learning_rate / 4) for how in GRID}
    used.clear()
    measure(toy_plan, folders, most=2)
    assert used == [(None, [held_out[0], held_out[-1]])]


PAIRS = [
    Pair("a", "none", 0.80, 0.90, True, False),
    Pair("b", "none", 0.70, 0.60, True, True),
    Pair("b", "none", 0.50, 0.49, False, True),
    Pair("b", "none", 0.40, 0.37, False, True),
    Pair("a", "contrast", 0.80, 0.90, True, False),
]


def test_the_table_by_hand() -> None:
    """Two patients drawn with replacement: the interval runs from b's mean, -.14 / 3, to a's, +.1."""
    lines = table(PAIRS).splitlines()
    assert lines[2:] == [
        "| none | 4 | 0.600 | 0.590 | -0.0100 (-0.0467 to +0.1000) | 2 | 2 | 3 |",
        "| contrast | 1 | 0.800 | 0.900 | +0.1000 (+0.1000 to +0.1000) | 0 | 1 | 0 |",
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_the_report_says_what_was_tried(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("# Doubt\n")
    write("toys", PAIRS, path)
    plain = path.read_text()
    assert plain == f"# Doubt\n\n## adaptation of toys\n\n{table(PAIRS)}\n"
    write("toys", PAIRS, path, {Adaptation(1, 0.001): -0.0012, Adaptation(3, 0.005): 0.02})
    tried = "by setting: 1 steps at 0.001: -0.0012; 3 steps at 0.005: +0.0200."
    assert path.read_text() == f"{plain}\nMean change of Dice on spoilt training scans, {tried}\n"
