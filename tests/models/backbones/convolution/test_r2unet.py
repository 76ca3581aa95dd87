"""R2U-Net: how often a convolution runs, gated skips, and the published layout."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.convolution import r2unet
from ostensor.models.backbones.table import backbone


def built(dims: int, **options: object) -> r2unet.R2UNet:
    torch.manual_seed(3)
    net = backbone("r2unet").build(dims, 2, 3, {"widths": [3, 5, 7], **options}).eval()
    assert isinstance(net, r2unet.R2UNet)
    return net


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_unit_runs_once_and_then_so_often_again(repeats: int) -> None:
    """With weight 1 in the middle, no norm and positive x, every run gives x plus what came before: x, 2x, 3x ..."""
    unit = r2unet.Recurrent(2, 1, repeats).eval()
    torch.nn.init.dirac_(unit.conv.weight)
    torch.nn.init.zeros_(unit.conv.bias)
    x = torch.rand(1, 1, 4, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(unit(x), (repeats + 1) * x, rtol=1e-4)


def test_statistics_are_of_every_run() -> None:
    unit = r2unet.Recurrent(3, 2, 2).train()
    unit(torch.randn(2, 2, 3, 4, 5))
    assert int(unit.norm.num_batches_tracked) == 3


def test_a_closed_gate_hides_the_skip() -> None:
    """With a share of 0 at every place the network no longer sees what only the finest skip carries."""
    net = built(2, gated=True)
    image = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    seen: list[torch.Tensor] = []
    net.up[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        net(image)
        net.gates[0].share[1].bias.fill_(-200.0)
        net(image)
    assert (seen[0][:, :3] != 0).any(), "the skip comes first"
    assert (seen[1][:, :3] == 0).all()
    assert torch.equal(seen[0][:, 3:], seen[1][:, 3:])


def named_officially(net: r2unet.R2UNet) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixture spell them."""
    gate, layer = {"gating": "W_g", "skip": "W_x", "share": "psi"}, {"conv": "0", "norm": "1"}
    found = {}
    for key, value in net.state_dict().items():
        part, *rest = key.split(".")
        if part == "head":
            theirs = f"Conv_1x1.{rest[0]}"
        elif part == "grow":
            theirs = f"Up{int(rest[0]) + 2}.up.{int(rest[1]) + 1}.{rest[2]}"
        elif part == "gates":
            theirs = f"Att{int(rest[0]) + 2}.{gate[rest[1]]}.{rest[2]}.{rest[3]}"
            value = value.reshape(*value.shape, *[1] * (net.dims - 1)) if value.dim() == 3 else value
        else:
            unit = f"RRCNN{int(rest[0]) + 1}" if part == "down" else f"Up_RRCNN{int(rest[0]) + 2}"
            theirs = (
                f"{unit}.Conv_1x1.{rest[2]}"
                if rest[1] == "enter"
                else f"{unit}.RCNN.{rest[2]}.conv.{layer[rest[3]]}.{rest[4]}"
            )
        found[theirs] = value
    return found


@pytest.mark.parametrize(("dims", "gates"), [(2, [32, 3]), (3, [2, 9]), (2, None)])
def test_published_files_are_read(dims: int, gates: list[int] | None) -> None:
    net = built(dims, gated=gates is not None, gates=gates)
    ours = r2unet.convert({f"module.{key}": value for key, value in named_officially(net).items()})
    again = r2unet.build(**r2unet.sizes_of(ours), repeats=2)
    again.load_state_dict(ours, strict=False)
    image = torch.randn(1, 2, *[8, 4, 8][:dims], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again.eval()(image).logits, net(image).logits)


def test_other_files_and_options_that_make_no_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"'RRCNN1\.extra', which is unknown"):
        r2unet.convert({"RRCNN1.extra": torch.zeros(1)})
    with pytest.raises(BadCall, match="0 whole levels"):
        r2unet.sizes_of({})
    with pytest.raises(BadCall, match="`gated` is false"):
        built(2, gates=[2, 2])
    with pytest.raises(BadCall, match="2 skips, and 1 widths of gates"):
        built(2, gated=True, gates=[2])
