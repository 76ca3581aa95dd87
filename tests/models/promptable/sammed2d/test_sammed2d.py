"""SAM-Med2D: SAM where its adapters add nothing, the published weight of the adapters, and what it is fed."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Sam
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.promptable.colours import ColourHand
from ostensor.models.promptable.flat import Marks
from ostensor.models.promptable.sammed2d.network import build
from ostensor.models.promptable.sammed2d.weights import choose_habits, load_sammed2d

ENCODER = EncoderConfig(64, 16, 24, 2, 3, 2.0, (1,), 3, 16)
DECODER = DecoderConfig(16, 2, 8, 20, 12, 8)


def _net() -> Sam:
    torch.manual_seed(0)
    net = build(ENCODER, DECODER)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def test_without_its_adapters_it_is_sam() -> None:
    """The adapters end in a norm: with its weight and bias at 0 they add nothing."""
    net, plain = _net(), Sam(ENCODER, DECODER).eval()
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if ".beside." not in key})
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert (net.encode(picture) - plain.encode(picture)).abs().max() > 0.01
        for block in net.image_encoder.blocks:
            block.beside.norm.weight.zero_()
            block.beside.norm.bias.zero_()
        assert torch.allclose(net.encode(picture), plain.encode(picture), atol=1e-5)


def test_the_published_adapters_weigh_more_than_the_sam_they_sit_in() -> None:
    """interactive.md 3.2: 180.5 M of an encoder of 267.2 M at 256 pixels."""
    with torch.device("meta"):
        net = build(EncoderConfig(size=256), DecoderConfig())
    sizes = {name: value.numel() for name, value in net.image_encoder.named_parameters()}
    adapters = sum(count for name, count in sizes.items() if ".beside." in name)
    assert adapters / 1e6 == pytest.approx(180.5, abs=0.05)
    assert sum(sizes.values()) / 1e6 == pytest.approx(267.2, abs=0.05)


def test_the_last_answer_comes_back_as_probabilities_at_four_times_the_tokens() -> None:
    net = _net()
    hand = ColourHand(net, choose_habits(net))
    marks = Marks(torch.zeros(1, 2), torch.ones(1, dtype=torch.int64), torch.zeros(0, 2, 2))
    given = hand.given(marks, torch.full((64, 64), -2.0))
    assert given.mask is not None
    assert given.mask.shape == (1, 1, 16, 16)
    assert torch.allclose(given.mask, torch.tensor(-2.0).sigmoid())


def test_a_published_layout_loads_and_other_files_are_refused() -> None:
    net = _net()
    state = {key.replace(".beside.", ".Adapter."): value for key, value in net.state_dict().items()}
    loaded = load_sammed2d(state)
    assert (loaded.encoder, loaded.decoder) == (ENCODER, DECODER)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in loaded.state_dict().items())
    with pytest.raises(BadCall, match="blocks have no adapters"):
        load_sammed2d({key: value for key, value in state.items() if ".Adapter." not in key})
    with pytest.raises(BadCall, match=r"'patch_embed.proj.weight' is missing"):
        load_sammed2d({key: value for key, value in state.items() if "patch_embed" not in key})
    with pytest.raises(BadCall, match="1 missing"):
        load_sammed2d({key: value for key, value in state.items() if key != "mask_decoder.mask_tokens.weight"})
