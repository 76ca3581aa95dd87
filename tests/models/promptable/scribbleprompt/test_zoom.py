"""The networks taught here: marks as discs, the closer look, and that the shipped ones draw better the more one points."""

import numpy as np
import pytest
import torch

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.card import Card
from ostensor.models.catalogue import catalogue
from ostensor.models.interface import Prompt, Running
from ostensor.models.load import load_card
from ostensor.models.promptable.deep import DeepMarks
from ostensor.models.promptable.flat import Marks
from ostensor.models.promptable.scribbleprompt.canvas import Canvas, draw_
from ostensor.models.promptable.scribbleprompt.cube import CubeHand
from ostensor.models.promptable.scribbleprompt.network import ScribbleConfig, ScribbleUnet
from ostensor.models.promptable.scribbleprompt.zoom import ENOUGH, Window, ZoomHand, window_of
from ostensor.training.prompting.marks.simulation import error_click

TAUGHT = [card for card in catalogue() if card.system == "ScribblePrompt" and card.weights == "bundled"]


class Bright(torch.nn.Module):
    """Marks what is bright, so that the right answer of any view is known."""

    config = ScribbleConfig((8,), 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 20 * (x[:, :1] - 0.5)


def _marks(*points: tuple[float, float]) -> Marks:
    places = torch.tensor(points, dtype=torch.float32).reshape(-1, 2)
    return Marks(places, torch.ones(len(points), dtype=torch.int64), torch.zeros(0, 2, 2))


def test_a_later_disc_replaces_one_of_the_other_kind() -> None:
    canvas = Canvas.blank((20, 23))
    draw_(canvas, [Prompt("point", at=(9, 12)), Prompt("point", False, at=(9, 14))])
    assert canvas.channels[2, 9, 14] == 1
    assert canvas.channels[1, 9, 10] == 1
    assert not (canvas.channels[1] * canvas.channels[2]).any()
    assert canvas.channels[1:].sum() == 13 + 13 - 5, "two discs of 13 pixels share five of them"


def test_a_disc_at_the_corner_and_a_box_over_the_rim_stay_in_the_picture() -> None:
    canvas = Canvas.blank((20, 23))
    canvas.point_((0.2, 22.4), True)
    canvas.box_((-3.0, 4.5), (6.5, 40.0))
    assert canvas.channels[1, 0, 22] == 1
    assert canvas.channels[0].sum() == 7 * (23 - 5)


def test_a_window_shows_the_part_it_names() -> None:
    """A picture whose value is its own row and column, in the square's pixels, must show the places of the window."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    seen = window_of(torch.stack([rows, columns])[None], Window((9.5, 19.5), 16.0), 64, 32)[0]
    expected = torch.arange(32) * 0.5 - 0.25
    torch.testing.assert_close(seen[0, :, 7], 10 + expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(seen[1, 5], 20 + expected, atol=1e-3, rtol=0)


def test_a_small_structure_in_a_large_picture_gets_its_own_outline() -> None:
    """A comb of teeth of three pixels in 512: one pixel of the square is four of the picture, only the closer look sees them."""
    rows, columns = np.ogrid[:512, :480]
    truth = (abs(rows - 201) <= 15) & (abs(columns - 133) <= 15) & ((rows < 192) | (columns % 6 < 3))
    picture = torch.from_numpy(truth.astype(np.float32))
    hand = ZoomHand(Bright(), 128)  # type: ignore[arg-type]  # stands in for the network
    placing = hand.place((512, 480))
    place = tuple(placing.move(torch.tensor([201.0, 133.0])).tolist())
    marks = _marks(*[place] * ENOUGH)
    seen = hand.embed(picture, placing)
    first = hand.draw(seen, marks, None)
    closer = placing.lift(hand.draw(seen, marks, first.logits).logits).numpy() > 0
    plain = placing.lift(Bright()(seen.square)[0, 0]).numpy() > 0
    dice = [2 * (one & truth).sum() / (one.sum() + truth.sum()) for one in (plain, closer)]
    assert dice[0] < 0.85
    assert dice[1] > 0.93


def test_a_structure_that_fills_the_picture_is_looked_at_once() -> None:
    picture = torch.zeros(128, 128)
    picture[5:120, 10:120] = 1
    hand = ZoomHand(Bright(), 128)  # type: ignore[arg-type]  # stands in for the network
    seen = hand.embed(picture, hand.place((128, 128)))
    drawn = hand.draw(seen, _marks(*[(60.0, 60.0)] * ENOUGH), None).logits
    assert torch.equal(torch.nn.functional.avg_pool2d((drawn > 0).float()[None], 4)[0] > 0.5, picture > 0.5)


def test_a_cube_takes_marks_and_its_last_answer() -> None:
    """Two passes differ by the channels of marks and of the last answer alone."""
    torch.manual_seed(0)
    net = ScribbleUnet(ScribbleConfig((4, 4), 3))
    hand = CubeHand(net, 16)
    seen = hand.embed(torch.rand(16, 16, 16))
    marks = DeepMarks(torch.tensor([[3.0, 8.0, 11.0]]), torch.tensor([1]), torch.zeros(0, 2, 3))
    none = DeepMarks(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2, 3))
    with torch.no_grad():
        first, unmarked = hand.draw(seen, marks, None), hand.draw(seen, none, None)
        assert first.logits.shape == (16, 16, 16)
        assert not torch.equal(first.logits, unmarked.logits)
        assert not torch.equal(hand.draw(seen, marks, first.logits).logits, first.logits)
        assert torch.equal(hand.draw(seen, marks, torch.zeros(16, 16, 16)).logits, first.logits)


@pytest.mark.parametrize("card", TAUGHT, ids=lambda card: card.name)
def test_a_shipped_network_draws_better_the_more_one_points(card: Card) -> None:
    """A bright crescent on a grey ground, clicked into the middle of the largest error, eight times."""
    shape = (96, 110, 1) if 2 in card.dimensions else (60, 52, 48)
    grids = np.ogrid[tuple(slice(side) for side in shape)]
    ball, bite = (
        sum((grid - at * side) ** 2 for grid, side, at in zip(grids, shape, place, strict=True))
        <= (reach * shape[0]) ** 2
        for place, reach in (
            ((0.45, 0.5, 0.0 if shape[2] == 1 else 0.5), 0.26),
            ((0.6, 0.6, 0.0 if shape[2] == 1 else 0.6), 0.18),
        )
    )
    truth = np.asarray(ball & ~bite)
    array = np.clip(80 + 90 * truth + np.random.default_rng(0).normal(0, 12, shape), 0, 255).astype(np.uint8)
    network = load_card(card, Running(threads=1))
    features = network.encode(
        Volume(array, Grid(shape, np.eye(4)), "mr"), progress=lambda share: None, cancelled=lambda: False
    )
    prompts: list[Prompt] = []
    drawn, last, dice = np.zeros_like(truth), None, []
    for _ in range(8):
        more = error_click(truth, drawn)
        prompts += [more] if more is not None else []
        answer = network.decode(features, prompts, last)
        drawn, last = answer.array, answer.logits
        dice.append(float(2 * (drawn & truth).sum() / (drawn.sum() + truth.sum())))
    assert dice[-1] > dice[0]
    assert max(dice) > 0.8
