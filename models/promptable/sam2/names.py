"""Names of SAM 2.1's weights in the original, as those of transformers' video model."""

from __future__ import annotations

import re

import torch

from ....imaging.errors import BadCall
from ...blocks.sam.sizes import State

_WHOLE = {
    "maskmem_tpos_enc": "memory_temporal_positional_encoding",
    "no_mem_embed": "no_memory_embedding",
    "no_mem_pos_enc": "no_memory_positional_encoding",
    "no_obj_ptr": "no_object_pointer",
    "no_obj_embed_spatial": "occlusion_spatial_embedding_parameter",
}
_MLP = {0: "proj_in", 1: "layers.0", 2: "proj_out"}
_PARTS: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(memory_encoder)\.pix_feat_proj\.", r"\1.feature_projection."),
    (r"(memory_encoder)\.out_proj\.", r"\1.projection."),
    (r"(memory_encoder)\.fuser\.", r"\1.memory_fuser."),
    (r"\.gamma$", ".scale"),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"(memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"\.out_proj\.", ".o_proj."),
)
_POINTS = "sam_prompt_encoder.point_embeddings."
_CODE = "prompt_encoder.shared_embedding.positional_embedding"
_SHARED = "shared_image_embedding.positional_embedding"


def rename_as_transformers(state: State) -> dict[str, torch.Tensor]:
    """The same weights under transformers' names; a state that has them already is left as it is.

    Raises:
        BadCall: the four kinds of points are not all there.
    """
    if any(key.startswith("vision_encoder.") for key in state):
        return dict(state)
    found = {_renamed(key): value for key, value in state.items() if not key.startswith(_POINTS)}
    kinds = [state.get(f"{_POINTS}{n}.weight") for n in range(4)]
    if any(kind is None for kind in kinds):
        raise BadCall(f"This is no SAM 2.1: '{_POINTS}' has not four kinds of points. Give a file of Meta or MedSAM2.")
    found["prompt_encoder.point_embed.weight"] = torch.cat([kind for kind in kinds if kind is not None])
    if _CODE in found:
        found[_SHARED] = found[_CODE]
    return found


def _renamed(key: str) -> str:
    if key in _WHOLE:
        return _WHOLE[key]
    for pattern, name in _PARTS:
        key = re.sub(pattern, name, key)
    downsampled = re.match(r"(memory_encoder\.mask_downsampler\.)encoder\.(\d+)\.(.*)", key)
    if downsampled:  # convolution, norm and GELU in threes, then one convolution; `_with_last` finds it
        number, layer = divmod(int(downsampled[2]), 3)
        return f"{downsampled[1]}layers.{number}.{('conv', 'layer_norm')[layer]}.{downsampled[3]}"
    mlp = re.match(
        r"(.*(?:backbone\.blocks\.\d+|mask_decoder\.transformer\.layers\.\d+)\.mlp\.)layers\.(\d)\.(.*)", key
    )
    if mlp:
        return f"{mlp[1]}{('proj_in', 'proj_out')[int(mlp[2])]}.{mlp[3]}"
    head = re.match(
        r"(.*(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head|object_pointer_proj)\.)layers\.(\d)\.(.*)",
        key,
    )
    return f"{head[1]}{_MLP[int(head[2])]}.{head[3]}" if head else key


def name_last_downsampling(state: State) -> dict[str, torch.Tensor]:
    """The memory encoder's last convolution, which has a size of one, under its own name."""
    prefix = "memory_encoder.mask_downsampler."
    found = {}
    for key, value in state.items():
        lone = re.fullmatch(re.escape(prefix) + r"layers\.(\d+)\.conv\.(weight|bias)", key)
        if lone and f"{prefix}layers.{lone[1]}.layer_norm.weight" not in state:
            key = f"{prefix}final_conv.{lone[2]}"
        found[key] = value
    return found
