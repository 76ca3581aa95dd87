"""Co-Seg++ blocks by the authors' names: `prompt_encoder.*` and `mask_decoder.*` of one task. No weights are published."""

from __future__ import annotations

import torch

from ....imaging.errors import BadCall
from ...blocks.sam.decoder import DecoderConfig
from ...blocks.sam.sizes import State, select_part
from ...checkpoints import Tensors, count_numbers, fill
from ...parity import Fixture
from .network import Seen, TaskDecoder
from .prompts import MutualPrompts

FILE = "weights that the code of xq141839/Co-Seg-Plus saved"
HEADS = 8  # of the decoder; no shape tells them; Source: released code
UNUSED = "iou_prediction_head."  # stored by the authors, used by nothing


def load_task(state: State, grid: int, heads: int = HEADS) -> tuple[MutualPrompts, TaskDecoder]:
    """The released form of one task's encoder of masks and its decoder, with these weights.

    Args:
        grid: places per side of the embedding.

    Raises:
        BadCall: another network's weights.
    """
    prompts, decoder = select_part(state, "prompt_encoder."), select_part(state, "mask_decoder.")
    decoder = {key: value for key, value in decoder.items() if not key.startswith(UNUSED)}
    try:
        small, hidden = prompts["mask_downscaling.3.bias"].shape[0], prompts["cross_att.linear1.bias"].shape[0]
        width, (inner, scan) = prompts["no_mask_embed.weight"].shape[1], prompts["mixer.A_log"].shape
        kernel = prompts["mixer.conv1d_x.weight"].shape[-1]
        config = DecoderConfig(
            width=width,
            depth=count_numbers(decoder, r"transformer\.layers\.(\d+)\.norm1\.weight"),
            heads=heads,
            hidden=decoder["transformer.layers.0.mlp.layers.0.bias"].shape[0],
            mask_channels=small,
        )
        masks = decoder["mask_tokens.weight"].shape[0] - 1
    except KeyError as error:
        raise BadCall(f"This is no Co-Seg++: {error} is missing. Give {FILE}.") from None
    renamed = {key.replace("mlp.layers.0.", "mlp.lin1.").replace("mlp.layers.1.", "mlp.lin2."): value
               for key, value in decoder.items()}  # fmt: skip
    with torch.device("meta"):
        encoder = MutualPrompts(width, 4 * grid, small, hidden, inner=inner, state=scan, kernel=kernel, released=True)
        drawing = TaskDecoder(config, masks)
    return fill(encoder, prompts, FILE), fill(drawing, renamed, FILE)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: a mask as prompt, and the decoder without and with it."""
    given, sizes = fixture.inputs, fixture.sizes
    image = given["image_embedding"]
    prompts, decoder = load_task(fixture.state(), image.shape[2], sizes.get("decoder_num_heads", HEADS))
    seen = Seen(image, given["high_res_1"], given["high_res_0"])
    with torch.no_grad():
        code = prompts.pe_layer.of_grid(image.shape[2])
        dense = prompts.of_mask(given["mask"], image)
        first = decoder(seen, code, prompts.dense(len(image), image.shape[2]), coarse=True)
        second = decoder(seen, code, dense, coarse=False)
    return {
        "dense_prompt": dense,
        "masks_first": first.masks,
        "spatial_map": first.regions,
        "masks_second": second.masks,
    }
