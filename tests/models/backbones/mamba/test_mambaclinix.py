"""MambaClinix: gated convolutions, where norms stand, anisotropic strides, and weights by the authors' names."""

import re

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.mamba.mambaclinix import GatedBlock, GatedConv, ScanBlock, build, convert, options_of
from ostensor.models.backbones.table import backbone
from ostensor.models.blocks.nnunet import Grow, ResidualBlock

SMALL = {"widths": [8, 16, 16, 24], "kernels": [[1, 3, 3], 3, 3, 3], "strides": [1, [1, 2, 2], 2, [1, 2, 2]]}


@pytest.mark.parametrize("op", ["mul", "add"])
def test_gated_convolution_joins_narrow_to_wide(op: str) -> None:
    """Expected: order 3 of 8 channels written out, widths 2, 4 and 8."""
    torch.manual_seed(0)
    layer = GatedConv(3, 8, 3, (3, 3, 3), op)  # type: ignore[arg-type]  # parametrised
    x = torch.randn(1, 8, 3, 4, 5)
    join = torch.mul if op == "mul" else torch.add
    wide = F.conv3d(x, layer.proj_in.weight, layer.proj_in.bias)
    parts = F.conv3d(wide[:, 2:], layer.dwconv.weight, layer.dwconv.bias, padding=1, groups=14)
    y = join(wide[:, :2], parts[:, :2])
    y = join(layer.reconv[0](y), parts[:, 2:6])
    y = join(layer.reconv[1](y), parts[:, 6:])
    assert torch.allclose(layer(x), layer.proj_out(y), atol=1e-6)


def test_multiplying_and_adding_differ_and_the_paper_multiplies() -> None:
    torch.manual_seed(1)
    nets = [backbone("mambaclinix").build(3, 1, 2, {"hg_op": op}) for op in ("mul", "add")]
    nets[1].load_state_dict(nets[0].state_dict())
    for net in nets:
        for block in net.modules():
            if isinstance(block, GatedBlock):
                torch.nn.init.ones_(block.gamma1)
    image = torch.randn(1, 1, 16, 17, 18)
    with torch.no_grad():
        assert not torch.allclose(nets[0](image).logits, nets[1](image).logits, atol=1e-3)
    assert backbone("mambaclinix").options({})["hg_op"] == "mul"


def test_scan_block_has_one_norm_and_adds_the_raw_input_last() -> None:
    torch.manual_seed(2)
    block = ScanBlock(3, 16, "fwd")
    torch.nn.init.normal_(block.norm.weight)
    x = torch.randn(1, 16, 2, 3, 4)
    tokens = x.flatten(2).transpose(1, 2)
    said = block.proj(block.norm(block.mamba(block.norm(tokens))))
    assert torch.allclose(block(x), x + said.transpose(1, 2).reshape(x.shape), atol=1e-6)


def test_the_first_half_of_the_stages_is_gated_unless_it_is_said() -> None:
    """Of five stages three, as the released code rounds."""
    odd = {"widths": [8, 16, 16, 32, 16], "kernels": [3] * 5, "strides": [1, 2, 1, 1, 1]}
    for gated, expected in (([], "GGGSS"), ([False, True, False, True, False], "SGSGS")):
        layers = build(3, 1, 2, **odd, gated=gated).encoder["encoder_layers"]
        assert "".join("G" if isinstance(layer, GatedBlock) else "S" for layer in layers) == expected


def test_the_last_gated_stage_alone_has_a_norm_before_its_block() -> None:
    torch.manual_seed(3)
    net = build(3, 1, 2, **SMALL).eval()
    image = torch.randn(1, 1, 8, 32, 32)
    torch.nn.init.normal_(net.encoder["LayerNorm"].weight)
    with torch.no_grad():
        before = net.encode(image)
        net.encoder["LayerNorm"].weight.mul_(2)
        after = net.encode(image)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, False, False]


def test_way_past_a_block_pools_before_it_maps() -> None:
    torch.manual_seed(4)
    block = ResidualBlock(3, 4, 6, (3, 3, 3), (1, 2, 2))
    x = torch.randn(1, 4, 3, 4, 6)
    pooled = F.avg_pool3d(x, (1, 2, 2), (1, 2, 2))
    past = F.instance_norm(F.conv3d(pooled, block.skip[1].conv.weight))
    assert block.skip[1].conv.bias is None
    assert torch.allclose(block.skip(x), past, atol=1e-5)
    assert torch.allclose(block(x), F.leaky_relu(block.conv2(block.conv1(x)) + past, 0.01), atol=1e-5)


def test_growing_before_or_after_the_map_is_the_same() -> None:
    layer = Grow(3, 4, 3, (1, 2, 3))
    x = torch.randn(1, 4, 2, 3, 2)
    repeated = x.repeat_interleave(2, dim=3).repeat_interleave(3, dim=4)
    assert torch.allclose(layer(x), layer.conv(repeated), atol=1e-6)


def test_anisotropic_strides_answer_at_every_step() -> None:
    net = build(3, 2, 4, **SMALL).eval()
    assert (net.divisor, net.minimum) == ((2, 8, 8), (4, 16, 16))
    with torch.no_grad():
        said = net(torch.randn(1, 2, 5, 18, 24))
    assert said.logits.shape == (1, 4, 5, 18, 24)
    assert [tuple(one.logits.shape[2:]) for one in said.aux] == [(5, 9, 12), (3, 5, 6)]
    assert [one.weight for one in said.aux] == [0.5, 0.25]


def test_options_are_read_from_weights_and_the_strides_that_are_given() -> None:
    state = build(3, 2, 5, **SMALL).state_dict()
    named = {}
    for key, value in state.items():
        key = re.sub(r"(LayerNorm|lynorm\d)\.weight", r"\1.gamma", key)
        named["module." + re.sub(r"(LayerNorm|lynorm\d)\.bias", r"\1.beta", key)] = value
    named["decoder.encoder.stem.convs.0.conv.weight"] = torch.zeros(1)  # an alias
    named["encoder.encoder_layers.3.skip_scale"] = torch.zeros(1)
    named["encoder.stem.convs.0.all_modules.0.weight"] = torch.zeros(1)
    own = convert(named)
    assert set(own) == set(state)
    found = options_of(named, strides=SMALL["strides"])
    build(**found).load_state_dict(own)
    assert (found["channels"], found["classes"], found["widths"], found["hg_op"]) == (2, 5, SMALL["widths"], "add")
    assert found["kernels"][:2] == [[1, 3, 3], [3, 3, 3]]


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"hold 'encoder\.stages\.0\.0\.conv', which is unknown here"):
        convert({"encoder.stages.0.0.conv": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"This is no MambaClinix: 'encoder\.stem\.convs\.0\.conv\.weight' is missing"):
        options_of({})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hg_op": "gate"}, "hg_op: 'mul' or 'add', not 'gate'"),
        ({"widths": [8, 12, 32, 64]}, "12 channels are too few for the order 3, a multiple of 8 is"),
        ({"gated": [False, False, False, False]}, "at least once true"),
        ({"strides": [2, 2, 2, 2]}, "the first stage keeps the sides"),
        ({"strides": [1, 2, 2]}, "one for each stage"),
        ({"kernels": [2, 3, 3, 3]}, "kernels: odd sides"),
        ({"kernels": [[3, 3], 3, 3, 3]}, "for each of 3 axes"),
    ],
)
def test_options_that_make_no_network_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        backbone("mambaclinix").build(3, 1, 2, wrong)
