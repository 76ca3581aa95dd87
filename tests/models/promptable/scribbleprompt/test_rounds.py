"""ScribblePrompt's idea at a small size: more clicks help, the last logits are gone on from, and a scan is drawn on."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.interface import Prompt, Promptable, Running
from ostensor.models.load import load_card
from ostensor.models.promptable.flat import Marks
from ostensor.models.promptable.scribbleprompt.hand import ScribbleHand
from ostensor.models.promptable.scribbleprompt.network import Drawn, ScribbleConfig, ScribbleUnet, channels_of

SIDE, ROUNDS, STEPS = 24, 5, 200


def _pictures(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two ellipses of one brightness in noise, of which one is meant: only clicks tell which."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    images, masks = [], []
    for _ in range(count):
        picture, parts = random.normal(0.3, 0.08, (SIDE, SIDE)), []
        for left in (0, 1):
            middle = random.uniform(9, 15), random.uniform(5, 7) + 12 * left
            radii = random.uniform(5, 9), random.uniform(3, 5)
            part = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 < 1
            picture[part] += 0.4
            parts.append(part)
        images.append(picture.clip(0, 1))
        masks.append(parts[int(random.integers(2))])
    return torch.tensor(np.array(images), dtype=torch.float32)[:, None], torch.tensor(np.array(masks))[:, None]


def _clicks(found: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """In each picture the voxel deepest in the larger error, and whether it is meant."""
    places, labels = [], []
    for one, other in zip(found[:, 0].numpy(), truth[:, 0].numpy(), strict=True):
        missed, wrong = (
            ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1] for part in (other & ~one, one & ~other)
        )
        deepest = missed if missed.max() >= wrong.max() else wrong
        places.append(np.unravel_index(int(deepest.argmax()), deepest.shape))
        labels.append(int(missed.max() >= wrong.max()) if deepest.max() else -1)
    return torch.tensor(np.array(places))[:, None], torch.tensor(labels)[:, None]


def _rounds(net: ScribbleUnet, images: torch.Tensor, truth: torch.Tensor) -> list[torch.Tensor]:
    """Logits of each round."""
    drawn, found, answers = Drawn(), torch.zeros_like(truth), []
    for _ in range(ROUNDS):
        place, label = _clicks(found, truth)
        points = place if drawn.points is None else torch.cat([drawn.points, place], 1)
        labels = label if drawn.labels is None else torch.cat([drawn.labels, label], 1)
        answers.append(net(channels_of(images, Drawn(points, labels, previous=drawn.previous))))
        drawn = Drawn(points, labels, previous=answers[-1].detach())
        found = answers[-1].detach() > 0
    return answers


def _loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    found = logits.sigmoid()
    dice = 1 - (2 * (found * truth).sum((1, 2, 3)) + 1) / ((found + truth).sum((1, 2, 3)) + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + dice.mean()


@pytest.fixture(scope="module")
def taught() -> ScribbleUnet:
    torch.manual_seed(0)
    net = ScribbleUnet(ScribbleConfig((12, 12, 12)))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for step in range(STEPS // ROUNDS):
        images, truth = _pictures(8, step)
        loss = sum((_loss(one, truth.float()) for one in _rounds(net, images, truth)), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def test_more_clicks_help_after_two_hundred_passes(taught: ScribbleUnet) -> None:
    """Mean Dice over 5 rounds of an oracle never falls, and one click already tells the two apart."""
    images, truth = _pictures(40, 999)
    with torch.no_grad():
        masks = [one > 0 for one in _rounds(taught, images, truth)]
    scores = [float((2 * (m & truth).sum((1, 2, 3)) / (m.sum((1, 2, 3)) + truth.sum((1, 2, 3)))).mean()) for m in masks]
    assert all(later >= earlier - 0.005 for earlier, later in itertools.pairwise(scores)), scores
    assert scores[0] > 0.5, scores
    assert scores[-1] > scores[0], scores


def test_the_last_logits_are_handed_back_as_they_are(taught: ScribbleUnet) -> None:
    """What the hand draws is the network's answer to the logits, not to their sigmoid."""
    hand = ScribbleHand(taught, SIDE)
    images, _ = _pictures(1, 7)
    marks = Marks(torch.tensor([[12.0, 6.0]]), torch.tensor([1]), torch.zeros(0, 2, 2))
    seen = hand.embed(images[0, 0], hand.place((SIDE, SIDE)))
    last = torch.randn(SIDE, SIDE) * 5
    with torch.no_grad():
        drawn = Drawn(torch.tensor([[[12, 6]]]), torch.tensor([[1]]), previous=last[None, None])
        wanted = taught(channels_of(seen.picture, drawn))[0, 0]
        assert torch.equal(hand.draw(seen, marks, last).logits, wanted)
        assert not torch.allclose(hand.draw(seen, marks, last.sigmoid()).logits, wanted)
    assert (float(seen.picture.min()), float(seen.picture.max())) == (0, 1)


def test_from_a_file_to_a_mask(taught: ScribbleUnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    torch.save(taught.state_dict(), tmp_path / "scribble.pt")
    try:
        importing.import_weights("scribbleprompt", [tmp_path / "scribble.pt"], accept_licence=True, folder=tmp_path)
        made = load_card(catalogue.card("scribbleprompt"), Running())
    finally:
        catalogue.forget_cards()
    assert isinstance(made, Promptable)
    array = np.random.default_rng(0).normal(size=(31, 37, 3)).astype(np.float32)
    scan = Volume(array, Grid(array.shape, np.eye(4)), "mr")
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    stroke = np.zeros(array.shape, bool)
    stroke[5:20, 9, 2] = True
    found = made.decode(seen, [Prompt("scribble", array=stroke), Prompt("scribble", False, array=stroke[::-1].copy())])
    assert found.array.shape == array.shape
    assert not found.array[..., :2].any()
    assert found.iou is None, "it guesses none"
