"""SegFormer3D: the head's order of steps, the axes, the names of the authors' weights."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import segformer3d
from ostensor.models.backbones.attention.rows import ROWS
from ostensor.models.backbones.attention.segformer3d import SegFormer3D, convert, options_of

ROW = next(row for row in ROWS if row.name == "segformer3d")


def tiny(**given: Any) -> SegFormer3D:
    torch.manual_seed(0)
    net = ROW.build(3, 2, 3, given).eval()
    assert isinstance(net, SegFormer3D)
    with torch.no_grad():
        for name, value in net.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                value.uniform_(0.5, 1.5)
    return net


def official(net: SegFormer3D) -> dict[str, torch.Tensor]:
    """Our weights under the names of the released code, which counts from 1."""
    found = {}
    for key, value in net.state_dict().items():
        key = re.sub(r"mlp\.(dwconv|bn)\.", r"mlp.dwconv.\1.", key)
        part, number, rest = (*key.split(".", 2), "", "")[:3]
        if part == "stages":
            n = int(number) + 1
            rest = re.sub(r"^blocks\.", f"tf_block{n}.", rest)
            rest = re.sub(r"^embed\.", f"embed_{n}.patch_embeddings.", rest)
            rest = re.sub(r"^embed_norm\.", f"embed_{n}.norm.", rest)
            key = f"segformer_encoder.{re.sub(r'^norm[.]', f'norm{n}.', rest)}"
        elif part == "linear":
            key = f"segformer_decoder.linear_c{int(number) + 1}.{rest.replace('0.', 'proj.').replace('1.', 'bn.')}"
        else:
            where = {"mix": "linear_fuse.0", "norm": "linear_fuse.1", "head": "linear_pred"}[part]
            key = f"segformer_decoder.{where}.{key.split('.', 1)[1]}"
        found[f"module.{key}"] = value
    return found


def test_the_head_equals_concatenation_of_the_resized_levels_and_one_convolution() -> None:
    net = tiny()
    maps = [torch.randn(1, width, *(side // 2**n for side in (8, 16, 8))) for n, width in enumerate((16, 32, 40, 64))]
    wide = [
        F.interpolate(linear(x.movedim(1, -1)).movedim(-1, 1), size=(8, 16, 8), mode="trilinear", align_corners=False)
        for x, linear in zip(maps, net.linear, strict=True)
    ]
    expected = F.relu(net.norm(net.mix(torch.cat(wide[::-1], dim=1))))
    assert torch.allclose(net.fuse(maps), expected, atol=1e-5)


def test_no_axis_is_taken_for_another() -> None:
    """A network whose kernels are turned gives the turned answer of the turned volume."""
    net, turned = tiny(), tiny()
    turned.load_state_dict(
        {key: value.transpose(2, 4) if value.dim() == 5 else value for key, value in net.state_dict().items()}
    )
    image = torch.randn(1, 2, 32, 48, 64)
    with torch.no_grad():
        there = turned(image.transpose(2, 4)).logits.transpose(2, 4)
        assert torch.allclose(net(image).logits, there, atol=1e-4)


def test_the_authors_weights_come_back_under_our_names_with_their_sizes() -> None:
    net = tiny(depths=[2, 1, 1, 1], reductions=[2, 2, 1, 1], ratios=[4, 2, 4, 4])
    state = official(net)
    found = convert(state)
    assert found.keys() == net.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in net.state_dict().items())
    sizes = options_of(state, strides=[2, 2, 2, 2])
    assert {"dims", "channels", "classes", *ROW.presets["paper"]} == set(sizes)
    segformer3d.build(**sizes).load_state_dict(found)
    assert sizes["depths"] == [2, 1, 1, 1]
    assert sizes["reductions"] == [2, 2, 1, 1]


def test_other_weights_are_refused() -> None:
    state = official(tiny())
    with pytest.raises(BadCall, match=r"segformer_decoder.extra"):
        convert({**state, "segformer_decoder.extra": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"linear_pred\.weight' is missing"):
        options_of({key: value for key, value in state.items() if "linear_pred" not in key})


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadCall, match="once for every stage"):
        tiny(depths=[1, 1])
    with pytest.raises(BadCall, match="3 heads do not divide 16 channels"):
        tiny(heads=[3, 2, 5, 8])
