"""MSNet and M2SNet: pooled sums, subtraction over levels, the published size and both layouts."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.convolution import m2snet
from ostensor.models.backbones.table import backbone
from ostensor.models.blocks.residual import Res2

SMALL = {"width": 6, "stem": 4, "widths": [8, 10, 12, 14], "depths": [1, 2, 1, 1], "split": [2, 3, 2, 3], "splits": 3}


def built(**options: object) -> m2snet.SubtractionNet:
    torch.manual_seed(3)
    net = backbone("m2snet").build(2, 2, 3, {**SMALL, **options}).eval()
    assert isinstance(net, m2snet.SubtractionNet)
    return net


@pytest.mark.parametrize("size", [3, 5])
def test_pooled_sums_are_the_convolution_of_ones(size: int) -> None:
    """Against torch's convolution with all-ones weights over all channels and zeros outside, at unequal sides."""
    sums = m2snet.Sums(4, size, apart=True).eval()
    torch.nn.init.uniform_(sums.norm.weight, 0.5, 2)
    torch.nn.init.uniform_(sums.norm.bias, -3, 3)
    sums.norm.running_var.fill_(7.0)
    x = torch.randn(2, 2, 4, 7, 11, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        a, b = (F.relu(sums.norm(F.conv2d(one, torch.ones(4, 4, size, size), padding=size // 2))) for one in x)
        assert torch.allclose(sums(*x), (a - b).abs(), atol=1e-4)
        sums.apart = False
        assert torch.allclose(sums(*x), (a - b).abs(), atol=1e-4), "in evaluation it is the same"


def test_one_norm_serves_every_unit_only_in_the_released_form() -> None:
    image = torch.randn(1, 2, 33, 47, generator=torch.Generator().manual_seed(1))
    for released, wanted in ((True, 2 * 10), (False, 1)):
        net, calls = built(released=released), list[int]()
        first = next(module for module in net.sums.modules() if isinstance(module, torch.nn.BatchNorm2d))
        first.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        with torch.no_grad():
            assert net(image).logits.abs().max() < 1e3, "answers before training are moderate"
        assert len(calls) == wanted


def test_what_training_learns_holds_in_evaluation() -> None:
    """Statistics settle at what training sees, so that evaluation answers alike; one norm for all units cannot."""
    image = torch.randn(16, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    apart = []
    for released in (True, False):
        net = built(released=released, depths=[1, 1, 1, 1]).train()
        for norm in (one for one in net.modules() if isinstance(one, torch.nn.BatchNorm2d)):
            norm.momentum = 0.5  # so that they settle soon
        with torch.no_grad():
            for _ in range(25):
                taught = net(image).logits
            apart.append(float((net.eval()(image).logits - taught).abs().mean() / taught.std()))
    assert apart[1] < 0.15 < 0.5 < apart[0]


def test_the_number_of_windows_is_the_difference_between_both_networks() -> None:
    both = [set(built(multiscale=one).state_dict()) for one in (True, False)]
    assert both[1] < both[0]
    assert {key.split(".")[0] for key in both[0] - both[1]} == {"sums"}


def test_equal_levels_subtract_to_what_a_unit_says_of_nothing() -> None:
    """|a - a| is 0, so that a unit answers its value at zero everywhere."""
    net = built()
    x = torch.randn(1, 6, 5, 7)
    assert net.difference("4_2", x, x).abs().max() == 0
    assert net.difference("4_2", x, x + 2).min() >= 2


def test_a_stage_opens_with_splits_that_do_not_add_up() -> None:
    """In the opening block a change of one split moves that split alone; in the next it moves those after it too, except the last."""

    def moved(opens: bool) -> list[bool]:
        torch.manual_seed(0)
        block = Res2(12, 12, 1, split=3, splits=4, opens=opens).eval()
        torch.nn.init.dirac_(block.conv1.weight)
        seen: list[torch.Tensor] = []
        block.conv3.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        x = torch.rand(1, 12, 6, 6)
        changed = x.clone()
        changed[:, 3:6] += 5
        with torch.no_grad():
            block(x)
            block(changed)
        return [not torch.equal(*(one.chunk(4, 1)[n] for one in seen)) for n in range(4)]

    assert moved(opens=True) == [False, True, False, False]
    assert moved(opens=False) == [False, True, True, False]


def test_the_published_size_counts_the_classifier_of_the_trunk() -> None:
    """29.74 million in the authors' class, of which a layer of 1000 classes is never used."""
    with torch.device("meta"):
        net = backbone("m2snet").build(2, 3, 1, {"preset": "msnet"})
    assert sum(value.numel() for value in net.parameters()) / 1e6 + (2048 + 1) * 1000 / 1e6 == pytest.approx(
        29.74, abs=0.006
    )


def named_officially(net: m2snet.SubtractionNet) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixtures spell them, with the classifier they keep."""
    plain = {
        "last.": "x5_dem_5.",
        "before_deepest.": "x5_dem_4.",
        "head.": "output1.0.",
        "sums.all.0.": "conv_3.",
        "sums.all.1.": "conv_5.",
        "trunk.stem.7.": "resnet.bn1.",
        "trunk.stem.": "resnet.conv1.",
        "levels.": "level",
        "out.": "output",
    }
    found = {"resnet.fc.weight": torch.zeros(7, 14)}
    for key, value in net.state_dict().items():
        part, place, *rest = key.split(".")
        after = ".".join(rest)
        if part == "units":
            deep, fine = (int(one) for one in place.split("_"))
            theirs = "_".join(f"x{n}" for n in range(deep, fine - 1, -1)) + f".{after}"
        elif part == "reduce":
            theirs = f"x{place}_dem_1.{after}"
        elif key.startswith("trunk.stages."):
            theirs = f"resnet.layer{int(rest[0]) + 1}.{'.'.join(rest[1:])}"
        else:
            ours = next(one for one in plain if key.startswith(one))
            theirs = plain[ours] + key.removeprefix(ours)
        found[theirs] = value
    return found


@pytest.mark.parametrize("multiscale", [True, False])
def test_published_files_are_read(multiscale: bool) -> None:
    net = built(multiscale=multiscale, released=multiscale)
    theirs = named_officially(net)
    assert {"x5_x4_x3.0.weight", "x2_x1.1.bias", "resnet.layer2.1.convs.0.weight", "output3.1.weight"} <= set(theirs)
    ours = m2snet.convert(theirs)
    options = m2snet.sizes_of(ours)
    assert options == {
        **SMALL,
        "dims": 2,
        "channels": 2,
        "classes": 3,
        "multiscale": multiscale,
        "released": multiscale,
    }
    again = m2snet.build(**options)
    again.load_state_dict(ours, strict=False)
    image = torch.randn(1, 2, 37, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again.eval()(image).logits, net(image).logits)


def test_filters_of_ones_may_stand_in_the_file_and_others_may_not() -> None:
    theirs = named_officially(built(released=True))
    filters = {"conv_3.weight": torch.ones(6, 6, 3, 3), "conv_5.bias": torch.zeros(6)}
    assert m2snet.convert({**theirs, **filters}).keys() == m2snet.convert(theirs).keys()
    with pytest.raises(BadCall, match=r"'conv_3\.weight' holds other values"):
        m2snet.convert({**theirs, "conv_3.weight": torch.full((6, 6, 3, 3), 2.0)})


def test_other_files_and_trunks_of_three_stages_are_refused() -> None:
    with pytest.raises(BadCall, match=r"'x5_dem_6\.0\.bias', which is unknown"):
        m2snet.convert({"x5_dem_6.0.bias": torch.zeros(1)})
    with pytest.raises(BadCall, match="0 stages"):
        m2snet.sizes_of({})
    with pytest.raises(BadCall, match="4 stages, and 3 widths"):
        built(widths=[8, 8, 8])
