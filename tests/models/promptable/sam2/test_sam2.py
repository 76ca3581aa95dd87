"""SAM 2.1: Meta's names, sizes, a structure followed through slices, and what is refused."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import Sam2VideoModel

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.interface import Prompt, Promptable
from ostensor.models.promptable.ddsam2.hooks import attach
from ostensor.models.promptable.flat import Marks
from ostensor.models.promptable.sam2.names import name_last_downsampling, rename_as_transformers
from ostensor.models.promptable.sam2.stack import StackPredictor, make_points
from ostensor.models.promptable.sam2.weights import SIZES, Size, load_sam2, make_config

LIKE = Size((1, 1, 2, 1), 1, (4, 2, 4, 2), (3,))
SIDE = 64


def _published(net: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights under Meta's names, each written out from facebookresearch/sam2's modules and not by turning our map round."""
    heads = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}
    pairs = {"proj_in": "layers.0", "proj_out": "layers.1"}
    prompts = {
        "conv1": "0", "layer_norm1": "1", "conv2": "3", "layer_norm2": "4", "conv3": "6",
        "upscale_conv1": "output_upscaling.0", "upscale_layer_norm": "output_upscaling.1", "upscale_conv2": "output_upscaling.3",
    }  # fmt: skip
    alone = {
        "memory_temporal_positional_encoding": "maskmem_tpos_enc", "no_memory_embedding": "no_mem_embed",
        "no_memory_positional_encoding": "no_mem_pos_enc", "no_object_pointer": "no_obj_ptr",
        "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
    }  # fmt: skip
    for key, value in net.state_dict().items():
        parts = key.split(".")
        if key in alone:
            yield alone[key], value
        elif key == "prompt_encoder.point_embed.weight":
            yield from ((f"sam_prompt_encoder.point_embeddings.{n}.weight", value[n : n + 1]) for n in range(4))
        elif key.endswith("shared_embedding.positional_embedding"):
            yield "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", value
        elif parts[0] == "shared_image_embedding":
            continue
        elif key.startswith("prompt_encoder.mask_embed."):
            yield f"sam_prompt_encoder.mask_downscaling.{prompts[parts[2]]}.{parts[3]}", value
        elif parts[0] == "prompt_encoder":
            yield f"sam_{key}", value
        elif key.startswith("vision_encoder.neck"):
            yield f"image_encoder.neck.convs.{parts[3]}.conv.{parts[4]}", value
        elif parts[0] == "vision_encoder":
            rest = (
                ".".join(parts[2:]).replace("layer_norm", "norm").replace("patch_embed.projection", "patch_embed.proj")
            )
            for ours, theirs in pairs.items():
                rest = rest.replace(f"mlp.{ours}.", f"mlp.{theirs}.")
            yield f"image_encoder.trunk.{rest}", value
        elif parts[0] == "mask_decoder":
            if parts[1] in prompts:
                yield f"sam_mask_decoder.{prompts[parts[1]]}.{parts[2]}", value
                continue
            rest = ".".join(parts[1:])
            if parts[1] == "transformer":
                rest = rest.replace("layer_norm_final_attn", "norm_final_attn").replace("layer_norm", "norm")
                rest = (
                    rest.replace("o_proj", "out_proj")
                    .replace("mlp.proj_in", "mlp.layers.0")
                    .replace("mlp.proj_out", "mlp.layers.1")
                )
            else:
                for ours, theirs in heads.items():
                    if f".{ours}." in rest:
                        rest = rest.replace(f".{ours}.", f".{theirs}.")
                        break
            yield f"sam_mask_decoder.{rest}", value
        elif parts[0] == "object_pointer_proj":
            inner = ".".join(parts[1:-1])
            yield f"obj_ptr_proj.{heads[inner]}.{parts[-1]}", value
        elif parts[0] == "temporal_positional_encoding_projection_layer":
            yield f"obj_ptr_tpos_proj.{parts[1]}", value
        elif parts[0] == "memory_attention":
            yield key.replace("layer_norm", "norm").replace("o_proj", "out_proj"), value
        elif key.startswith("memory_encoder.mask_downsampler.layers"):
            yield (
                f"memory_encoder.mask_downsampler.encoder.{3 * int(parts[3]) + (parts[4] == 'layer_norm')}.{parts[5]}",
                value,
            )
        elif key.startswith("memory_encoder.mask_downsampler.final_conv"):
            yield f"memory_encoder.mask_downsampler.encoder.12.{parts[3]}", value
        elif parts[0] == "memory_encoder":
            for ours, theirs in (
                ("memory_fuser", "fuser"), ("feature_projection", "pix_feat_proj"), ("memory_encoder.projection", "memory_encoder.out_proj"),
                ("depthwise_conv", "dwconv"), ("pointwise_conv", "pwconv"), ("layer_norm", "norm"), (".scale", ".gamma"),
            ):  # fmt: skip
                key = key.replace(ours, theirs)
            yield key, value
        else:
            yield key, value


def _small() -> torch.nn.Module:
    """Hiera of four narrow stages, the rest as published; random everywhere."""
    torch.manual_seed(0)
    widths = {"patch_embed.projection.weight": (8, 3, 7, 7), "pos_embed": (1, 8, 7, 7)}
    state = {f"vision_encoder.backbone.{key}": torch.zeros(shape) for key, shape in widths.items()}
    state |= {f"vision_encoder.backbone.blocks.{n}.x": torch.zeros(1) for n in range(5)}
    state |= {
        "vision_encoder.neck.convs.0.weight": torch.zeros(256, 64, 1, 1),
        "memory_attention.layers.0.x": torch.zeros(1),
    }
    net = Sam2VideoModel(make_config(state, SIDE, LIKE))
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.05)
    torch.nn.init.constant_(net.mask_decoder.pred_obj_score_head.proj_out.bias, 9.0)  # the structure is in every slice
    net.prompt_encoder.shared_embedding.positional_embedding = net.shared_image_embedding.positional_embedding
    return net.eval()


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    return _small()


def test_metas_names_are_transformers_names(net: torch.nn.Module) -> None:
    renamed = name_last_downsampling(rename_as_transformers(dict(_published(net))))
    wanted = net.state_dict()
    assert set(renamed) == set(wanted)
    assert all(torch.equal(value, wanted[key]) for key, value in renamed.items())


@pytest.mark.parametrize(
    ("size", "millions"), [((96, 12), 38.9), ((96, 16), 46.0), ((112, 24), 80.8), ((144, 48), 224.4)]
)
def test_the_published_sizes(size: tuple[int, int], millions: float) -> None:
    """Parameters as Meta's README tells them of tiny, small, base-plus and large."""
    width, depth = size
    background = 14 if width == 112 else 7
    state = {
        "vision_encoder.backbone.patch_embed.projection.weight": torch.zeros(width, 3, 7, 7, device="meta"),
        "vision_encoder.backbone.pos_embed": torch.zeros(1, width, background, background, device="meta"),
        "vision_encoder.neck.convs.0.weight": torch.zeros(256, 8 * width, 1, 1, device="meta"),
        **{f"vision_encoder.backbone.blocks.{n}.x": torch.zeros(1) for n in range(depth)},
        **{f"memory_attention.layers.{n}.x": torch.zeros(1) for n in range(4)},
    }
    with torch.device("meta"):
        made = Sam2VideoModel(make_config(state, 1024))
    assert sum(value.numel() for value in made.parameters()) / 1e6 == pytest.approx(millions, abs=0.15)


def test_other_networks_are_refused(net: torch.nn.Module) -> None:
    state = dict(_published(net))
    with pytest.raises(BadCall, match="not four kinds of points"):
        load_sam2({"image_encoder.pos_embed": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"SAM 2\.0"):
        load_sam2({key: value for key, value in state.items() if key != "no_obj_embed_spatial"})
    with pytest.raises(BadCall, match="8 wide and has 5 blocks"):
        load_sam2(state)
    with pytest.raises(BadCall, match="1 missing"):
        load_sam2({key: value for key, value in state.items() if key != "no_mem_embed"}, SIDE, LIKE)
    with pytest.raises(BadCall, match="1 unexpected"):
        load_sam2(state | {"strange": torch.zeros(1)}, SIDE, LIKE)
    assert len(SIZES) == 4


def test_a_box_is_two_points_before_the_others() -> None:
    marks = Marks(torch.tensor([[3.0, 9.0]]), torch.tensor([0]), torch.tensor([[[4.5, 10.5], [20.5, 30.5]]]))
    points, labels = make_points(marks)
    assert points.tolist() == [[11.0, 5.0], [31.0, 21.0], [9.5, 3.5]]
    assert labels.tolist() == [2, 3, 0]
    with pytest.raises(BadCall, match="one box for each slice"):
        make_points(Marks(marks.points, marks.labels, marks.boxes.repeat(2, 1, 1)))


def test_what_is_drawn_in_a_slice_is_followed_through_the_others(net: torch.nn.Module) -> None:
    """Its slice answers as transformers' model alone does; others are reached both ways; the same prompts draw the same."""
    made = StackPredictor(load_sam2(dict(_published(net)), SIDE, LIKE), catalogue.card("sam2"), largest=False)
    assert isinstance(made, Promptable)
    array = np.random.default_rng(0).normal(size=(31, 37, 5)).astype(np.float32)
    scan = Volume(array, Grid(array.shape, np.diag([0.7, 0.9, 3.0, 1.0])), "mr")
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    box = Prompt("box", box=((5, 20), (7, 30), (2, 3)))
    found = made.decode(seen, [box])
    assert seen.nbytes > array.nbytes
    assert isinstance(found.logits, dict)
    assert set(found.logits) >= {1, 2, 3}, "to the head and to the feet"
    assert found.logits[2].shape == (SIDE // 4, SIDE // 4)
    again = made.decode(seen, [box])
    assert np.array_equal(again.array, found.array)
    assert not torch.equal(made.decode(seen, [box, Prompt("point", False, at=(10, 10, 2))]).logits[2], found.logits[2])  # type: ignore[index]  # opaque to callers


def test_adapters_are_added_to_the_first_blocks_and_taken_off_again(net: torch.nn.Module) -> None:
    """DD-SAM2: what a block answers, and what its adapter says of that."""
    blocks = list(net.vision_encoder.backbone.blocks)
    picture = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        before = net.get_image_features(picture, return_dict=True).fpn_hidden_states[-1]
        adapters, detach = attach(blocks, 3)
        answers: list[torch.Tensor] = []
        hook = blocks[0].register_forward_hook(lambda _block, given, answer: answers.extend([given[0], answer]))
        changed = net.get_image_features(picture, return_dict=True).fpn_hidden_states[-1]
        hook.remove()
        detach()
        after = net.get_image_features(picture, return_dict=True).fpn_hidden_states[-1]
        alone = blocks[0](answers[0])
        assert torch.allclose(answers[1], alone + adapters[0](alone), atol=1e-5)
    assert len(adapters) == 3
    assert torch.equal(before, after)
    assert (changed - before).abs().max() > 1e-3
