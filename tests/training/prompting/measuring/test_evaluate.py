"""Measuring round by round: rivals on a picture where the answer is known, and a network that cannot be wrong."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import Unavailable
from ostensor.imaging.volume import BoolArray, Volume
from ostensor.models.catalogue import card
from ostensor.models.interface import Drawing, Features, Progress, Prompt
from ostensor.training.configuration import read_configuration
from ostensor.training.folders import Folders
from ostensor.training.kinds import How, Measured
from ostensor.training.prompting import kind
from ostensor.training.prompting.fit import PromptRun, read
from ostensor.training.prompting.measuring.evaluate import NETWORK, SHOWN, courses, overlap, rounds
from ostensor.training.prompting.measuring.report import Report, tables
from ostensor.training.prompting.measuring.rivals import RIVALS
from ostensor.training.prompting.measuring.tasks import Task


def _task(shape: tuple[int, ...] = (48, 61)) -> Task:
    """A bright ellipse on dark ground with a little noise."""
    grids = np.ogrid[tuple(slice(side) for side in shape)]
    mask = sum(((grid - 0.45 * side) / (0.25 * side)) ** 2 for grid, side in zip(grids, shape, strict=True)) <= 1
    rng = np.random.default_rng(0)
    image = np.clip(60 + 120 * mask + rng.normal(0, 6, shape), 0, 255).astype(np.uint8)
    return Task("toys", "mr", "one", "one", image, np.asarray(mask))


class Knowing:
    """Draws the truth, but only after three prompts."""

    card = card("scribbleprompt")
    engine = "toy"
    takes = frozenset({"point", "-point", "box"})

    def __init__(self, truth: BoolArray) -> None:
        self.truth = truth

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Features:
        assert volume.array.shape[:2] == self.truth.shape
        return volume.array

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        drawn = self.truth if len(prompts) >= 3 else np.zeros_like(self.truth)
        return Drawing(drawn[..., None], None)


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("shape", [(48, 61), (29, 31, 23)])
def test_every_rival_draws_an_ellipse_that_nobody_could_miss(name: str, shape: tuple[int, ...]) -> None:
    task = _task(shape)
    dice, _ = rounds(task.mask, lambda prompts: RIVALS[name](task.image.astype(np.float32) / 255, prompts), (), 3)
    assert dice[-1] > 0.8


def test_courses_count_interactions_and_give_each_method_its_own() -> None:
    task = _task()
    found = list(courses(task, Knowing(task.mask), rivals={"nothing": lambda image, prompts: np.zeros_like(task.mask)}))
    by = {(one.method, one.begun): one.dice for one in found}
    assert by == {
        (NETWORK, "clicks"): (0.0, 1.0, 1.0, 1.0),
        (NETWORK, "box"): (0.0, 1.0, 1.0, 1.0),
        ("nothing", "clicks"): (0.0,) * len(SHOWN),
    }


def test_a_report_says_what_was_missed_and_who_is_better() -> None:
    task = _task()
    half = task.mask & (np.arange(61) < 28)
    found = tuple(courses(task, Knowing(task.mask), rivals=dict.fromkeys(RIVALS, lambda image, prompts: half)))
    report = Report("toy", 2, found, "mr", ((1, 0.5), (3, 0.75)), 12.0, 2)
    assert report.missed()[0] == "Aimed at Dice 0.50 after 1 interactions on unseen sets and reached 0.000."
    assert report.missed()[1] == "Begun with clicks, a rival is better after 1 interactions."
    assert report.beats_all() == [3, 5, 10]
    assert "| unseen sets | clicks | network | 1 | 0.000 (0.000 to 0.000) | 1.000 (1.000 to 1.000) |" in tables(report)


def test_overlap_is_dice() -> None:
    a, b = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    a[:2], b[1:3] = True, True
    assert overlap(a, b) == 0.5


def test_measuring_together_leaves_out_what_is_not_here_and_says_so_where_nothing_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = read(read_configuration("prompt-2d"))
    other = replace(run, name="other")

    def measured(one: PromptRun, folders: Folders, how: How) -> Measured:
        if one.name == "other":
            raise Unavailable("The weights of 'other' are not here.")
        return Measured("a table", "a report")

    monkeypatch.setattr(kind, "evaluate", measured)
    folders = Folders(tmp_path, tmp_path, tmp_path, tmp_path)
    assert kind.evaluate_together([other, run], folders, How()).found == {"prompt-2d": Measured("a table", "a report")}
    with pytest.raises(Unavailable, match="'other' are not here"):
        kind.evaluate_together([other], folders, How())
