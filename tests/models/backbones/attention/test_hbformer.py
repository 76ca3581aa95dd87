"""HBFormer: mixing experts, the skip that serves twice, the names of the authors' weights."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import hbformer
from ostensor.models.backbones.attention.hbformer import DILATIONS, EXPERTS, HBFormer, _Scales, convert, options_of
from ostensor.models.backbones.attention.rows import ROWS

ROW = next(row for row in ROWS if row.name == "hbformer")


def tiny(**given: Any) -> HBFormer:
    torch.manual_seed(0)
    net = ROW.build(2, 3, 4, given).eval()
    assert isinstance(net, HBFormer)
    return net


def official(net: HBFormer) -> dict[str, torch.Tensor]:
    """Our weights under the names of the released code, each expert by itself, with what nothing uses."""
    found = {}
    for key, value in net.state_dict().items():
        key = re.sub(r"^project\.(\d)", lambda one: f"proj_enc{int(one[1]) + 1}", key)
        key = re.sub(r"^decoder\.(\d)", lambda one: f"MFF_decoder{int(one[1]) + 1}", key)
        key = re.sub(r"^colours\.", "input_proj.", key)
        key = re.sub(r"^encoder\.(embed|norm)\.", lambda m: f"P.{'proj' if m[1] == 'embed' else 'norm'}.", key)
        key = re.sub(r"^P\.", "MWAencoder.backbone.patch_embed.", key)
        key = re.sub(r"^encoder\.stages\.(\d)\.", r"MWAencoder.backbone.layers.\1.blocks.", key)
        key = re.sub(
            r"^encoder\.merge\.(\d)", lambda one: f"MWAencoder.backbone.layers.{int(one[1]) + 1}.downsample", key
        )
        key = re.sub(r"\.table$", ".relative_position_bias_table", key)
        key = key.replace(".up.", ".transp_conv.").replace(".local.", ".LRD_block.")
        key = re.sub(r"^(MFF_decoder\d)\.norm\.", r"\1.BN.", key)
        key = re.sub(r"\.scales\.(branch|expert)\.", r".Med_DSPP.\1_attention.", key)
        key = key.replace(".scales.norms.", ".Med_DSPP.bns.").replace(".scales.eca.", ".Med_DSPP.eca.conv.")
        if expert := re.fullmatch(r"(.+)\.scales\.(dw|pw)\.(\d)\.weight", key):
            width = value.shape[0] // EXPERTS
            for n in range(EXPERTS):
                kernel = value[n::EXPERTS] if expert[2] == "dw" else value[n * width : (n + 1) * width]
                found[f"{expert[1]}.Med_DSPP.{expert[2]}_experts.{expert[3]}.{n}.weight"] = kernel
            continue
        found[key.replace(".scales.", ".Med_DSPP.")] = value
    found["proj_enc4.weight"] = found["MWAencoder.backbone.norm.weight"] = torch.ones(1)
    found["MWAencoder.backbone.layers.0.blocks.1.attn_mask"] = torch.ones(1)
    return found


def test_experts_are_mixed_as_one_by_one() -> None:
    """The slow way: every expert's convolution by itself, weighed and summed, first in depth, then across channels."""
    torch.manual_seed(0)
    scales = _Scales(8).eval()
    x = torch.randn(2, 8, 7, 5)
    shares, branches = scales.expert(x), scales.branch(x)
    seen = []
    for n, by in enumerate(DILATIONS):
        deep = sum(
            shares[:, e : e + 1] * F.conv2d(x, scales.dw[n].weight[e::EXPERTS], padding=by, dilation=by, groups=8)
            for e in range(EXPERTS)
        )
        points = scales.pw[n].weight.chunk(EXPERTS)
        wide = sum(shares[:, e : e + 1] * F.conv2d(deep, points[e]) for e in range(EXPERTS))
        seen.append(F.silu(scales.norms[n](wide)) * branches[:, n : n + 1])
    beside = torch.cat(seen, dim=1)
    means = F.pad(beside.mean(dim=(2, 3)), (1, 1))
    taps = scales.eca.weight.flatten()
    gate = torch.sigmoid(sum(taps[n] * means[:, n : n + 24] for n in range(3)))
    expected = scales.fuse_bn(scales.fuse(beside * gate[:, :, None, None]))
    assert torch.allclose(scales(x), expected, atol=1e-5)


def test_the_third_map_is_a_skip_of_two_levels() -> None:
    net = tiny()
    given: list[torch.Tensor] = []
    for level in net.decoder:
        level.register_forward_pre_hook(lambda _, args: given.append(args[1]))
    with torch.no_grad():
        said = net(torch.randn(1, 3, 64, 96))
    third = said.features["encoder.2"]
    assert torch.equal(given[0], third)
    doubled = F.interpolate(net.project[2](third), scale_factor=2, mode="bilinear", align_corners=True)
    assert torch.equal(given[1], doubled)
    assert [tuple(one.shape[2:]) for one in given] == [(4, 6), (8, 12), (16, 24), (32, 48)]


def test_the_authors_weights_come_back_under_our_names_with_their_sizes() -> None:
    net = tiny(released=True, depths=[1, 2, 1, 1], windows=[4, 4, 4, [2, 3]])
    state = official(net)
    found = convert(state)
    assert found.keys() == net.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in net.state_dict().items())
    sizes = options_of(state, size=[64, 96])
    assert {"dims", "channels", "classes", *ROW.presets["paper"]} == set(sizes)
    assert sizes["windows"] == [[4, 4], [4, 4], [4, 4], [2, 3]]
    assert sizes["heads"] == [1, 2, 4, 4]
    again = hbformer.build(**options_of(official(tiny()))).eval()
    again.load_state_dict(tiny().state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(image).logits, tiny(released=True)(image).logits)


def test_other_weights_and_sizes_are_refused() -> None:
    state = official(tiny())
    with pytest.raises(BadCall, match=r"proj_enc5\.weight"):
        convert({**state, "proj_enc5.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"'input_proj\.weight' is missing"):
        options_of({key: value for key, value in state.items() if not key.startswith("input_proj")})
    with pytest.raises(BadCall, match="for four stages"):
        tiny(depths=[1, 1], heads=[1, 1], windows=[4, 4])
    with pytest.raises(BadCall, match="has 4 channels and needs 8"):
        tiny(width=8)
