"""SwinUNETR: MONAI's own forward is the expectation; adapting to a scan moves norms only and ends as it began."""

import pytest
import torch
from monai.networks.nets import SwinUNETR

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import swinunetr
from ostensor.models.backbones.attention.rows import ROWS
from ostensor.models.backbones.attention.swinunetr import WrappedSwinUNETR, convert, options_of

ROW = next(row for row in ROWS if row.name == "swinunetr")


def tiny(dims: int = 2) -> WrappedSwinUNETR:
    torch.manual_seed(0)
    net = ROW.build(dims, 1, 3, {}).eval()
    assert isinstance(net, WrappedSwinUNETR)
    return net


def test_the_answer_is_that_of_the_library() -> None:
    net, image = tiny(), torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        assert torch.equal(net(image).logits, net.net(image))


@pytest.mark.parametrize("dims", [2, 3])
def test_weights_of_the_library_come_with_their_sizes(dims: int) -> None:
    theirs = SwinUNETR(
        2, 5, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=3, feature_size=12, spatial_dims=dims
    )  # fmt: skip
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    sizes = options_of(state)
    assert {"dims", "channels", "classes", *ROW.presets["paper"]} == set(sizes)
    assert (sizes["depths"], sizes["heads"], sizes["window"], sizes["norm"]) == (
        [1, 2, 1, 1],
        [1, 2, 2, 4],
        3,
        "instance",
    )
    ours = swinunetr.build(**sizes)
    ours.load_state_dict(convert(state))
    assert options_of(tiny(dims).net.state_dict())["norm"] == "group"


def test_other_weights_and_sizes_are_refused() -> None:
    state = tiny().net.state_dict()
    with pytest.raises(BadCall, match=r"vit\.weight"):
        convert({**state, "vit.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"'out\.conv\.conv\.weight' is missing"):
        options_of({key: value for key, value in state.items() if not key.startswith("out")})
    with pytest.raises(BadCall, match="norm is instance or group, not 'batch'"):
        ROW.build(2, 1, 2, {"norm": "batch"})
    with pytest.raises(BadCall, match="divisible by 12"):
        ROW.build(2, 1, 2, {"width": 16})
