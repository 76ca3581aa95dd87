"""PCT-Net: thick slices, the released windows, the names of the authors' weights."""

import re
from typing import Any

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import pctnet
from ostensor.models.backbones.attention.pctnet import PCTNet, convert, options_of
from ostensor.models.backbones.attention.rows import ROWS

ROW = next(row for row in ROWS if row.name == "pctnet")


def tiny(**given: Any) -> PCTNet:
    torch.manual_seed(0)
    net = ROW.build(3, 1, 3, given).eval()
    assert isinstance(net, PCTNet)
    return net


def official(net: PCTNet) -> dict[str, torch.Tensor]:
    """Our weights under the names of the released code, with its unused norm and its index."""
    found = {}
    for key, value in net.state_dict().items():
        key = re.sub(r"^((?:embeddings|pred_heads)\.\d\.conv\d)\.", r"\1.conv_conv.", key)
        key = re.sub(r"^(pred_heads\.\d)\.out(\d)\.", r"\1.out_conv\2.conv.", key)
        key = re.sub(r"^(convtrans_..)\.conv\.", r"pyramid_ct.\1.conv.conv_conv.", key)
        key = re.sub(r"^(convtrans_..)\.blocks\.", r"pyramid_ct.\1.trans.blocks.", key)
        key = re.sub(r"^out(\d)\.", r"pyramid_ct.out_conv\1.conv.", key)
        key = re.sub(r"^(up|down)(\d)\.", r"pyramid_ct.\1\2.", key)
        found[re.sub(r"\.table$", ".relative_position_bias_table", key)] = value
    found["pyramid_ct.convtrans_e2.norm_layer.weight"] = torch.ones(1)
    found["pyramid_ct.convtrans_e2.trans.blocks.0.attn.relative_position_index"] = torch.zeros(1, dtype=torch.int64)
    return found


@pytest.mark.parametrize(("mode", "divisor"), [(0, (16, 16, 16)), (1, (16, 16, 8)), (2, (16, 16, 4))])
def test_thick_slices_are_not_halved(mode: int, divisor: tuple[int, ...]) -> None:
    net = tiny(mode=mode)
    assert net.divisor == divisor
    said = net(torch.randn(1, 1, 32, 32, 2 * divisor[2]))
    sides = [tuple(said.features[f"encoder.{n}"].shape[2:]) for n in range(3)]
    assert [side[2] for side in sides] == [2 * divisor[2] // by for by in [(1, 2, 4), (1, 1, 2), (1, 1, 1)][mode]]
    assert [side[0] for side in sides] == [32, 16, 8]
    assert [one.logits.shape[4] for one in said.aux] == [side[2] for side in sides[1:]] + [sides[2][2] // 2]


def test_the_finest_level_of_thick_slices_keeps_them_apart() -> None:
    net = tiny(mode=1, flat_axis=0)
    image = torch.randn(1, 1, 16, 32, 32)
    changed = image.clone()
    changed[:, :, 5] += 1
    with torch.no_grad():
        moved = net(changed).features["encoder.0"] - net(image).features["encoder.0"]
    assert torch.nonzero(moved.abs().amax(dim=(0, 1, 3, 4)) > 0).flatten().tolist() == [5]


def test_released_windows_follow_the_size_it_was_built_for() -> None:
    """By hand for 32 x 32 x 48: the three levels have 8, 4 and 2 tokens on the least side."""
    net = tiny(released=True, size=[32, 32, 48], windows=[3, 4, 4], depths=[2, 2, 2])
    blocks = {n: list(getattr(net, f"convtrans_e{n}").blocks) for n in (2, 3, 4)}
    assert [[block.window for block in blocks[n]] for n in (2, 3, 4)] == [
        [(3,) * 3] * 2,
        [(4,) * 3] * 2,
        [(2,) * 3] * 2,
    ]
    assert [[block.shifted for block in blocks[n]] for n in (2, 3, 4)] == [[False, True], [False] * 2, [False] * 2]
    assert not any(block.masked for one in blocks.values() for block in one)
    ours = tiny(windows=[3, 4, 4])
    assert all(block.masked for block in ours.convtrans_e2.blocks)
    assert [block.shifted for block in ours.convtrans_d3.blocks] == [False, True]


def test_colliding_positions_change_the_answer() -> None:
    right, legacy = tiny(), tiny(legacy_relpos=True)
    legacy.load_state_dict(right.state_dict())
    with torch.no_grad():
        for net in (right, legacy):
            for name, value in net.named_parameters():
                if name.endswith("table"):
                    value.copy_(torch.linspace(-2, 2, value.numel()).reshape(value.shape))
        image = torch.randn(1, 1, 32, 32, 32)
        one, other = (net(image).features["encoder.2"] for net in (right, legacy))
        assert not torch.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_the_authors_weights_come_back_under_our_names_with_their_sizes(mode: int) -> None:
    given = {"size": [32, 32, 32], "heads": [2, 4, 4], "windows": [4, 4, 4], "depths": [2, 1, 2]}
    net = tiny(**given, released=True, legacy_relpos=True, mode=mode, flat_axis=0)
    state = official(net)
    found = convert(state)
    assert found.keys() == net.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in net.state_dict().items())
    sizes = options_of(state, [32, 32, 32], mode, heads=[2, 4, 4], windows=[4, 4, 4])
    assert {"dims", "channels", "classes", *ROW.presets["paper"]} == set(sizes)
    again = pctnet.build(**sizes).eval()
    again.load_state_dict(found)
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(image).logits, net(image).logits)


def test_other_weights_and_sizes_are_refused() -> None:
    state = official(tiny(released=True, size=[32, 32, 32]))
    with pytest.raises(BadCall, match=r"pyramid_ct\.out_conv2\.norm"):
        convert({**state, "pyramid_ct.out_conv2.norm": torch.zeros(1)})
    with pytest.raises(BadCall, match="is missing"):
        options_of({key: value for key, value in state.items() if "out_conv0" not in key}, [32, 32, 32], 0)
    with pytest.raises(BadCall, match="mode is 0, 1 or 2"):
        tiny(mode=3)
    with pytest.raises(BadCall, match="flat_axis 0, 1 or 2"):
        tiny(flat_axis=3)
    with pytest.raises(BadCall, match="five levels"):
        tiny(features=[8, 8, 8, 8])
