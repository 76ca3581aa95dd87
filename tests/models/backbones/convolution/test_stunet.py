"""STU-Net: weights that fit every plan, and the layout of the published files."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.convolution import stunet
from ostensor.models.backbones.table import backbone

SIZES = {"widths": [4, 6, 8], "depths": [1, 2, 1], "kernels": [[1, 3, 3], 3, 3]}


def built(strides: list[list[int]]) -> stunet.StuNet:
    torch.manual_seed(3)
    net = backbone("stunet").build(3, 2, 5, {**SIZES, "strides": strides}).eval()
    assert isinstance(net, stunet.StuNet)
    return net


def named_officially(net: stunet.StuNet) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixture spell them."""
    names = {"down.": "conv_blocks_context.", "up.": "conv_blocks_localization.", "heads.": "seg_outputs."}
    found = {}
    for key, value in net.state_dict().items():
        if key.startswith("grow."):
            key = (
                key.replace("grow.", "upsample_layers.")
                .replace(".weight", ".conv.weight")
                .replace(".bias", ".conv.bias")
            )
        for ours, theirs in names.items():
            if key.startswith(ours):
                key = theirs + key.removeprefix(ours)
        found[key] = value
    return found


def test_weights_fit_another_plan_of_strides() -> None:
    """The same weights answer on two plans, at the sides each plan gives; the plans themselves give different answers."""
    one, other = built([[1, 2, 2], [2, 2, 2]]), built([[2, 2, 2], [1, 1, 2]])
    other.load_state_dict(one.state_dict())
    image = torch.randn(1, 2, 6, 10, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, second = one(image), other(image)
    assert first.logits.shape == second.logits.shape == (1, 5, 6, 10, 12)
    assert first.features["encoder.1"].shape[2:] == (6, 6, 6)
    assert second.features["encoder.1"].shape[2:] == (3, 5, 6)
    assert not torch.allclose(first.logits, second.logits, atol=1e-2)


def test_a_block_adds_a_bare_shortcut_after_its_second_norm_and_before_the_last_activation() -> None:
    """The block written out with torch's functions, at a stride of its own for each axis."""
    torch.manual_seed(1)
    block = stunet.Residual(3, 2, 4, 3, (1, 2, 2), first=True)
    x = torch.randn(1, 2, 3, 6, 8)

    def normed(y: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
        mean, var = y.mean((2, 3, 4), keepdim=True), y.var((2, 3, 4), unbiased=False, keepdim=True)
        return (y - mean) / torch.sqrt(var + 1e-5) * norm.weight[:, None, None, None] + norm.bias[:, None, None, None]

    def leaked(y: torch.Tensor) -> torch.Tensor:
        return torch.where(y > 0, y, 0.01 * y)

    with torch.no_grad():
        for norm in (block.norm1, block.norm2):
            torch.nn.init.uniform_(norm.weight, 0.5, 2)
            torch.nn.init.uniform_(norm.bias)
        y = torch.nn.functional.conv3d(x, block.conv1.weight, block.conv1.bias, (1, 2, 2), 1)
        y = leaked(normed(y, block.norm1))
        y = normed(torch.nn.functional.conv3d(y, block.conv2.weight, block.conv2.bias, 1, 1), block.norm2)
        shortcut = torch.einsum("oi,bixyz->boxyz", block.conv3.weight[..., 0, 0, 0], x[:, :, :, ::2, ::2])
        wanted = leaked(y + shortcut + block.conv3.bias[:, None, None, None])
        assert torch.allclose(block(x), wanted, atol=1e-5)


@pytest.mark.parametrize("wrapper", ["state_dict", "network_weights", None])
def test_published_files_are_read_whichever_nnunet_wrote_them(wrapper: str | None) -> None:
    net = built([[1, 2, 2], [2, 2, 2]])
    theirs = {f"module.{key}": value for key, value in named_officially(net).items()}
    ours = stunet.convert({wrapper: theirs, "epoch": 4} if wrapper else theirs)
    assert ours.keys() == net.state_dict().keys()
    assert stunet.sizes_of(ours) == {
        "dims": 3,
        "channels": 2,
        "classes": 5,
        "widths": [4, 6, 8],
        "depths": [1, 2, 1],
        "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    }


def test_other_keys_and_lacking_ones_are_refused() -> None:
    theirs = named_officially(built([[1, 2, 2], [2, 2, 2]]))
    with pytest.raises(BadCall, match=r"'tu\.weight', which is unknown"):
        stunet.convert({**theirs, "tu.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match="have 0 stages"):
        stunet.sizes_of({})
    del theirs["seg_outputs.0.weight"]
    with pytest.raises(BadCall, match=r"lack 'heads\.0\.weight'"):
        stunet.sizes_of(stunet.convert(theirs))


def test_plans_that_make_no_network_are_refused() -> None:
    with pytest.raises(BadCall, match="strides of one less"):
        backbone("stunet").build(3, 1, 2, {**SIZES, "strides": [2]})
    with pytest.raises(BadCall, match="for each of 3 axes"):
        backbone("stunet").build(3, 1, 2, {**SIZES, "strides": [[2, 2], [2, 2]]})
