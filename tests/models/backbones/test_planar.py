"""2-D backbones on volumes: slices, neighbours, views and context, at unequal sides and along every axis."""

from typing import Any

import pytest
import torch
from torch import nn

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.context import NearSlices, SliceContext, deepest_module
from ostensor.models.backbones.network import SegmentationNetwork, SegOutput
from ostensor.models.backbones.slices import SliceStack, as_slices, as_volumes, build_planar, stack_neighbours
from ostensor.models.backbones.table import BACKBONES, backbone
from ostensor.models.backbones.views import MultiView

FLAT = [row.name for row in BACKBONES if 2 in row.dims]
SMALL = {"backbone": "unet", "options": {"features": [4, 6], "finest": 4}}


def volume(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def built(name: str, classes: int = 3, **options: Any) -> Any:
    torch.manual_seed(2)
    return backbone(name).build(3, 2, classes, {**SMALL, **options}).eval()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_cut_across_the_axis_and_put_back(axis: int) -> None:
    x = volume(2, 3, 5, 7, 11)
    cut = as_slices(x, axis)
    sides = [5, 7, 11]
    count = sides.pop(axis)
    assert cut.shape == (2 * count, 3, *sides)
    assert torch.equal(cut[count + 1], x[1].select(axis + 1, 1))
    assert torch.equal(as_volumes(cut, 2, axis), x)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_are_channels_and_the_last_slice_stands_for_those_beyond(axis: int) -> None:
    x = volume(2, 3, 5, 7, 11)
    stacked = stack_neighbours(x, axis, 5)
    count = x.shape[axis + 2]
    for b in range(2):
        for n in range(count):
            wanted = [x[b].select(axis + 1, min(max(n + k, 0), count - 1)) for k in range(-2, 3)]
            assert torch.equal(stacked[b * count + n], torch.cat(wanted))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_is_its_network_on_each_slice(axis: int) -> None:
    net = built("slice-stack", slices=3, axis=axis)
    assert isinstance(net, SliceStack)
    x = volume(1, 2, 4, 6, 8)
    with torch.no_grad():
        said = net(x)
        for n in range(x.shape[axis + 2]):
            flat = net.flat(stack_neighbours(x, axis, 3)[n : n + 1])
            assert torch.allclose(said.logits.select(axis + 2, n), flat.logits, atol=1e-5)
            assert (
                torch.allclose(said.aux[0].logits.select(axis + 2, n), flat.aux[0].logits, atol=1e-5)
                if said.aux
                else True
            )
    assert net.divisor[axis] == net.minimum[axis] == 1


def views(fuse: str) -> tuple[MultiView, SegOutput, list[torch.Tensor]]:
    net = built("multi-view", axes=[2, 0, 1], fuse=fuse)
    with torch.no_grad():
        said = net(volume(1, 2, 5, 7, 11))
    alone = {one.tag: one.logits for one in said.aux}
    return net, said, [alone[f"view.{axis}"] for axis in (2, 0, 1)]


def test_the_mean_of_views_is_of_probabilities() -> None:
    _, said, each = views("mean")
    assert torch.allclose(torch.sigmoid(said.logits), torch.stack(each).sigmoid().mean(0), atol=1e-6)


def test_a_vote_is_what_most_views_say() -> None:
    _, said, each = views("vote")
    assert torch.equal(said.logits > 0, torch.stack([one > 0 for one in each]).sum(0) >= 2)


def test_a_learned_sum_adds_the_views_logits() -> None:
    net, said, each = views("conv")
    weight, bias = net.sum.weight[..., 0, 0, 0], net.sum.bias
    wanted = torch.einsum("kc,bcxyz->bkxyz", weight, torch.cat(each, 1)) + bias[:, None, None, None]
    assert torch.allclose(said.logits, wanted, atol=1e-5)


def test_each_view_sees_its_slices_whole() -> None:
    """A view's answer for a slice changes with that slice only."""
    net = built("multi-view", axes=[0], fuse="mean")
    x = volume(1, 2, 5, 8, 6)
    changed = x.clone()
    changed[:, :, 3] += 1
    with torch.no_grad():
        moved = (net(x).logits - net(changed).logits).abs().amax(dim=(0, 1, 3, 4))
    assert (moved > 1e-6).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(("mixer", "reach"), [("attention", 2), ("gru", 9)])
@pytest.mark.parametrize("axis", [0, 2])
def test_context_reaches_as_many_slices_as_it_says(mixer: str, reach: int, axis: int) -> None:
    net = built("slice-context", mixer=mixer, span=2, heads=2, axis=axis)
    x = volume(1, 2, *([9, 8, 6] if axis == 0 else [8, 6, 9]))
    changed = x.clone()
    changed.select(axis + 2, 4).add_(1)
    with torch.no_grad():
        moved = (net(x).logits - net(changed).logits).abs()
    each = moved.movedim(axis + 2, 0).flatten(1).amax(1) > 1e-7
    assert each.tolist() == [abs(n - 4) <= reach for n in range(9)]


def test_volumes_of_a_batch_have_contexts_of_their_own() -> None:
    net = built("slice-context", heads=2)
    x = volume(2, 2, 4, 6, 5)
    with torch.no_grad():
        assert torch.allclose(net(x).logits[1:], net(x[1:]).logits, atol=1e-6)


def test_attention_to_near_slices_is_attention_with_a_band() -> None:
    """Against softmax written out place by place, with a likeness for each distance."""
    torch.manual_seed(0)
    net = NearSlices(4, 2, 1)
    torch.nn.init.normal_(net.near)
    x = volume(3, 5, 4)
    with torch.no_grad():
        found = net(x)
        q, k, v = net.qkv(x).chunk(3, dim=2)
        for i in range(5):
            near = [j for j in range(5) if abs(j - i) <= 1]
            heads = []
            for h in range(2):
                part = slice(2 * h, 2 * h + 2)
                likeness = torch.stack(
                    [(q[:, i, part] * k[:, j, part]).sum(1) / 2**0.5 + net.near[h, j - i + 1] for j in near]
                )
                share = torch.softmax(likeness, 0)
                heads.append(sum(share[n][:, None] * v[:, j, part] for n, j in enumerate(near)))
            assert torch.allclose(found[:, i], net.out(torch.cat(heads, 1)), atol=1e-5)


@pytest.mark.parametrize("name", FLAT)
def test_every_2d_backbone_gets_context(name: str) -> None:
    """Its deepest map is found, and what the context says of it reaches the answer."""
    torch.manual_seed(2)
    net = backbone("slice-context").build(3, 1, 2, {"backbone": name, "options": {"preset": "tiny"}, "heads": 1})
    assert isinstance(net, SliceContext)
    x = volume(1, 1, *net.minimum[:2], 3)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):  # fresh norms would shrink what comes from the deepest map below float32
            norm.momentum = None
    with torch.no_grad():
        net.train()(x)
        net.eval()
        before = net(x).logits
        mixed = next(module for module in net.modules() if type(module).__name__ == "Mixed")
        mixed.mixer.out.bias += 5
        assert not torch.equal(net(x).logits, before)


class Nameless(SegmentationNetwork):
    """A network whose deepest map no module answers."""

    def __init__(self) -> None:
        super().__init__(2, 1, 2, [1, 1], [4, 4])
        self.head = torch.nn.Conv2d(1, 2, 1)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """The head's answer, doubled."""
        return SegOutput(self.head(image), features={"encoder.0": self.head(image) * 2, "decoder.0": image})


def test_what_makes_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="answers its deepest map once"):
        deepest_module(Nameless())
    for name, options, why in (
        ("slice-stack", {"slices": 4}, "slices is odd"),
        ("slice-stack", {"axis": 3}, "axis is 0, 1 or 2, not 3"),
        ("slice-stack", {"backbone": "slice-stack"}, "takes 3 dimensions, not 2"),
        ("slice-stack", {"backbone": "unte"}, "Unknown backbone 'unte'"),
        ("multi-view", {"axes": [1, 1]}, "axes differ"),
        ("multi-view", {"axes": [0, 1], "fuse": "vote"}, "odd number"),
        ("multi-view", {"fuse": "product"}, "fuse is one of mean, vote, conv"),
        ("slice-context", {"mixer": "mlstm"}, "mixer is one of attention, gru"),
        ("slice-context", {"heads": 4}, "4 heads share 6 channels"),
        ("slice-context", {"span": 0, "heads": 2}, "span is 1 or more"),
    ):
        with pytest.raises(BadCall, match=why):
            built(name, **options)  # type: ignore[arg-type]  # options by name


@pytest.mark.parametrize("name", ["slice-stack", "multi-view", "slice-context"])
def test_a_wrapped_network_is_taught_by_its_own_losses_of_its_slices(name: str) -> None:
    """GMS compares latents with those of masks; a change of its answer's target changes the term, and padding does no harm."""
    torch.manual_seed(2)
    options = {"backbone": "gms", "options": {"codec": [4, 8]}} | ({"heads": 1} if name == "slice-context" else {})
    net = backbone(name).build(3, 1, 2, options).train()
    said = net(volume(1, 1, 9, 9, 9))
    masks = torch.zeros(1, 2, 9, 9, 9)
    terms = net.own_losses(said, masks)
    assert list(terms) == (["latent_2", "latent_1", "latent_0"] if name == "multi-view" else ["latent"])
    full = net.own_losses(said, masks + 1)
    assert all(not torch.allclose(full[key], value) for key, value in terms.items())


def test_options_reach_the_network_that_is_wrapped() -> None:
    assert build_planar("unet", SMALL["options"], 2, 3).divisor == (2, 2)  # type: ignore[arg-type]  # a dict
