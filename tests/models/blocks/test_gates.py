"""Gates against what their equations give when written out place by place, in images and in volumes."""

import pytest
import torch
from torch import nn

from ostensor.models.blocks.gates import (
    AttentionGate,
    ChannelAttention,
    EfficientChannelAttention,
    PositionAttention,
    SqueezeExcitation,
)

SHAPES = [(2, 6, 3, 5), (2, 6, 3, 5, 2)]


def drawn(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def shaken(net: nn.Module) -> nn.Module:
    torch.manual_seed(5)
    for value in [*net.parameters(), *(one for one in net.buffers() if one.is_floating_point())]:
        nn.init.uniform_(value, 0.2, 0.9)
    return net.requires_grad_(False).eval()


@pytest.mark.parametrize("shape", SHAPES)
def test_squeeze_and_excitation_shares_come_from_the_means(shape: tuple[int, ...]) -> None:
    net, x = shaken(SqueezeExcitation(6, 2, bias=True)), drawn(shape)
    first, last = net.fc[0], net.fc[2]
    for image, found in zip(x, net(x), strict=True):
        means = torch.stack([channel.mean() for channel in image])
        shares = 1 / (1 + torch.exp(-(last.weight @ (first.weight @ means + first.bias).clamp(min=0) + last.bias)))
        for n in range(6):
            assert torch.allclose(found[n], image[n] * shares[n], atol=1e-6)


def test_efficient_channel_attention_sees_the_channels_beside_only() -> None:
    """A change of one channel's mean moves the shares of itself and of one neighbour on each side with size 3."""
    net, x = shaken(EfficientChannelAttention(3)), drawn(SHAPES[0])
    changed = x.clone()
    changed[:, 3] += 1
    before, after = net(x) / x, net(changed) / changed
    moved = [n for n in range(6) if not torch.allclose(before[:, n], after[:, n], atol=1e-5)]
    assert moved == [2, 3, 4]


@pytest.mark.parametrize("shape", SHAPES)
def test_position_attention_adds_the_values_of_like_places(shape: tuple[int, ...]) -> None:
    net, x = shaken(PositionAttention(6, 2)), drawn(shape)
    found = net(x).flatten(2)
    places = x.flatten(2)
    q, k, v = (layer.weight[..., 0] @ places + layer.bias[:, None] for layer in (net.query, net.key, net.value))
    for b in range(2):
        for i in range(places.shape[2]):
            likeness = torch.tensor([float(q[b, :, i] @ k[b, :, j]) for j in range(places.shape[2])])
            wanted = net.gamma * (v[b] @ torch.softmax(likeness, 0)) + places[b, :, i]
            assert torch.allclose(found[b, :, i], wanted, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_attention_weighs_unlike_channels_most(shape: tuple[int, ...]) -> None:
    net, x = shaken(ChannelAttention()), drawn(shape) * 0.3
    found, places = net(x).flatten(2), x.flatten(2)
    for b in range(2):
        for i in range(6):
            energy = [float(places[b, i] @ places[b, j]) for j in range(6)]
            weights = torch.exp(torch.tensor([max(energy) - one for one in energy]))
            wanted = net.gamma * (weights / weights.sum()) @ places[b] + places[b, i]
            assert torch.allclose(found[b, i], wanted, atol=1e-5)


def test_both_attentions_start_as_they_are_not_there() -> None:
    x = drawn(SHAPES[0])
    assert torch.equal(PositionAttention(6)(x), x)
    assert torch.equal(ChannelAttention()(x), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_attention_gate_gives_each_place_of_the_skip_one_share(shape: tuple[int, ...]) -> None:
    net, skip = shaken(AttentionGate(4, 6, 3)), drawn(shape)
    gating = drawn((2, 4, *shape[2:]))
    shares = net(gating, skip) / skip
    assert torch.allclose(shares, shares[:, :1].expand_as(shares), atol=1e-5), "one share for all channels"
    assert ((shares > 0) & (shares < 1)).all()
    place = (1, slice(None), *[1] * (len(shape) - 2))

    def normed(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
        linear, norm = part[0], part[1]
        y = linear.weight[..., 0] @ x + linear.bias
        return (y - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias

    both = (normed(net.gating, gating[place]) + normed(net.skip, skip[place])).clamp(min=0)
    assert torch.allclose(shares[place][:1], torch.sigmoid(normed(net.share, both)), atol=1e-5)
