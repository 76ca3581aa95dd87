"""A probabilistic U-Net: one picture, as many plausible masks as one draws.

Paper: PULASki, Medical Image Analysis 2025, arXiv 2312.15686 (its `ProbUNetV2`), after Kohl et al. 2018, arXiv 1806.05034.
Takes: images (b 1 x y) or (b 1 x y z); while learning also one rater's mask of the same shape.
Returns: logits (b 1 ...), one set per draw of the latent.
Weights: none bundled; the authors' are not offered (remote code, unclear licence). `ostensor fit hippocampus-raters` makes small ones.
Left out: the latent at the bottom instead of at the end. Written anew from the description; in the mode "released" it computes what
    the authors' class does (`ostensor eval parity`), with the published 4.86 M and 2.65 M parameters in 2-D and 30.47 M in 3-D.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ...imaging.errors import BadCall
from ..checkpoints import Tensors
from ..parity import Fixture


@dataclass(frozen=True)
class ProbUnetConfig:
    """Shape; the defaults are the paper's in 2-D.

    Attributes:
        base: channels of the finest level; they double per level.
        depth: levels; sides of the input are multiples of 2^(depth - 1).
        latent: numbers of the latent.
        normed: levels of the prior and the posterior that have norms, from the finest.
        mode: "described" has LeakyReLU between the last three layers, as Kohl's has ReLU; "released" has nothing there, as the
            authors' code: the layers are then one, and the latent only adds a number to all logits of a picture.
    """

    dims: int = 2
    base: int = 24
    depth: int = 5
    latent: int = 3
    normed: int = 2
    mode: Literal["described", "released"] = "described"


class ProbUnet(nn.Module):
    """Injection U-Net with a prior (image) and a posterior (image and mask) over its latent."""

    def __init__(self, config: ProbUnetConfig) -> None:
        super().__init__()
        self.config = config
        dims, widths = config.dims, [config.base * 2**n for n in range(config.depth)]
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.down = nn.ModuleList(_block(dims, a, b, norm=True) for a, b in zip([1, *widths], widths, strict=False))
        self.rises = nn.ModuleList(_Rise(dims, width) for width in widths[:0:-1])
        both, between = config.base + config.latent, nn.LeakyReLU if config.mode == "described" else nn.Identity
        self.inject = nn.Sequential(conv(both, both, 1), between(), conv(both, both, 1), between(), conv(both, 1, 1))
        self.prior_net, self.posterior_net = _Moments(config, 1), _Moments(config, 2)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """What the latent is added to, (b base ...); once per image."""
        skips = []
        x = image
        for n, stage in enumerate(self.down):
            x = stage(_halved(x) if n else x)
            skips.append(x)
        for rise, skip in zip(self.rises, skips[-2::-1], strict=True):
            x = rise(x, skip)
        return x

    def prior(self, image: torch.Tensor) -> Moments:
        """Of the latent, from the image alone."""
        found: Moments = self.prior_net(image)
        return found

    def posterior(self, image: torch.Tensor, mask: torch.Tensor) -> Moments:
        """Of the latent, from the image and a rater's mask (b 1 ...)."""
        found: Moments = self.posterior_net(torch.cat([image, mask], dim=1))
        return found

    def decode(self, features: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """Logits (b 1 ...) of one draw (b latent)."""
        spread = latent.reshape(*latent.shape, *[1] * self.config.dims).expand(-1, -1, *features.shape[2:])
        logits: torch.Tensor = self.inject(torch.cat([features, spread], dim=1))
        return logits

    def draws(self, image: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
        """Logits (b count ...) of draws from the prior."""
        features, moments = self.features(image), self.prior(image)
        noise = torch.randn(count, *moments.mean.shape, generator=generator).to(image)
        return torch.cat([self.decode(features, moments.at(one)) for one in noise], dim=1)


@dataclass(frozen=True)
class Moments:
    """Mean and logarithm of the variance of a latent (b latent)."""

    mean: torch.Tensor
    log_variance: torch.Tensor

    def at(self, noise: torch.Tensor) -> torch.Tensor:
        """The draw of standard normal noise of the same shape."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


def divergence(one: Moments, other: Moments) -> torch.Tensor:
    """Kullback-Leibler divergence KL(one || other), summed over the latent: (b).

    Source: closed form for diagonal Gaussians, Kingma and Welling 2014, appendix B.
    """
    gap = (one.mean - other.mean) ** 2
    ratio = torch.exp(one.log_variance - other.log_variance)
    each = other.log_variance - one.log_variance + ratio + gap * torch.exp(-other.log_variance) - 1
    return 0.5 * each.sum(dim=1)


class _Rise(nn.Module):
    """From a level to the next finer one, whose features come first."""

    def __init__(self, dims: int, wide: int) -> None:
        super().__init__()
        up = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.up = up(wide, wide // 2, 3, stride=2, padding=1, output_padding=1)
        self.merge = _block(dims, wide, wide // 2, norm=True)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        merged: torch.Tensor = self.merge(torch.cat([skip, self.up(x)], dim=1))
        return merged


class _Moments(nn.Module):
    """An encoder that ends in the moments of the latent; norms in its first levels only."""

    def __init__(self, config: ProbUnetConfig, inside: int) -> None:
        super().__init__()
        widths = [config.base * 2**n for n in range(config.depth)]
        self.stages = nn.ModuleList(
            _block(config.dims, a, b, norm=n < config.normed)
            for n, (a, b) in enumerate(zip([inside, *widths], widths, strict=False))
        )
        conv = nn.Conv2d if config.dims == 2 else nn.Conv3d
        self.head = conv(widths[-1], 2 * config.latent, 1, bias=False)

    def forward(self, x: torch.Tensor) -> Moments:
        for n, stage in enumerate(self.stages):
            x = stage(_halved(x) if n else x)
        mean, log_variance = self.head(x).flatten(2).mean(dim=2).chunk(2, dim=1)
        return Moments(mean, log_variance)


def _block(dims: int, inside: int, outside: int, *, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    layer = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
    parts: list[nn.Module] = []
    for a in (inside, outside):
        parts += [conv(a, outside, 3, padding=1), *([layer(outside)] if norm else []), nn.LeakyReLU()]
    return nn.Sequential(*parts)


def _halved(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.avg_pool2d(x, 2) if x.dim() == 4 else nn.functional.avg_pool3d(x, 2)


_LAYER = re.compile(r"(task|prior|posterior)_net\.(encode|decode|reduce)[-_](\d+)\.(?:(\d+)\.)?(weight|bias)")


def load_official(state: Tensors, *, normed: int = 2) -> ProbUnet:
    """The network with the weights of the authors' class, in evaluation mode and in the mode "released".

    Both have the same layers in the order of computation; the authors' names count norms as well, so they are sorted, not translated.

    Args:
        normed: see `ProbUnetConfig`; the weights do not tell.

    Raises:
        BadCall: keys are missing or unexpected, or shapes differ.
    """
    try:
        theirs = sorted(state, key=_place)
        first, last = theirs[0], [key for key in theirs if key.startswith("prior")][-1]
        base, depth, latent = state[first].shape[0], 1 + _place(last)[2], state[last].shape[0] // 2
        net = ProbUnet(ProbUnetConfig(state[first].dim() - 2, base, depth, latent, normed, "released"))
        net.load_state_dict({ours: state[key] for ours, key in zip(net.state_dict(), theirs, strict=True)})
    except (LookupError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()
        raise BadCall(f"These are no weights of ProbUNetV2 with its latent at the end: {why}") from None
    return net.eval()


def _place(key: str) -> tuple[int, int, int, int, bool]:
    """Where a weight or bias of the authors' class is used; the decoder counts its levels downwards."""
    found = _LAYER.fullmatch(key)
    if found is None:
        raise ValueError(f"'{key}' is none of its layers.")
    part, way, level, layer, kind = found.groups()
    ways = ("encode", "decode", "reduce")
    depth = -int(level) if way == "decode" else int(level)
    return ("task", "prior", "posterior").index(part), ways.index(way), depth, int(layer or 0), kind == "bias"


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code; its latents are given."""
    sizes, given = fixture.sizes, fixture.inputs
    if sizes.get("injection_at", "end") != "end":
        raise BadCall(f"Its latent enters at '{sizes['injection_at']}'. Ours enters at the end only.")
    net = load_official(fixture.state(), normed=sizes.get("norm_depth", 2))
    image, ones = given["image"], [1] * net.config.dims
    with torch.no_grad():
        features, prior, posterior = net.features(image), net.prior(image), net.posterior(image, given["mask"])
        found = {
            "prior_mean_output": net.decode(features, prior.mean).sigmoid(),
            "draws": torch.stack([net.decode(features, one).sigmoid() for one in given["latents"].unbind(1)], dim=1),
            "kl": divergence(posterior, prior).sum()[None],
        }
        for name, moments in (("prior", prior), ("posterior", posterior)):
            both = torch.cat([moments.mean, moments.log_variance], dim=1)
            found[f"{name}_net"] = both.reshape(*both.shape, *ones)
            found[f"{name}_mean"] = moments.mean.reshape(*moments.mean.shape, *ones)
            found[f"{name}_std"] = torch.exp(0.5 * moments.log_variance).reshape(*moments.mean.shape, *ones)
    return found
