"""What every backbone promises, shown on each row of the table at its tiny sizes."""

import json

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.network import SegmentationNetwork, SegOutput, pad_to
from ostensor.models.backbones.row import Backbone, Size
from ostensor.models.backbones.table import BACKBONES

TINY = [pytest.param(row, dims, id=f"{row.name}-{dims}d") for row in BACKBONES for dims in row.dims]
SIZES = [pytest.param(row, size, id=f"{row.name}-{size.preset}") for row in BACKBONES for size in row.sizes]
MOST = 1_000_000  # parameters of a tiny preset
MORE = {"swinunetr": 4_000_000}  # MONAI's class takes no width below 12


def tiny(row: Backbone, dims: int, channels: int = 2, classes: int = 3) -> SegmentationNetwork:
    torch.manual_seed(0)
    return row.build(dims, channels, classes, {})


def noise(net: SegmentationNetwork, more: tuple[int, ...] = (0, 0, 0), batch: int = 1) -> torch.Tensor:
    """An image just above the least size."""
    sides = [least + extra for least, extra in zip(net.minimum, more, strict=False)]
    return torch.randn(batch, net.channels, *sides, generator=torch.Generator().manual_seed(1))


def assert_answers(net: SegmentationNetwork, image: torch.Tensor) -> SegOutput:
    said: SegOutput = net(image)
    assert said.logits.shape == (image.shape[0], net.classes, *image.shape[2:])
    assert torch.isfinite(said.logits).all()
    for one in said.aux:
        assert one.logits.shape[:2] == said.logits.shape[:2]
        assert one.logits.dim() == image.dim()
        assert all(0 < a <= b for a, b in zip(one.logits.shape[2:], image.shape[2:], strict=True))
        assert one.weight > 0
    assert {"encoder.0", "decoder.0"} <= set(said.features)
    for kind in ("encoder", "decoder"):
        sides = [x.shape[2] for name, x in sorted(said.features.items()) if name.startswith(f"{kind}.")]
        assert sides == sorted(sides, reverse=True), "the finest comes first"
    return said


@pytest.mark.parametrize(("row", "dims"), TINY)
def test_odd_sides_and_the_least_are_answered(row: Backbone, dims: int) -> None:
    net = tiny(row, dims).eval()
    with torch.no_grad():
        assert_answers(net, noise(net))
        assert_answers(net, noise(net, (1, 3, 0), batch=2))
        one, two = noise(net, (3, 1, 5)), noise(net, (3, 1, 5), batch=1).flip(1)
        both = net(torch.cat([one, two])).logits
        assert torch.allclose(both[:1], net(one).logits, atol=1e-4), "images of a batch know nothing of each other"


@pytest.mark.parametrize(("row", "dims"), TINY)
def test_every_weight_learns(row: Backbone, dims: int) -> None:
    """Training starts: a batch of odd sides, and every weight gets a finite gradient that is not all zero somewhere."""
    net = tiny(row, dims).train()
    said = assert_answers(net, noise(net, (1, 2, 3), batch=2))
    target = torch.randn(said.logits.shape, generator=torch.Generator().manual_seed(2))
    loss = (said.logits - target).square().mean()
    for one in said.aux:
        loss = loss + (one.logits - 0.5).square().mean()
    for value in said.extra.values():
        loss = loss + value.square().mean()
    loss.backward()
    learning = {name: value.grad for name, value in net.named_parameters() if value.requires_grad}
    assert [name for name, grad in learning.items() if grad is None] == []
    assert [name for name, grad in learning.items() if grad is not None and not torch.isfinite(grad).all()] == []


@pytest.mark.parametrize("row", BACKBONES, ids=lambda row: row.name)
def test_a_row_says_what_it_is(row: Backbone) -> None:
    assert {"tiny", "paper"} <= set(row.presets)
    for name, options in row.presets.items():
        assert set(options) <= set(row.presets["paper"])
        read = json.loads(json.dumps(row.options({"preset": name})))
        with torch.device("meta"):
            kept = row.build(row.dims[0], 1, 2, read).state_dict()
            made = row.build(row.dims[0], 1, 2, {"preset": name}).state_dict()
        assert {key: value.shape for key, value in kept.items()} == {key: value.shape for key, value in made.items()}
    assert row.fidelity == "library" or row.deviations
    assert all(text.endswith(".") for text in row.deviations)
    assert row.source
    for dims in row.dims:
        net = tiny(row, dims, 1, 2)
        assert sum(value.numel() for value in net.parameters() if value.requires_grad) <= MORE.get(row.name, MOST)
        with pytest.raises(BadCall, match="takes none below"):
            net(torch.zeros(1, 1, *(least - 1 for least in net.minimum)))
        with pytest.raises(BadCall, match="takes 1 channels"):
            net(torch.zeros(1, 2, *net.minimum))
        with pytest.raises(BadCall, match=f"takes {dims}-D images"):
            net(torch.zeros(1, 1, *net.minimum, 8) if dims == 2 else torch.zeros(1, 1, *net.minimum[:2]))


@pytest.mark.parametrize(("row", "size"), SIZES)
def test_the_published_number_of_parameters(row: Backbone, size: Size) -> None:
    with torch.device("meta"):
        net = row.build(size.dims, size.channels, size.classes, {"preset": size.preset})
    millions = sum(value.numel() for value in net.parameters()) / 1e6
    assert millions == pytest.approx(size.millions, rel=0.005)


def test_an_image_is_mirrored_at_its_ends_and_filled_with_zeros_where_it_is_too_short() -> None:
    image = torch.arange(1.0, 9.0).reshape(1, 1, 4, 2)
    grown = pad_to(image, (6, 5))
    assert grown[0, 0, :, 0].tolist() == [1, 3, 5, 7, 5, 3]
    assert grown[0, 0, 0].tolist() == [1, 2, 0, 0, 0]
