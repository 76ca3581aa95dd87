"""Cubes' networks on whole scans: marks land where they were made, whatever axes and spacing, and masks come back there."""

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.interface import Prompt, Promptable
from ostensor.models.promptable.deep import MOVED, OUTSIDE, DeepMarks, DeepPredictor, DeepSketch

SHAPE = (11, 13, 9)
ORDERS = ["RAS", "LPS", "SAL", "PIR"]


class View:
    """Features that are the view itself."""

    def __init__(self, view: torch.Tensor) -> None:
        self.view, self.nbytes = view, view.numel() * 4


class Echo:
    """A network that draws the very marks it gets."""

    takes = frozenset({"point", "-point", "box", "scribble", "mask"})
    device = torch.device("cpu")

    def __init__(self, size: int = 8, spacing_mm: float | None = None) -> None:
        self.size, self.spacing_mm, self.looked = size, spacing_mm, 0
        self.marks: list[DeepMarks] = []
        self.previous: list[torch.Tensor | None] = []

    def embed(self, view: torch.Tensor) -> View:
        self.looked += 1
        return View(view)

    def draw(self, features: View, marks: DeepMarks, previous: torch.Tensor | None) -> DeepSketch:
        self.marks.append(marks)
        self.previous.append(previous)
        logits = torch.full(features.view.shape, -1.0)
        for at, label in zip(marks.points.round().int().tolist(), marks.labels.tolist(), strict=True):
            logits[tuple(at)] = 1 if label else -1
        for low, high in (marks.boxes + 0.5).round().int().clamp(min=0).tolist():
            logits[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = 1
        if marks.scribbles is not None:
            logits[marks.scribbles[0] > 0.5] = 1
        return DeepSketch(logits, 0.25)


def _scan(order: str) -> Volume:
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.98, -0.17, 0], [0.17, 0.98, 0], [0, 0, 1]]) @ np.diag([0.7, 0.9, 3.0])
    array = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    return reorient(Volume(array, Grid(SHAPE, turn), "ct"), order)


def _made(hand: Echo) -> DeepPredictor:
    return DeepPredictor(hand, catalogue.card("sam-med3d"))


@pytest.mark.parametrize("order", ORDERS)
def test_marks_lie_on_their_own_voxels_whatever_the_axes(order: str) -> None:
    scan, made = _scan(order), _made(Echo())
    assert isinstance(made, Promptable)
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    shape = scan.grid.shape
    at = (shape[0] // 2, shape[1] // 2 + 1, shape[2] // 2 - 1)
    click, wanted = made.decode(seen, [Prompt("point", at=at)]), np.zeros(shape, bool)
    wanted[at] = True
    assert np.array_equal(click.array, wanted)
    box = tuple((one - 1, one + 2) for one in at)
    wanted[tuple(slice(*one) for one in box)] = True
    assert np.array_equal(made.decode(seen, [Prompt("box", box=box)]).array, wanted)
    assert np.array_equal(made.decode(seen, [Prompt("scribble", array=wanted)]).array, wanted)


@pytest.mark.parametrize("order", ORDERS)
def test_a_box_is_brought_to_the_networks_voxel_size_and_back(order: str) -> None:
    """0.5 mm voxels: the answer's middle is the box's within half a voxel, its extent the box's within one."""
    scan, made = _scan(order), _made(Echo(size=24, spacing_mm=0.5))
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    box = tuple((n // 2 - 1, n // 2 + 3) for n in scan.grid.shape)
    found = made.decode(seen, [Prompt("box", box=box)]).array
    places = np.argwhere(found)
    assert np.allclose(places.mean(0), [np.mean(one) - 0.5 for one in box], atol=0.5)
    assert np.allclose(np.ptp(places, axis=0) + 1, [high - low for low, high in box], atol=1)


def test_the_view_depends_on_the_prompts_alone_and_is_looked_at_once() -> None:
    hand = Echo()
    made = _made(hand)
    seen = made.encode(_scan("RAS"), progress=lambda share: None, cancelled=lambda: False)
    first = made.decode(seen, [Prompt("point", at=(5, 6, 4))])
    near = [Prompt("point", at=(5, 6, 4)), Prompt("point", False, at=(7, 6, 4))]
    second = made.decode(seen, near, first.logits)
    assert hand.looked == 1
    assert hand.previous[0] is None
    assert hand.previous[1] is not None
    assert second.notes == ()
    far = [Prompt("point", at=(1, 6, 4)), Prompt("point", at=(7, 6, 4))]
    moved = made.decode(seen, far, second.logits)
    assert hand.looked == 2
    assert hand.previous[2] is None, "an answer in another view is not gone on from"
    assert moved.notes == (MOVED,)
    assert moved.array.sum() == 2, "centred between both, the view holds both"
    further = [Prompt("point", at=(0, 6, 4)), Prompt("point", at=(10, 6, 4))]
    assert made.decode(seen, further).notes == (OUTSIDE.format(size=8),)
    assert np.array_equal(made.decode(seen, near, first.logits).array, second.array)


def test_a_mask_to_start_from_is_logits_of_the_view() -> None:
    hand, start = Echo(), np.zeros(SHAPE, bool)
    start[4:7, 5:7, 3:6] = True
    made = _made(hand)
    seen = made.encode(_scan("RAS"), progress=lambda share: None, cancelled=lambda: False)
    made.decode(seen, [Prompt("mask", array=start)])
    given = hand.previous[0]
    assert given is not None
    assert set(given.unique().tolist()) == {-10.0, 10.0}
    assert int((given > 0).sum()) == int(start.sum())


def test_one_slice_or_no_voxel_size_is_refused() -> None:
    flat = Volume(np.zeros((5, 7, 1), np.float32), Grid((5, 7, 1), np.eye(4)), "ct")
    with pytest.raises(BadCall, match="needs a 3-D scan"):
        _made(Echo()).encode(flat, progress=lambda share: None, cancelled=lambda: False)
    unknown = Volume(np.zeros(SHAPE, np.float32), Grid(SHAPE, np.eye(4), spacing_known=False), "ct")
    with pytest.raises(BadCall, match=r"works at 1\.5 mm, but the file tells no voxel size"):
        _made(Echo(spacing_mm=1.5)).encode(unknown, progress=lambda share: None, cancelled=lambda: False)
    assert _made(Echo()).encode(unknown, progress=lambda share: None, cancelled=lambda: False).nbytes == 11 * 13 * 9 * 4
