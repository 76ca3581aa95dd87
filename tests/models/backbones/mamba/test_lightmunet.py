"""LightM-UNet: what its norms and skips do, and weights by the authors' names."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.mamba.lightmunet import ScanLayer, build, convert, options_of
from ostensor.models.backbones.table import BACKBONES, backbone
from ostensor.models.blocks.scans.directions import DIRECTIONS


def net(dims: int = 2, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return backbone("lightmunet").build(dims, 2, 3, options)


def test_one_norm_stands_before_the_scan_and_after_the_sum_with_the_raw_tokens() -> None:
    """Expected: the layer written out with the parts of the module, by the corrections of the spec."""
    torch.manual_seed(1)
    layer = ScanLayer(2, 16, 24, "fwd")
    with torch.no_grad():
        layer.norm.weight.normal_()
        layer.norm.bias.normal_()
        layer.skip_scale.fill_(0.3)
    x = torch.randn(2, 16, 3, 5)
    tokens = x.permute(0, 2, 3, 1).reshape(2, 15, 16)
    said = layer.mamba(layer.norm(tokens)) + 0.3 * tokens
    expected = layer.proj(layer.norm(said)).reshape(2, 3, 5, 24).permute(0, 3, 1, 2)
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_options_are_read_from_the_shapes_of_weights(dims: int) -> None:
    given = {"width": 16, "blocks_down": [1, 2, 1, 3], "blocks_up": [2, 1, 1]}
    state = {f"module.{key}": value for key, value in build(dims, 3, 5, **given).state_dict().items()}
    assert options_of({"network_weights": state}) == {"dims": dims, "channels": 3, "classes": 5, **given}
    assert set(convert(state)) == {key.removeprefix("module.") for key in state}


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"hold 'encoder\.stem\.weight', which is unknown here"):
        convert({"encoder.stem.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"This is no LightM-UNet: 'convInit.1.conv.weight' is missing"):
        options_of({})


def test_options_that_make_no_network_are_refused() -> None:
    with pytest.raises(BadCall, match="width: a multiple of 8"):
        net(width=12)
    with pytest.raises(BadCall, match="blocks_up: one number less"):
        net(blocks_up=[1])
    with pytest.raises(BadCall, match="'planes3d' is not for 2 dimensions"):
        net(directions="planes3d")


@pytest.mark.parametrize(("dims", "directions", "passes"), [(2, "bidir", 2), (2, "cross2d", 4), (3, "planes3d", 6)])
def test_other_scan_orders_answer_and_learn(dims: int, directions: str, passes: int) -> None:
    made = net(dims, directions=directions)
    said = made(torch.randn(1, 2, *(9, 8, 11)[:dims]))
    said.logits.square().mean().backward()
    assert all(value.grad is not None for value in made.parameters())
    assert made.down_layers[0][1].conv1.mamba.A_log.shape == (16 * passes, 16)


def test_backbones_that_scan_are_tagged_and_take_directions() -> None:
    """The survey's vocabulary: whoever is tagged takes every order there is for its dimensions."""
    tagged = [row for row in BACKBONES if any(tag.startswith("ssm-") for tag in row.tags)]
    assert {row.name for row in tagged} == {"lightmunet", "msvmunet", "mambaclinix"}
    for row in tagged:
        for dims in row.dims:
            for one in DIRECTIONS:
                if dims in one.dims:
                    with torch.device("meta"):
                        row.build(dims, 1, 2, {"directions": one.name})


@pytest.mark.parametrize("name", ["lightmunet", "msvmunet", "mambaclinix", "xlstmunet", "qtseg", "dinounet"])
def test_networks_run_in_half_the_precision_whole_or_by_autocast(name: str) -> None:
    """Near what float32 answers: bfloat16 has three digits, and layers add up."""
    torch.manual_seed(8)
    row = backbone(name)
    made = row.build(row.dims[0], 1, 2, {}).eval()
    image = torch.randn(1, 1, *made.minimum)
    with torch.no_grad():
        wanted = made(image).logits
        with torch.autocast("cpu", torch.bfloat16):
            by_autocast = made(image).logits
        whole = made.to(torch.bfloat16)(image.to(torch.bfloat16)).logits
    for said in (by_autocast, whole):
        assert torch.isfinite(said).all()
        assert (said.float() - wanted).abs().mean() < 0.1 * wanted.abs().mean() + 0.05
