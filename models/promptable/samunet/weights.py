"""A SAM-UNet of the authors' code: its layout understood, everything else refused.

Layout: `image_encoder.sam_img_encoder.*`, `prompt_encoder.sam_prompt_encoder.*`, `mask_decoder.{sam_mask_decoder.*, med_token, hf_mlp,
embedding_maskfeature}`, `resnet.stage0..4`, `adapters_in.N.reshaper`, `adapters_bridge.N`, `embedding_encoder`. No weights are published.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ....imaging.errors import BadCall
from ...blocks.sam.sam import PARTS, Given
from ...blocks.sam.sizes import HEADS, State, read_decoder_config, read_encoder_config, select_part
from ...checkpoints import Tensors, count_numbers, fill
from ...parity import Fixture
from .network import ResNetConfig, SamUnet, SamUnetConfig

FILE = "a checkpoint that the code of Hhankyangg/sam-unet saved"
MEAN = (123.675, 116.28, 103.53)  # Source: facebookresearch/segment-anything
SPREAD = (58.395, 57.12, 57.375)
_WRAPPED = ("sam_img_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.")


def load_samunet(state: State, heads: int = HEADS) -> SamUnet:
    """The network with these weights.

    Raises:
        BadCall: another network.
    """
    own = {}
    for key, value in state.items():
        for wrapper in _WRAPPED:
            key = key.replace(f".{wrapper}", ".", 1)
        own[key] = value
    try:
        config = _config(own, heads)
    except KeyError as error:
        raise BadCall(f"This is no SAM-UNet: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = SamUnet(config)
    return fill(net, own, FILE)


def _config(state: State, heads: int) -> SamUnetConfig:
    encoder, prompts, decoder = (select_part(state, part) for part in PARTS)
    stages = [select_part(state, f"resnet.stage{n}.") for n in range(1, 5)]
    resnet = ResNetConfig(
        stem=state["resnet.stage0.0.weight"].shape[0],
        planes=tuple(stage["0.conv1.weight"].shape[0] for stage in stages),
        blocks=tuple(count_numbers(stage, r"(\d+)\.conv1\.weight") for stage in stages),
        bottleneck="0.conv3.weight" in stages[0],
    )
    return SamUnetConfig(read_encoder_config(encoder), read_decoder_config(decoder, prompts, heads), resnet)


def normalise(picture: torch.Tensor, size: int) -> torch.Tensor:
    """Colours (b 3 h w) in 0 to 255 as both branches take them, black below and to the right up to the square."""
    mean, spread = (torch.tensor(one).view(3, 1, 1).to(picture) for one in (MEAN, SPREAD))
    scaled = (picture - mean) / spread
    return F.pad(scaled, (0, size - picture.shape[3], 0, size - picture.shape[2]))


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: boxes picture by picture, then points on the first."""
    net, given = load_samunet(fixture.state(), fixture.sizes.get("decoder_num_heads", HEADS)), fixture.inputs
    size = net.config.encoder.size
    pictures = normalise(given["image"], size)
    with torch.no_grad():
        seen = [net.encode(one[None]) for one in pictures]
        logits = torch.stack([net.decode(one, Given(boxes=box)) for one, box in zip(seen, given["boxes"], strict=True)])
        return {
            "low_res_boxes": logits,
            "masks_boxes0": F.interpolate(logits[0], size=fixture.outputs["masks_boxes0"].shape[2:], mode="bilinear"),
            "low_res_points": net.decode(seen[0], Given(given["points"], given["labels"])),
            "multi_scale_feature": seen[0].scales,
        }
