"""Pictures' networks on whole scans: marks land where they were made, whatever the axes, and masks come back there."""

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.interface import Cancelled, Drawing, Prompt, Promptable
from ostensor.models.promptable.flat import FlatPredictor, Marks, Sketch
from ostensor.models.promptable.places import Placing, centre_or_stretch, fit_longest, stretch

SHAPE = (11, 13, 5)
ORDERS = ["LPS", "RAS", "SAL", "PIR"]


class Echo:
    """A network that draws the very marks it gets: a pixel for each point meant, boxes and scribbles filled."""

    takes = frozenset({"point", "-point", "box", "scribble", "mask"})
    device = torch.device("cpu")

    def __init__(self, size: int = 26) -> None:
        self.size, self.looked = size, 0
        self.previous: list[torch.Tensor | None] = []

    def place(self, shape: tuple[int, int]) -> Placing:
        return Placing(shape, (2 * shape[0], 2 * shape[1]), (0, 0), self.size)  # every pixel becomes four

    def embed(self, picture: torch.Tensor, placing: Placing) -> np.ndarray:
        self.looked += 1
        return picture.numpy()

    def draw(self, features: np.ndarray, marks: Marks, previous: torch.Tensor | None) -> Sketch:
        self.previous.append(previous)
        logits = torch.full((self.size, self.size), -1.0)
        for (row, column), label in zip(marks.points.tolist(), marks.labels.tolist(), strict=True):
            if label:
                logits[int(row) : int(row) + 2, int(column) : int(column) + 2] = 1
        for low, high in (marks.boxes + 0.5).int().tolist():
            logits[low[0] : high[0], low[1] : high[1]] = 1
        if marks.scribbles is not None:
            logits[marks.scribbles[0] > 0.5] = 1
        return Sketch(logits, 0.5)


def _scan(order: str) -> Volume:
    """An oblique scan with its axes in some order."""
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.98, -0.17, 0], [0.17, 0.98, 0], [0, 0, 1]]) @ np.diag([0.7, 0.9, 3.0])
    array = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    return reorient(Volume(array, Grid(SHAPE, turn), "mr"), order)


def _asked(order: str, *prompts: Prompt) -> tuple[Drawing, Echo, Volume]:
    hand, scan = Echo(), _scan(order)
    made = FlatPredictor(hand, catalogue.card("scribbleprompt"))
    features = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    return made.decode(features, prompts), hand, scan


@pytest.mark.parametrize("order", ORDERS)
def test_a_click_marks_its_own_voxel_whatever_the_axes(order: str) -> None:
    at = (2, 3, 1)
    found, _, scan = _asked(order, Prompt("point", at=at))
    expected = np.zeros(scan.grid.shape, bool)
    expected[at] = True
    assert np.array_equal(found.array, expected)
    assert found.iou == 0.5


@pytest.mark.parametrize("order", ORDERS)
def test_a_box_covers_its_voxels_in_every_slice_it_crosses(order: str) -> None:
    box = ((1, 4), (2, 4), (0, 3))
    found, _, _ = _asked(order, Prompt("box", box=box))
    expected = np.zeros(found.array.shape, bool)
    expected[1:4, 2:4, 0:3] = True
    assert np.array_equal(found.array, expected)


@pytest.mark.parametrize("order", ORDERS)
def test_a_scribble_lies_where_it_was_drawn(order: str) -> None:
    drawn = np.zeros(_scan(order).grid.shape, bool)
    drawn[1:3, 2, 1] = drawn[2, 2:4, 1] = True
    found, _, _ = _asked(order, Prompt("scribble", array=drawn))
    assert np.array_equal(found.array, drawn)


def test_a_slice_is_looked_at_once_and_previous_logits_come_back_as_they_were() -> None:
    hand, scan = Echo(), _scan("RAS")
    made = FlatPredictor(hand, catalogue.card("scribbleprompt"))
    assert isinstance(made, Promptable)
    features = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    before = features.nbytes
    first = made.decode(features, [Prompt("point", at=(2, 3, 1))])
    assert features.nbytes > before
    again = [Prompt("point", at=(2, 3, 1)), Prompt("point", at=(4, 3, 1))]
    second = made.decode(features, again, first.logits)
    assert hand.looked == 1
    assert hand.previous[0] is None
    assert torch.equal(hand.previous[1], first.logits[1])  # type: ignore[arg-type, index]  # opaque to callers
    assert np.array_equal(made.decode(features, again, first.logits).array, second.array), (
        "the same prompts, the same mask"
    )


def test_a_mask_to_start_from_is_logits_of_its_slices() -> None:
    start = np.zeros(SHAPE, bool)
    start[2:5, 3:5, 1] = True
    _, hand, _ = _asked("LPS", Prompt("mask", array=start))
    given = hand.previous[0]
    assert given is not None
    assert set(given.unique().tolist()) == {-10.0, 10.0}
    assert int((given > 0).sum()) == 4 * 3 * 2


def test_what_cannot_be_drawn_from_is_refused() -> None:
    for prompts, said in (
        ([], "Nothing was pointed at"),
        ([Prompt("lasso", array=np.ones(SHAPE, bool))], "does not understand a lasso"),
        ([Prompt("box", False, box=((0, 1), (0, 1), (0, 1)))], "a box that says what is not meant"),
        ([Prompt("point", at=(11, 0, 0))], "outside the scan"),
        ([Prompt("box", box=((0, 3), (4, 4), (0, 1)))], "outside the scan of .*, or is empty"),
        ([Prompt("scribble", array=np.zeros(SHAPE, bool))], "not empty"),
    ):
        with pytest.raises(BadCall, match=said):
            _asked("RAS", *prompts)
    with pytest.raises(Cancelled):
        FlatPredictor(Echo(), catalogue.card("scribbleprompt")).encode(
            _scan("RAS"), progress=lambda share: None, cancelled=lambda: True
        )


@pytest.mark.parametrize(
    ("placing", "sides", "start"),
    [
        (fit_longest((300, 500), 448), (269, 448), (0, 0)),
        (stretch((300, 500), 256), (256, 256), (0, 0)),
        (centre_or_stretch((200, 200), 256), (200, 200), (28, 28)),
        (centre_or_stretch((300, 200), 256), (256, 256), (0, 0)),
    ],
)
def test_slices_lie_in_the_square_as_published(
    placing: Placing, sides: tuple[int, int], start: tuple[int, int]
) -> None:
    """SAM's longest side; SAM-Med2D's padding of 200 x 200 and stretching of 300 x 200."""
    assert (placing.sides, placing.start) == (sides, start)


@pytest.mark.parametrize("make", [fit_longest, stretch, centre_or_stretch])
def test_places_and_masks_go_there_and_back_within_a_pixel(make: object) -> None:
    """A blob's middle in the square is where its middle moved to, and its mask comes back."""
    placing = make((30, 50), 64)  # type: ignore[operator]  # one of three functions
    blob = torch.zeros(30, 50)
    blob[8:15, 20:33] = 1
    square = placing.lay(blob)
    at = (square[..., None] * torch.stack(torch.meshgrid(*[torch.arange(64.0)] * 2, indexing="ij"), -1)).sum((0, 1))
    assert torch.allclose(at / square.sum(), placing.move(torch.tensor([11.0, 26.0])), atol=0.5)
    back = placing.lift(2 * square - 1) > 0
    assert int((back != (blob > 0)).sum()) <= 20, "at most half of its edge"
