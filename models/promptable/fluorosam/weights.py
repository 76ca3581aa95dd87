"""FluoroSAM's prompts and decoder with weights of the authors' layout: `prompt_encoder.*` and `mask_decoder.*`, perhaps below `sam.`."""

from __future__ import annotations

from dataclasses import replace

import torch

from ....imaging.errors import BadCall
from ...blocks.sam.sam import Given
from ...blocks.sam.sizes import HEADS, State, read_decoder_config, select_part
from ...checkpoints import Tensors, fill
from ...parity import Fixture
from .network import FluoroConfig, FluoroSam

FILE = "the authors' FluoroSAM checkpoint"


def load_fluorosam(state: State, like: FluoroConfig | None = None, heads: int = HEADS) -> FluoroSam:
    """What comes after the image encoder, whose own entries are set aside.

    Args:
        like: sizes that these weights do not tell, of the picture and of the embedding's grid; None for the published ones.

    Raises:
        BadCall: another network.
    """
    own = {}
    for key, value in state.items():
        name = key.removeprefix("sam.").replace(".mask_output_hypernetworks_mlps.", ".output_hypernetworks_mlps.")
        if name.startswith(("prompt_encoder.", "mask_decoder.")):
            own[name] = value
    prompts, decoder = select_part(own, "prompt_encoder."), select_part(own, "mask_decoder.")
    book = prompts.get("vq._codebook.embed")
    if book is None:
        raise BadCall(f"This is no FluoroSAM: it has no codebook. Give {FILE}.")
    try:
        config = replace(
            like or FluoroConfig(),
            decoder=read_decoder_config(decoder, prompts, heads),
            text=prompts["clip_mlp.layers.0.weight"].shape[1],
            codes=book.shape[1],
        )
    except KeyError as error:
        raise BadCall(f"This is no FluoroSAM checkpoint: {error} is missing. Give {FILE}.") from None
    with torch.device("meta"):
        net = FluoroSam(config)
    return fill(net, own, FILE)


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: phrases, phrases with points, and all prompts together."""
    sizes, given = fixture.sizes, fixture.inputs
    like = FluoroConfig(size=sizes["input_image_size"], grid=given["image_embedding"].shape[-1])
    net = load_fluorosam(fixture.state(), like, sizes.get("decoder_num_heads", HEADS))
    pooled, points, labels = given["text_vectors"], given["points"], given["labels"]
    with torch.no_grad():
        code = net.prompt_encoder.phrases(pooled)
        found: Tensors = {
            "code_index": code.index,
            "quantised": code.vectors,
            "vq_loss_training": code.loss[None],
            "mlp_text": net.prompt_encoder.clip_mlp(pooled),
        }
        for name, prompts, ambiguous in (
            ("text", Given(), True),
            ("text_points", Given(points, labels), True),
            ("all", Given(points, labels, given["boxes"], given["mask_input"]), False),
        ):
            found[f"sparse_{name}"] = net.sparse(pooled, prompts)  # type: ignore[assignment]  # there is a phrase
            found[f"masks_{name}"], found[f"iou_{name}"] = net.decode(
                given["image_embedding"], pooled, prompts, ambiguous=ambiguous
            )
    return found
