"""MSVM-UNet: its scans, its pixel expansion, and weights by the authors' names."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.mamba.msvmunet import Expand, build, convert, options_of
from ostensor.models.backbones.mamba.vmamba import SS2D, BlockSizes, FeedForward
from ostensor.models.blocks.scans.selective import scan_by_steps

SMALL = {"width": 8, "depths": [1, 2, 1], "decoder_depths": [2, 1]}


def test_scan_is_rows_columns_and_both_from_their_ends_summed() -> None:
    """Expected: the layer written out, each pass by the slow recurrence with its own projections."""
    torch.manual_seed(0)
    layer = SS2D(24, BlockSizes(state=3), "cross2d")
    x = torch.randn(2, 24, 3, 5)
    with torch.no_grad():
        seen = F.silu(layer.conv2d(layer.in_proj(x)))
        total = torch.zeros_like(seen)
        for n, (across, back) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
            tokens = (seen.transpose(2, 3) if across else seen).flatten(2)
            tokens = tokens.flip(-1) if back else tokens
            low, b, c = (layer.x_proj_weight[n] @ tokens).split([2, 3, 3], dim=1)
            steps = F.softplus(layer.dt_projs_weight[n] @ low + layer.dt_projs_bias[n][:, None])
            part = slice(24 * n, 24 * n + 24)
            said = scan_by_steps(tokens, steps, -layer.A_logs[part].exp(), b[:, None], c[:, None], layer.Ds[part])
            said = said.flip(-1) if back else said
            total += said.unflatten(2, (5, 3)).transpose(2, 3) if across else said.unflatten(2, (3, 5))
        expected = layer.out_proj(layer.out_norm(total))
        assert torch.allclose(layer(x), expected, atol=1e-5)


def test_expansion_reads_channels_as_rows_columns_channels() -> None:
    """Expected: by hand, with the layers before the shuffle and the norm after it taken out."""
    up = Expand(2, 3, 2)
    up.expand, up.norm = torch.nn.Identity(), torch.nn.Identity()
    x = torch.arange(12.0).reshape(1, 12, 1, 1)
    assert up(x)[0, :, 0, 0].tolist() == [0, 1, 2]
    assert up(x)[0, :, 0, 1].tolist() == [3, 4, 5]
    assert up(x)[0, :, 1, 0].tolist() == [6, 7, 8]


def test_three_scales_are_added_after_gelu_to_what_they_see() -> None:
    layer = FeedForward(4, 8, scales=True)
    x = torch.randn(1, 4, 6, 7)
    inner = F.gelu(layer.fc1(x))
    convs = layer.multiscale_conv.dw_convs
    expected = layer.fc2(inner + convs[0](inner) + convs[1](inner) + convs[2](inner))
    assert [conv.kernel_size for conv in convs] == [(1, 1), (3, 3), (5, 5)]
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_options_are_read_from_the_shapes_of_weights() -> None:
    block = {"state": 4, "ratio": 2.0, "kernel": 5, "conv_bias": True, "mlp_ratio": 3.0}
    given = {**SMALL, "block": block, "decoder_block": {**block, "state": 2, "conv_bias": False}}
    state = {f"module.{key}": value for key, value in build(2, 3, 5, **given).state_dict().items()}
    assert set(convert(state)) == {key.removeprefix("module.") for key in state}
    assert options_of(state) == {"dims": 2, "channels": 3, "classes": 5, **given}


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"hold 'patch_embed', which is unknown here"):
        convert({"patch_embed": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"This is no MSVM-UNet: 'encoder.layer0.0.weight' is missing"):
        options_of({})
