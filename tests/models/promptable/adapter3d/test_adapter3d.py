"""3DSAM-adapter: its published size, its shifted windows by brute force, clicks as the features they lie on, its file."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.interface import Prompt, Running
from ostensor.models.load import load_card
from ostensor.models.parity import Fixture
from ostensor.models.promptable.adapter3d.encoder import APART, EncoderConfig, mask_windows
from ostensor.models.promptable.adapter3d.hand import AdapterHand
from ostensor.models.promptable.adapter3d.network import Adapter3d, Adapter3dConfig
from ostensor.models.promptable.adapter3d.weights import load_adapter3d
from ostensor.models.promptable.deep import DeepMarks

PARITY = Path(os.environ.get("OSTENSOR_PARITY", Path(__file__).resolve().parents[5] / "shared" / "parity"))
OFFICIAL = PARITY / "sam3d_adapter"
SMALL = Adapter3dConfig(
    EncoderConfig(8, 4, 4, 12, 3, 24, 6, 4, 16, (3, 8, 3, 8)), heads=8, hidden=20, depth=2, queries=5, inner=4
)


def _net() -> Adapter3d:
    torch.manual_seed(0)
    net = Adapter3d(SMALL)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def test_the_published_cube_is_128_voxels_of_32_tokens() -> None:
    config = Adapter3dConfig()
    assert (config.encoder.crop, config.encoder.size) == (128, 512)
    with torch.device("meta"):
        net = Adapter3d(config)
    assert net.encoder.blocks[0].attn_mask.shape == (64, 512, 512)
    assert net.encoder.blocks[1].attn_mask is None
    assert net.encoder.pos_embed.shape == (1, 64, 64, 768), "SAM's own table, pooled by two"
    assert net.decoder.cls[0].weight.shape[1] == 4 * 128 + 1, "four scales and the picture"


def test_tokens_that_a_shift_brought_together_do_not_see_each_other() -> None:
    """By rolling the tokens' numbers: two see each other where they are neighbours within a window's reach without the wrap."""
    grid, window, shift = 6, 3, 1
    found = mask_windows(grid, window, shift)
    places = torch.stack(torch.meshgrid(*[torch.arange(grid)] * 3, indexing="ij"), -1)
    rolled = torch.roll(places, [-shift] * 3, (0, 1, 2))
    number = 0
    for a in range(0, grid, window):
        for b in range(0, grid, window):
            for c in range(0, grid, window):
                inside = rolled[a : a + window, b : b + window, c : c + window].reshape(-1, 3)
                apart = ((inside[:, None] - inside[None]).abs() >= window).any(-1)
                assert torch.equal(found[number] == APART, apart)
                number += 1


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the fixtures of the official code are not here")
def test_the_mask_of_windows_is_the_official_one() -> None:
    state = Fixture(OFFICIAL).state()
    config = load_adapter3d(state).config.encoder
    ours = mask_windows(config.grid, config.window, config.window // 2)
    assert torch.equal(ours, state["encoder.blocks.0.attn_mask"])


def test_a_click_enters_by_the_features_it_lies_on_and_its_first_place_is_the_slice() -> None:
    net = _net()
    features = torch.zeros(1, 16, 8, 8, 8)
    with torch.no_grad():
        plain = net.feature(features, torch.tensor([[[17.0, 9.0, 5.0]]]), 32)
        bright = features.clone()
        bright[0, :, 1, 2, 4] = 3.0  # row 5, column 9, slice 17 of 32 in cells of 4
        there, elsewhere = (
            net.feature(bright, torch.tensor([[at]]), 32)[0, :, 6, 6, 6] for at in ([17.0, 9.0, 5.0], [5.0, 9.0, 17.0])
        )
    assert (there - plain[0, :, 6, 6, 6]).abs().max() > 1e-4
    assert (there - elsewhere).abs().max() > 1e-4


def test_the_position_code_has_no_influence() -> None:
    """Released code builds it and never uses it."""
    net = _net()
    crop, points = torch.randn(1, 3, 32, 32, 32), torch.tensor([[[3.0, 9.0, 20.0]]])
    with torch.no_grad():
        before = net.decode(net.encode(crop), points)
        net.feature.positional_encoding_gaussian_matrix.normal_()
        assert torch.equal(net.decode(net.encode(crop), points), before)
    assert before.shape == (1, 2, 32, 32, 32)


def test_the_hand_turns_the_view_slices_first_and_back() -> None:
    net = _net()
    hand = AdapterHand(net)
    view = torch.randn(32, 32, 32)
    marks = DeepMarks(torch.tensor([[3.0, 9.0, 20.0]]), torch.tensor([1]), torch.zeros(0, 2, 3))
    with torch.no_grad():
        seen = hand.embed(view)
        found = hand.draw(seen, marks, None).logits
        straight = net.decode(seen, torch.tensor([[[20.0, 3.0, 9.0]]]))[0]
    assert torch.equal(found, (straight[1] - straight[0]).permute(2, 1, 0))
    with pytest.raises(ValueError, match="crops of 32 voxels"):
        net.encode(torch.zeros(1, 3, 16, 32, 32))


def test_from_the_authors_file_to_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four prompt modules are stored, of which the last runs; clicks that say what is not meant are refused."""
    net = _net()
    parts = {name: dict(getattr(net, name).state_dict()) for name in ("encoder", "feature", "decoder")}
    whole = {
        "encoder_dict": parts["encoder"], "decoder_dict": parts["decoder"],
        "feature_dict": [*({key: value + 1 for key, value in parts["feature"].items()} for _ in range(3)), parts["feature"]],
    }  # fmt: skip
    torch.save(whole, tmp_path / "best.pth.tar")
    torch.save({"encoder_dict": parts["encoder"]}, tmp_path / "half.pth.tar")
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    with pytest.raises(BadCall, match="does not hold encoder_dict, feature_dict and decoder_dict"):
        importing.import_weights("3dsam-adapter", [tmp_path / "half.pth.tar"], accept_licence=True, folder=tmp_path)
    with pytest.raises(BadCall, match=r"'transformer.layers.0.mlp.lin1.weight' is missing"):
        load_adapter3d({f"encoder.{key}": value for key, value in parts["encoder"].items()})
    try:
        importing.import_weights("3dsam-adapter", [tmp_path / "best.pth.tar"], accept_licence=True, folder=tmp_path)
        made = load_card(catalogue.card("3dsam-adapter"), Running())
    finally:
        catalogue.forget_cards()
    array = np.random.default_rng(0).normal(50, 30, (41, 37, 13)).astype(np.float32)
    scan = Volume(array, Grid(array.shape, np.diag([-0.7, 0.9, 3.0, 1.0])), "ct")
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    assert made.decode(seen, [Prompt("point", at=(20, 18, 6))]).array.shape == (41, 37, 13)
    with pytest.raises(BadCall, match="a point that says what is not meant"):
        made.decode(seen, [Prompt("point", False, at=(20, 18, 6))])
