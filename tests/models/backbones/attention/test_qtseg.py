"""QTSeg: its gates, its queries, and weights by the authors' names."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention.qtseg.network import SpatialGate, _one_by_one, build, convert, options_of
from ostensor.models.backbones.attention.qtseg.pyramid import SPPF
from ostensor.models.backbones.table import backbone
from ostensor.models.blocks.sam.decoder import Layers


def test_a_place_is_gated_by_the_mean_and_the_greatest_of_its_channels_and_kept() -> None:
    gate = SpatialGate()
    torch.nn.init.zeros_(gate.cv1.weight)
    gate.cv1.weight.data[0, :, 3, 3] = torch.tensor([2.0, 1.0])
    x = torch.tensor([1.0, 5.0]).view(1, 2, 1, 1)
    assert torch.allclose(gate(x), x * (1 + torch.sigmoid(torch.tensor(2 * 3.0 + 5.0))))


def test_every_query_has_layers_of_its_own_that_run_at_once() -> None:
    torch.manual_seed(0)
    heads = torch.nn.ModuleList(Layers(6, 6, 6, 4) for _ in range(3))
    tokens = torch.randn(2, 3, 6)
    expected = torch.stack([head(tokens[:, n]) for n, head in enumerate(heads)], dim=1)
    assert torch.allclose(_one_by_one(heads, tokens), expected, atol=1e-6)


def test_three_windows_of_five_are_windows_of_5_9_and_13() -> None:
    layer = SPPF(8).eval()
    layer.cv2 = torch.nn.Identity()  # type: ignore[assignment]  # to see what is joined
    x = torch.randn(1, 8, 20, 17)
    seen = layer.cv1(x)
    expected = [seen, *(torch.nn.functional.max_pool2d(seen, side, 1, side // 2) for side in (5, 9, 13))]
    assert torch.equal(layer(x), torch.cat(expected, dim=1))


def test_classes_know_nothing_of_each_other_s_heads() -> None:
    torch.manual_seed(1)
    net = backbone("qtseg").build(2, 1, 3, {}).eval()
    image = torch.randn(1, 1, 64, 70)
    with torch.no_grad():
        before = net(image).logits
        net.mask_decoder["MLP_s0"][1].layers[2].bias.add_(1)
        after = net(image).logits
    assert [torch.equal(before[:, n], after[:, n]) for n in range(3)] == [True, False, True]


def test_options_are_read_from_weights_and_the_heads_that_are_given() -> None:
    given = {"width": 4, "heads": 4, "hidden": 24, "depths": [1, 3, 2]}
    state = {f"module.{key}": value for key, value in build(2, 2, 5, **given).state_dict().items()}  # type: ignore[arg-type]  # options
    assert options_of(state, heads=4) == {"dims": 2, "channels": 2, "classes": 5, **given}


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"hold 'neck_0', which is unknown here"):
        convert({"neck_0": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"This is no QTSeg: 'image_encoder\.conv_0\.conv\.weight' is missing"):
        options_of({})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"depths": [1, 1]}, "depths: 3 numbers"), ({"heads": 3}, "whose double is a multiple of heads")],
)
def test_options_that_make_no_network_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        backbone("qtseg").build(2, 1, 2, wrong)
