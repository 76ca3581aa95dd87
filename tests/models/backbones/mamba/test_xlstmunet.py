"""xLSTM-UNet: where its blocks stand, what its tokens are, and weights by the authors' names."""

import pytest
import torch
from torch import nn

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.mamba.xlstmunet import ScanMap, XLSTMUNet, build, convert, options_of
from ostensor.models.backbones.table import backbone
from ostensor.models.blocks.nnunet import ResidualBlock


def made(dims: int, stages: int, variant: str, **more: object) -> XLSTMUNet:
    torch.manual_seed(0)
    widths = [4 * 2**n for n in range(stages)]
    options: dict[str, object] = {
        "variant": variant,
        "widths": widths,
        "kernels": [3] * stages,
        "strides": [1, *[2] * (stages - 1)],
        "blocks": [2, *[1] * (stages - 1)],
        "decoder_blocks": [1] * (stages - 1),
    }
    return build(dims, 2, 3, **{**options, **more})  # type: ignore[arg-type]  # options of any kind


@pytest.mark.parametrize(
    ("dims", "stages", "kinds"),
    [(3, 5, "rrrss"), (2, 3, "-rs"), (2, 4, "-r-s"), (2, 5, "-rs-s"), (2, 6, "-r-s-s")],
)
def test_enc_scans_the_deeper_stages(dims: int, stages: int, kinds: str) -> None:
    """Expected: the released lists; r a residual block, s a scan, - nothing."""
    words = {ResidualBlock: "r", ScanMap: "s", nn.Identity: "-"}
    assert "".join(words[type(layer)] for layer in made(dims, stages, "enc").encoder["xlstm_layers"]) == kinds


def test_bot_scans_the_bottom_only() -> None:
    net = made(3, 4, "bot")
    assert isinstance(net.xlstm, ScanMap)
    assert not any(isinstance(layer, ScanMap) for layer in net.encoder["xlstm_layers"])
    assert isinstance(made(2, 4, "enc").xlstm, nn.Identity)


def test_places_are_tokens_row_by_row_and_channels_are_where_places_are_few() -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 8, 2, 3)
    by_place, by_channel = ScanMap(8), ScanMap(8, 6)
    tokens = by_place.vil(x.permute(0, 2, 3, 1).reshape(2, 6, 8))
    assert torch.allclose(by_place(x), tokens.reshape(2, 2, 3, 8).permute(0, 3, 1, 2))
    assert torch.allclose(by_channel(x), by_channel.vil(x.reshape(2, 8, 6)).reshape(x.shape))
    with pytest.raises(BadCall, match="8 places met a layer for 6"):
        by_channel(torch.randn(1, 8, 2, 4))


def test_channels_become_tokens_at_the_stages_whose_places_are_no_more_than_channels() -> None:
    """Images of 32 x 16 after three strides have 4 x 2 = 8 places and 32 channels; after one, 16 x 8 = 128 and 8."""
    net = made(2, 4, "enc", sides=[32, 16])
    assert [layer.places for layer in net.encoder["xlstm_layers"] if isinstance(layer, ScanMap)] == [8]
    assert net(torch.randn(1, 2, 32, 16)).logits.shape == (1, 3, 32, 16)
    with pytest.raises(BadCall, match="Give images of the `sides`"):
        net(torch.randn(1, 2, 32, 24))


def test_released_2d_decoder_forgets_its_finest_skip() -> None:
    ours, theirs = made(2, 3, "bot"), made(2, 3, "bot", released=True)
    assert ours.decoder["stages"][-1][0].conv1.in_channels == 8
    assert theirs.decoder["stages"][-1][0].conv1.in_channels == 4
    assert made(3, 3, "bot", released=True).skips == [True, True]
    assert theirs(torch.randn(1, 2, 9, 10)).logits.shape == (1, 3, 9, 10)


@pytest.mark.parametrize(("dims", "variant", "released"), [(2, "enc", True), (3, "enc", False), (2, "bot", False)])
def test_options_are_read_from_weights_and_the_strides_that_are_given(dims: int, variant: str, released: bool) -> None:
    state = made(dims, 4, variant, released=released).state_dict()
    named = {f"module.{key}": value for key, value in state.items()}
    named |= {"decoder.encoder.stem.0.conv1.weight": torch.zeros(1), "xlstm.norm.weight": torch.zeros(1)}
    own = convert(named)
    assert set(own) == set(state)
    found = options_of(named)
    build(**found).load_state_dict(own)
    assert (found["variant"], found["released"], found["blocks"]) == (variant, released, [2, 1, 1, 1])


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"hold 'mamba\.A_log', which is unknown here"):
        convert({"mamba.A_log": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"This is no xLSTM-UNet: 'encoder\.stem\.0\.conv1\.weight' is missing"):
        options_of({})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"variant": "top"}, "variant: 'bot' or 'enc', not 'top'"),
        ({"blocks": [1, 1]}, "blocks: one number from 1 up for each stage"),
        ({"sides": [30, 32]}, "sides: multiples of 8 x 8"),
        ({"variant": "enc", "widths": [8, 16], "kernels": [3, 3], "strides": [1, 2], "blocks": [1, 1],
          "decoder_blocks": [1]}, "too few stages for a ViL block"),
    ],
)  # fmt: skip
def test_options_that_make_no_network_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        backbone("xlstmunet").build(2, 1, 2, wrong)
