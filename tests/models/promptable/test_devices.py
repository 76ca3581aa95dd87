"""On a card nothing is left on the host: every hand draws there what it draws on the CPU."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Sam
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.interface import Prompt
from ostensor.models.promptable.adapter3d.encoder import EncoderConfig as AdapterEncoder
from ostensor.models.promptable.adapter3d.hand import AdapterHand
from ostensor.models.promptable.adapter3d.network import Adapter3d, Adapter3dConfig
from ostensor.models.promptable.colours import ColourHand
from ostensor.models.promptable.deep import DeepPredictor
from ostensor.models.promptable.flat import FlatPredictor
from ostensor.models.promptable.imisnet.network import ImisConfig, ImisNet
from ostensor.models.promptable.imisnet.weights import PointedImis
from ostensor.models.promptable.sam.weights import choose_habits
from ostensor.models.promptable.sammed3d.hand import MedHand
from ostensor.models.promptable.scribbleprompt.hand import ScribbleHand
from ostensor.models.promptable.scribbleprompt.network import ScribbleConfig, ScribbleUnet

sys.path.insert(0, str(Path(__file__).parents[2] / "toys"))
from card import card

SHAPE = (33, 29, 7)
POINT, NOT = Prompt("point", at=(16, 14, 3)), Prompt("point", False, at=(4, 5, 3))
BOX = Prompt("box", box=((6, 25), (5, 24), (3, 4)))
FLAT = EncoderConfig(64, 8, 24, 2, 3, 2.0, (1,), 3, 16)
HEAD = DecoderConfig(16, 2, 8, 20, 12, 8)


def filled(net: Any) -> Any:
    torch.manual_seed(0)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def scribble(device: str) -> FlatPredictor:
    return FlatPredictor(
        ScribbleHand(filled(ScribbleUnet(ScribbleConfig((8, 8)))), 32, device), catalogue.card("scribbleprompt")
    )


def sam(device: str) -> FlatPredictor:
    net = filled(Sam(FLAT, HEAD)).to(device)
    return FlatPredictor(ColourHand(net, choose_habits("sam", net), device), catalogue.card("sam"))


def imis(device: str) -> FlatPredictor:
    encoder = EncoderConfig(64, 8, 24, 3, 3, 2.0, (1,), 3, 32, eps=1e-5)
    net = filled(ImisNet(ImisConfig(encoder, DecoderConfig(32, 2, 8, 40, 16, 8), 20, (32, 16, 18)))).to(device)
    habits = choose_habits("sam", Sam(encoder, DecoderConfig(32, 2, 8, 40, 16, 8)))
    return FlatPredictor(ColourHand(PointedImis(net), habits, device), catalogue.card("sam"))


def med3d(device: str) -> DeepPredictor:
    encoder = EncoderConfig(32, 8, 24, 2, 3, 2.0, (1,), 2, 48, dims=3, channels=1)
    net = Sam(encoder, DecoderConfig(48, 2, 8, 20, 12, 8, dims=3))
    return DeepPredictor(MedHand(filled(net), device), catalogue.card("sam-med3d"))


def adapter(device: str) -> DeepPredictor:
    encoder = AdapterEncoder(8, 4, 4, 12, 3, 24, 6, 4, 16, (3, 8, 3, 8))
    net = filled(Adapter3d(Adapter3dConfig(encoder, heads=8, hidden=20, depth=2, queries=5, inner=4)))
    return DeepPredictor(AdapterHand(net, device), catalogue.card("3dsam-adapter"))


MADE: dict[str, tuple[Callable[[str], Any], tuple[Prompt, ...]]] = {
    "scribbleprompt": (scribble, (POINT, NOT, BOX)),
    "sam": (sam, (POINT, NOT, BOX)),
    "imis": (imis, (POINT, NOT)),
    "sam-med3d": (med3d, (POINT, NOT)),
    "3dsam-adapter": (adapter, (POINT,)),
}


@pytest.mark.parametrize("name", MADE)
def test_a_hand_draws_on_a_card_as_on_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, prompts = MADE[name]
    array = np.random.default_rng(0).normal(50, 30, SHAPE).astype(np.float32)
    scan = Volume(array, Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0])), "ct")

    def drawn(device: str) -> list[np.ndarray]:
        torch.manual_seed(0)  # tables of positions are drawn as well
        made = build(device)
        seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
        first = made.decode(seen, prompts[:1])
        again = made.decode(seen, prompts, first.logits if "mask" in made.takes or len(prompts) > 1 else None)
        return [first.array, again.array]

    here = drawn("cpu")
    with card(monkeypatch):
        there = drawn("cuda")
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one, other)
