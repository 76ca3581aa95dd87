"""SAM-UNet: what learns, where its branch enters, and what is refused."""

import dataclasses

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Given
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.promptable.samunet.network import ResNetConfig, SamUnet, SamUnetConfig
from ostensor.models.promptable.samunet.weights import load_samunet, normalise

SMALL = SamUnetConfig(
    EncoderConfig(64, 8, 24, 4, 3, 2.0, (3,), 3, 16),
    DecoderConfig(16, 2, 8, 20, 256, 8),
    ResNetConfig(4, (4, 6, 4, 8), (1, 2, 1, 1), bottleneck=True),
)
BOX = Given(boxes=torch.tensor([[5.0, 9.0, 40.0, 50.0], [1.0, 2.0, 30.0, 20.0]]))


def _net(config: SamUnetConfig = SMALL) -> SamUnet:
    torch.manual_seed(0)
    return SamUnet(config).eval()


def _published(net: SamUnet) -> dict[str, torch.Tensor]:
    names = {"image_encoder.": "sam_img_encoder.", "prompt_encoder.": "sam_prompt_encoder."}
    found = {}
    for key, value in net.state_dict().items():
        for part, wrapper in names.items():
            key = key.replace(part, part + wrapper, 1) if key.startswith(part) else key
        if key.startswith(("mask_decoder.transformer.", "mask_decoder.output_upscaling.")):
            key = key.replace("mask_decoder.", "mask_decoder.sam_mask_decoder.", 1)
        found[key] = value
    return found


def test_the_published_network_answers_at_a_quarter_of_its_picture() -> None:
    """64 x 64 logits at 256 pixels, 32 channels of scales; on the meta device."""
    with torch.device("meta"):
        net = SamUnet(SamUnetConfig())
        seen = net.encode(torch.zeros(1, 3, 256, 256))
        logits = net.decode(seen, Given(boxes=torch.zeros(1, 4)))
    assert seen.scales.shape == (1, 32, 64, 64)
    assert logits.shape == (1, 1, 64, 64)


def test_gradients_reach_the_branch_bridges_prompts_and_decoder_but_no_frozen_transformer() -> None:
    net = _net()
    net.image_encoder.requires_grad_(False)
    net.decode(net.encode(torch.randn(1, 3, 64, 64)), BOX).square().mean().backward()
    learned = {name.split(".")[0] for name, value in net.named_parameters() if value.grad is not None}
    assert learned == {
        "resnet", "adapters_in", "adapters_bridge", "embedding_encoder", "mask_decoder", "prompt_encoder",
    }  # fmt: skip
    assert all(value.grad is not None for value in net.adapters_in.parameters())


def test_bridges_are_added_so_their_order_is_not_told() -> None:
    net = _net()
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        seen = net.encode(picture)
        for one in (*net.adapters_bridge, net.embedding_encoder):
            one[3].weight.zero_()
        bare = net.encode(picture)
    assert torch.allclose(
        bare.scales, sum(one[3].bias for one in (*net.adapters_bridge, net.embedding_encoder))[:, None, None]
    )
    assert torch.equal(seen.embedding, bare.embedding)


def test_every_level_of_the_branch_enters() -> None:
    net = _net()
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = net.encode(picture).embedding
        for reshaper in net.adapters_in:
            last = reshaper.reshaper[-1]
            kept = last.weight.clone()
            last.weight.zero_()
            assert (net.encode(picture).embedding - plain).abs().max() > 1e-4
            last.weight.copy_(kept)


def test_padding_is_black_after_normalising() -> None:
    found = normalise(torch.full((1, 3, 5, 7), 123.675), 8)
    assert found.shape == (1, 3, 8, 8)
    assert float(found[0, 0, :5, :7].abs().max()) == 0
    assert float(found[:, :, 5:].abs().max() + found[:, :, :, 7:].abs().max()) == 0
    assert float(found[0, 1, 0, 0]) == pytest.approx((123.675 - 116.28) / 57.12)


@pytest.mark.parametrize("bottleneck", [True, False])
def test_a_published_layout_loads_and_other_files_are_refused(bottleneck: bool) -> None:
    """ResNet-50's blocks and ResNet-34's are told apart by their weights."""
    config = dataclasses.replace(SMALL, resnet=dataclasses.replace(SMALL.resnet, bottleneck=bottleneck))
    net = _net(config)
    state = _published(net)
    loaded = load_samunet(state)
    assert loaded.config == config
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = (one.decode(one.encode(picture), BOX) for one in (loaded, net))
    assert torch.allclose(ours, theirs, atol=1e-5)
    with pytest.raises(BadCall, match=r"'resnet.stage0.0.weight' is missing"):
        load_samunet({key: value for key, value in state.items() if key != "resnet.stage0.0.weight"})
    with pytest.raises(BadCall, match="1 unexpected"):
        load_samunet(state | {"mask_decoder.sam_mask_decoder.iou_token.weight": torch.zeros(1, 16)})
