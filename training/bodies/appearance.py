"""Images from labels: CT- and MR-like pictures of a label map, different every time.

After domain randomisation (Billot et al. 2023, SynthSeg, Medical Image Analysis 86): a random
contrast per tissue, texture, partial volume, bias field, resolution and noise, so that a
network learns shape and place rather than one scanner. Nothing here reads a real image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from ...models.inference.preprocess import AIR_HU, Intensity, normalised


@dataclass(frozen=True)
class Tissue:
    """How one kind of tissue looks: its mean, how far the mean varies between scans, and its texture.

    CT values are HU. In MR the mean is a T1 brightness in [0, 1].
    """

    mean: float
    spread: float
    texture: float


@dataclass(frozen=True)
class Layers:
    """Shells of the label map around or under a surface, which get their tissue per scan.

    Attributes:
        first: label value of the shell next to the surface; the next ones follow.
        thickness_mm: of one shell.
        tissues: from the surface on: (tissue, least and greatest thickness in mm).
        rest: tissue of the shells that remain.
    """

    first: int
    count: int
    thickness_mm: float
    tissues: tuple[tuple[str, float, float], ...]
    rest: str


@dataclass(frozen=True)
class Appearance:
    """Everything `synthesise` may vary.

    Attributes:
        tissue_of: label value -> tissue name; a value not listed is "outside".
        mixed: label value -> two tissues that alternate in smooth patches (fat between organs).
        bare: probability that shells and all beyond are black, as after skull stripping.
        wild: probability that an MR contrast is random instead of T1-like.
    """

    kind: Literal["ct", "mr"]
    tissues: Mapping[str, Tissue]
    tissue_of: Mapping[int, str]
    mixed: Mapping[int, tuple[str, str]]
    layers: Layers | None = None
    bare: float = 0.0
    wild: float = 0.5

    @property
    def intensity(self) -> Intensity:
        """Which normalisation the picture gets."""
        return self.kind


def synthesise(labels: torch.Tensor, appearance: Appearance, rng: np.random.Generator) -> torch.Tensor:
    """A normalised picture (x y z) float32 of integer labels (x y z).

    Args:
        rng: the only source of chance; the same state gives the same picture.
    """
    means = _means(appearance, rng)
    low = AIR_HU if appearance.kind == "ct" else 0.0
    mean_of = torch.full((256,), means["outside"])
    texture_of = torch.full((256,), appearance.tissues["outside"].texture)
    stripped = rng.random() < appearance.bare
    for value, tissue in _tissue_table(appearance, rng, stripped).items():
        mean_of[value] = low if tissue == "" else means[tissue]
        texture_of[value] = 0.0 if tissue == "" else appearance.tissues[tissue].texture
    if stripped:
        mean_of[0], texture_of[0] = low, 0.0
    picture = mean_of[labels]
    texture = texture_of[labels]
    for value, (one, other) in appearance.mixed.items():
        patches = _smooth(tuple(labels.shape), int(rng.integers(6, 14)), rng) > float(rng.uniform(-0.6, 0.6))
        here = labels == value
        picture = torch.where(here & patches, torch.tensor(means[one]), picture)
        picture = torch.where(here & ~patches, torch.tensor(means[other]), picture)
    grain = torch.from_numpy(rng.standard_normal(tuple(labels.shape)).astype(np.float32))
    if rng.random() < 0.5:
        grain = 0.5 * grain + _blur(grain)
    picture = picture + texture * float(rng.uniform(0.3, 1.2)) * grain
    picture = _scanned(picture, appearance.kind, rng)
    if appearance.kind == "mr":
        picture = picture.clamp(min=0)
    array = normalised(picture.numpy(), appearance.intensity, calibrated=True)
    return torch.from_numpy(array)


def _means(appearance: Appearance, rng: np.random.Generator) -> dict[str, float]:
    wild = appearance.kind == "mr" and rng.random() < appearance.wild
    means = {}
    for name, tissue in appearance.tissues.items():
        if wild and name != "outside":
            means[name] = float(rng.uniform(0.05, 1.0))
        else:
            means[name] = float(tissue.mean + tissue.spread * rng.uniform(-1.7, 1.7))
    return means


def _tissue_table(appearance: Appearance, rng: np.random.Generator, stripped: bool) -> dict[int, str]:
    """Label value -> tissue of this scan; "" is empty space."""
    table = dict(appearance.tissue_of)
    layers = appearance.layers
    if layers is None:
        return table
    depth = 0.0
    borders = []
    for tissue, least, most in layers.tissues:
        depth += float(rng.uniform(least, most))
        borders.append((depth, tissue))
    for n in range(layers.count):
        middle = (n + 0.5) * layers.thickness_mm
        tissue = next((name for border, name in borders if middle < border), layers.rest)
        table[layers.first + n] = "" if stripped else tissue
    return table


def _scanned(picture: torch.Tensor, kind: str, rng: np.random.Generator) -> torch.Tensor:
    """Partial volume, bias field, artefacts, lower resolution and noise, in the order a scanner adds them."""
    picture = float(rng.uniform(0.2, 0.8)) * (_blur(picture) - picture) + picture
    span = float(picture.max() - picture.min()) + 1e-6
    if kind == "mr":
        field = _smooth(tuple(picture.shape), int(rng.integers(2, 5)), rng)
        picture = picture * torch.exp(float(rng.uniform(0, 0.35)) * field)
        unit = (picture / (picture.max() + 1e-6)).clamp(min=0)
        picture = unit ** float(np.exp(rng.uniform(-0.35, 0.35)))
        span = 1.0
    if rng.random() < 0.15:
        picture = _ghosted(picture, rng) if kind == "mr" else _streaked(picture, rng)
    if rng.random() < 0.35:
        picture = _coarse(picture, rng)
    noise = float(rng.uniform(0, 0.06 if kind == "mr" else 0.02)) * span
    return picture + noise * torch.from_numpy(rng.standard_normal(tuple(picture.shape)).astype(np.float32))


def _ghosted(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Faint copies of the picture shifted along one axis, as motion during an MR scan leaves them."""
    axis = int(rng.integers(picture.dim()))
    shift = max(1, round(picture.shape[axis] * float(rng.uniform(0.1, 0.45))))
    strength = float(rng.uniform(0.03, 0.15))
    return (1 - strength) * picture + strength * (picture.roll(shift, axis) + picture.roll(-shift, axis)) / 2


def _streaked(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Rays that fade away from a dense spot, as metal leaves them in CT, in the axial plane."""
    x, y = (torch.arange(n, dtype=torch.float32) - float(rng.uniform(0.2, 0.8)) * n for n in picture.shape[:2])
    angle = torch.atan2(y[None, :], x[:, None])
    distance = (x[:, None] ** 2 + y[None, :] ** 2).sqrt()
    rays = torch.sin(int(rng.integers(6, 20)) * angle) * torch.exp(-distance / float(rng.uniform(8, 30)))
    rays = float(rng.uniform(50, 300)) * rays
    return picture + (rays if picture.dim() == 2 else rays[:, :, None])


def _blur(picture: torch.Tensor) -> torch.Tensor:
    pool = F.avg_pool2d if picture.dim() == 2 else F.avg_pool3d
    return pool(picture[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]


def _smooth(shape: tuple[int, ...], nodes: int, rng: np.random.Generator) -> torch.Tensor:
    coarse = torch.from_numpy(rng.standard_normal((1, 1, *([nodes] * len(shape)))).astype(np.float32))
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return F.interpolate(coarse, size=shape, mode=mode, align_corners=True)[0, 0]


def _coarse(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    factors = np.ones(picture.dim())
    factors[int(rng.integers(picture.dim()))] = rng.uniform(1.3, 3.0)
    size = [max(2, round(n / f)) for n, f in zip(picture.shape, factors, strict=True)]
    mode = "bilinear" if picture.dim() == 2 else "trilinear"
    small = F.interpolate(picture[None, None], size=size, mode="area")
    return F.interpolate(small, size=tuple(picture.shape), mode=mode, align_corners=False)[0, 0]
