"""Names of SAM's weights in transformers, as those of the original."""

from __future__ import annotations

import re

import torch

from ...blocks.sam.sizes import State

_MLP = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}
_PARTS: tuple[tuple[str, str], ...] = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"^image_encoder\.layers\.(\d+)\.layer_norm", r"image_encoder.blocks.\1.norm"),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.shared_embedding\.positional_embedding$", ".pe_layer.positional_encoding_gaussian_matrix"),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"(transformer\.layers\.\d+)\.layer_norm", r"\1.norm"),
)
_SHARED = "shared_image_embedding.positional_embedding"
_CODE = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def rename_as_original(state: State) -> dict[str, torch.Tensor]:
    """The same weights under the original names; a state that has them already is left as it is, without the colours' mean."""
    found = {key: value for key, value in state.items() if key not in ("pixel_mean", "pixel_std")}
    if not any(key.startswith("vision_encoder.") for key in found):
        return found
    shared = found.pop(_SHARED, None)
    renamed = {_renamed(key): value for key, value in found.items()}
    if shared is not None:
        renamed.setdefault(_CODE, shared)  # files of transformers hold this one and may leave out its copy
    return renamed


def _renamed(key: str) -> str:
    for pattern, name in _PARTS:
        key = re.sub(pattern, name, key)
    return re.sub(
        r"((?:output_hypernetworks_mlps\.\d+|iou_prediction_head)\.)(proj_in|layers\.0|proj_out)\.",
        lambda found: f"{found[1]}{_MLP[found[2]]}.",
        key,
    )
