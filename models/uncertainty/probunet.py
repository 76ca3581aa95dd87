"""A probabilistic U-Net: one picture, as many plausible masks as one draws.

Paper: PULASki, Medical Image Analysis 2025, arXiv 2312.15686 (its `ProbUNetV2`), after Kohl et al. 2018, arXiv 1806.05034.
Takes: images (b 1 x y) or (b 1 x y z); while learning also one rater's mask of the same shape.
Returns: logits (b 1 ...), one set per draw of the latent.
Weights: none bundled; the authors' are not read (remote code, unclear licence). `ostensor fit hippocampus-raters` makes small ones.
Left out: nothing. Written anew from the description; the convolutions per level (two, at the bottom too) are those whose
    parameters add up to the published 4.86 M and 2.65 M in 2-D and 30.47 M in 3-D.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class ProbUnetConfig:
    """Shape; the defaults are the paper's in 2-D.

    Attributes:
        base: channels of the finest level; they double per level.
        depth: levels; sides of the input are multiples of 2^(depth - 1).
        latent: numbers of the latent.
    """

    dims: int = 2
    base: int = 24
    depth: int = 5
    latent: int = 3


class ProbUnet(nn.Module):
    """Injection U-Net with a prior (image) and a posterior (image and mask) over its latent."""

    def __init__(self, config: ProbUnetConfig) -> None:
        super().__init__()
        self.config = config
        dims, widths = config.dims, [config.base * 2**n for n in range(config.depth)]
        conv, up = (nn.Conv2d, nn.ConvTranspose2d) if dims == 2 else (nn.Conv3d, nn.ConvTranspose3d)
        self.down = nn.ModuleList(_block(dims, a, b, norm=True) for a, b in zip([1, *widths], widths, strict=False))
        coarse = widths[:0:-1]
        self.up = nn.ModuleList(up(w, w // 2, 3, stride=2, padding=1, output_padding=1) for w in coarse)
        self.merge = nn.ModuleList(_block(dims, w, w // 2, norm=True) for w in coarse)
        self.inject = nn.Sequential(
            conv(config.base + config.latent, config.base, 1),
            nn.LeakyReLU(),
            conv(config.base, config.base, 1),
            nn.LeakyReLU(),
            conv(config.base, 1, 1),
        )
        self.prior_net, self.posterior_net = _Moments(config, 1), _Moments(config, 2)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """What the latent is added to, (b base ...); once per image."""
        skips = []
        x = image
        for n, stage in enumerate(self.down):
            x = stage(_halved(x) if n else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], dim=1))
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


class _Moments(nn.Module):
    """An encoder that ends in the moments of the latent; norms in its first two levels only."""

    def __init__(self, config: ProbUnetConfig, inside: int) -> None:
        super().__init__()
        widths = [config.base * 2**n for n in range(config.depth)]
        self.stages = nn.ModuleList(
            _block(config.dims, a, b, norm=n < 2)
            for n, (a, b) in enumerate(zip([inside, *widths], widths, strict=False))
        )
        conv = nn.Conv2d if config.dims == 2 else nn.Conv3d
        self.head = conv(widths[-1], 2 * config.latent, 1)

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
