"""Training samples: a random view of a case, drawn from (seed, step, item) alone.

Because nothing is remembered between samples, training resumes bit by bit from a step number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..imaging.geometry import reorient_array, resample
from ..models.inference.preprocess import BODY_SHARE, Preparation, normalised, prepare, working_grid
from ..models.inference.windows import beside
from .bodies.appearance import Appearance, synthesise
from .bodies.swelling import ball_of, swollen
from .cases import Case

SWELL = 2.5  # along each axis
FAT = 0.4  # share of the body's points that a window may show as black, as one for the liver does with fat
ALONE = 0.1  # share of samples in which a slice has no neighbours, as a single picture


@dataclass(frozen=True)
class View:
    """How far a sample may stray from its case.

    Attributes:
        patch: voxels along x, y(, z) the network sees.
        rotate_deg, scale, elastic_mm: limits; elastic is the amplitude of a smooth field, in voxels of the network.
        flip: axes that may be mirrored without changing any label's name.
        mirror: mirror left-right and swap the labels of sides.
        turn: rotate freely in the plane (2-D stacks of unknown orientation).
        coarse: probability of imitating thick slices.
        noise, bias, gamma: strength of intensity changes; 0 switches one off.
        window: probability of cutting grey values off as a screen's window does.
        swell: probability of an organ up to `SWELL` times as large or as small.
    """

    patch: tuple[int, ...]
    rotate_deg: float = 15.0
    scale: float = 0.2
    elastic: float = 2.0
    shift: float = 0.1
    flip: tuple[int, ...] = ()
    mirror: bool = False
    turn: bool = False
    coarse: float = 0.2
    noise: float = 0.15
    bias: float = 0.2
    gamma: float = 0.3
    foreground: float = 0.5
    window: float = 0.0
    swell: float = 0.0


@dataclass(frozen=True)
class Ready:
    """A case on the network's grid, in memory: image float16 (channels ...) or None, and labels uint8.

    Attributes:
        along: of a slice, where it lies in its scan, 0 the first and 1 the last; None of volumes.
    """

    name: str
    image: torch.Tensor | None
    labels: torch.Tensor
    along: float | None = None


def make_ready(case: Case, how: Preparation, *, as_slices: bool, neighbours: int = 0) -> list[Ready]:
    """The case on the network's grid; one entry per slice, between its neighbours, when the network is 2-D."""
    labels, grid = reorient_array(case.labels, case.grid, "RAS") if how.canonical else (case.labels, case.grid)
    on_grid = torch.from_numpy(resample(labels.astype(np.uint8), grid, working_grid(grid, how), order=0))
    image = None
    if case.volume is not None:
        image = prepare(case.volume, how).array.astype(np.float16)
    if not as_slices:
        return [Ready(case.name, None if image is None else torch.from_numpy(image)[None], on_grid)]
    return [
        Ready(
            f"{case.name}:{z}",
            None if image is None else torch.from_numpy(beside(image, z, neighbours).copy()),
            on_grid[:, :, z].clone(),
            z / max(1, on_grid.shape[2] - 1),
        )
        for z in range(on_grid.shape[2])
    ]


def draw(
    ready: Ready, view: View, rng: np.random.Generator, mirrored: dict[int, int], appearance: Appearance | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One sample: image (channels x y z) float32 and labels (x y z) int64 of the view's patch size."""
    grid = _random_grid(ready, view, rng)
    labels = ready.labels[None, None].float()
    moved = F.grid_sample(labels, grid, mode="nearest", padding_mode="zeros", align_corners=False)[0, 0].long()
    swap = view.mirror and rng.random() < 0.5
    if ready.image is None:
        if appearance is None:
            raise ValueError(f"case {ready.name} has no image and the configuration no [synthesis]")
        image = synthesise(moved, appearance, rng)[None]
    else:
        source = ready.image[None].float()
        image = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
        image = _vary(_alone_or_reversed(image, rng), view, rng)
    if swap:
        image, moved = image.flip(1), _swap_sides(moved.flip(0), mirrored)
    for axis in view.flip:
        if rng.random() < 0.5:
            image, moved = image.flip(axis + 1), moved.flip(axis)
    return image.contiguous(), moved.contiguous()


def _alone_or_reversed(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A slice and its neighbours (channels ...) as another scan could have them: none at all, or in the other order."""
    if len(image) == 1:
        return image
    if rng.random() < ALONE:
        return image[len(image) // 2][None].expand_as(image)
    return image.flip(0) if rng.random() < 0.5 else image


def _swap_sides(labels: torch.Tensor, mirrored: dict[int, int]) -> torch.Tensor:
    table = torch.arange(max(255, int(labels.max())) + 1)
    for old, new in mirrored.items():
        table[old] = new
    return table[labels]


def _random_grid(ready: Ready, view: View, rng: np.random.Generator) -> torch.Tensor:
    """Where each patch voxel looks in the case, as `grid_sample` wants it (1 ... dims)."""
    shape = np.array(ready.labels.shape, dtype=np.float64)
    patch = np.array(view.patch, dtype=np.float64)
    dims = len(shape)
    rotation = _rotation(dims, view, rng)
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(view.scale)) * np.exp(
        rng.uniform(-0.3, 0.3, dims) * np.log1p(view.scale)
    )
    centre = _centre(ready, view, rng, shape, patch)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in view.patch]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # (x y z dims), patch voxels from its centre
    if view.elastic > 0 and rng.random() < 0.7:
        points = points + _elastic(view, rng)
    matrix = torch.from_numpy((rotation * zoom).astype(np.float32))
    points = points @ matrix.T + torch.from_numpy(centre.astype(np.float32))
    if view.swell and rng.random() < view.swell:
        points = _swollen(points, ready.labels.numpy(), rng)
    scaled = (2 * points + 1) / torch.from_numpy(shape.astype(np.float32)) - 1
    return scaled.flip(-1)[None]


def _swollen(points: torch.Tensor, labels: Any, rng: np.random.Generator) -> torch.Tensor:
    values = np.unique(labels[labels > 0])
    if not len(values):
        return points
    centre, radius = ball_of(labels == values[int(rng.integers(len(values)))])
    return swollen(points, centre, radius, float(np.exp(rng.uniform(-1, 1) * np.log(SWELL))))


def _centre(ready: Ready, view: View, rng: np.random.Generator, shape: Any, patch: Any) -> Any:
    room = np.maximum(0, shape - patch) / 2
    middle = (shape - 1) / 2
    if view.foreground > 0 and rng.random() < view.foreground and bool((ready.labels > 0).any()):
        inside = torch.nonzero(ready.labels > 0)
        spot = inside[int(rng.integers(len(inside)))].numpy() + rng.uniform(-0.2, 0.2, len(shape)) * patch
        return np.clip(spot, middle - room - view.shift * patch, middle + room + view.shift * patch)
    return middle + rng.uniform(-1, 1, len(shape)) * (room + view.shift * patch)


def _rotation(dims: int, view: View, rng: np.random.Generator) -> Any:
    if dims == 2:
        angle = rng.uniform(-np.pi, np.pi) if view.turn else np.radians(view.rotate_deg) * rng.uniform(-1, 1)
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x, y, z = np.radians(view.rotate_deg) * rng.uniform(-1, 1, 3)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def smooth_field(shape: tuple[int, ...], nodes: int, rng: np.random.Generator, channels: int = 1) -> torch.Tensor:
    """A smooth random field (channels ...), standard normal at a coarse lattice of `nodes` per side."""
    dims = len(shape)
    coarse = torch.from_numpy(rng.standard_normal((1, channels, *([nodes] * dims))).astype(np.float32))
    mode = "bicubic" if dims == 2 else "trilinear"
    return F.interpolate(coarse, size=shape, mode=mode, align_corners=True)[0]


def _elastic(view: View, rng: np.random.Generator) -> torch.Tensor:
    amplitude = view.elastic * rng.uniform(0, 1)
    field = smooth_field(view.patch, int(rng.integers(4, 9)), rng, channels=len(view.patch))
    return amplitude * field.movedim(0, -1)


def _vary(image: torch.Tensor, view: View, rng: np.random.Generator) -> torch.Tensor:
    """Contrast, bias field, blur or thick slices, and noise on a normalised image (channels ...)."""
    if view.window and rng.random() < view.window:
        image = _windowed(image, rng)
    if view.gamma and rng.random() < 0.5:
        low, high = image.min(), image.max()
        unit = (image - low) / (high - low + 1e-6)
        image = unit ** float(np.exp(rng.uniform(-view.gamma, view.gamma))) * (high - low) + low
    if view.bias:
        image = image * float(1 + rng.uniform(-view.bias, view.bias)) + float(rng.uniform(-view.bias, view.bias))
        if rng.random() < 0.3:
            image = image * (1 + view.bias * smooth_field(tuple(image.shape[1:]), 3, rng)[0])
    if rng.random() < view.coarse:
        image = coarsened(image, rng)
    if view.noise and rng.random() < 0.5:
        level = float(view.noise * rng.uniform(0, 1))
        image = image + level * torch.from_numpy(rng.standard_normal(tuple(image.shape)).astype(np.float32))
    return image


def _windowed(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The image as a screen shows it: darkest and brightest values cut off, then normalised as `prepare` does."""
    low, high = float(image.min()), float(image.max())
    body = image[image > low + BODY_SHARE * (high - low)]
    if body.numel() < 16:
        return image
    sample = body[:: max(1, body.numel() // 5000)]
    darkest = float(torch.quantile(sample, float(FAT * rng.random() ** 2)))
    brightest = float(torch.quantile(sample, float(1 - 0.1 * rng.random() ** 2)))
    if rng.random() < 0.5:  # anywhere between the scan's own end and the body's
        darkest = low + float(rng.random()) * (darkest - low)
    if rng.random() < 0.5:
        brightest = high - float(rng.random()) * (high - brightest)
    if brightest - darkest < 0.05 * (high - low):
        return image
    cut = normalised(image.clamp(darkest, brightest).numpy(), "mr", calibrated=False)
    return torch.from_numpy(cut)


def coarsened(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The image (channels ...) as a scanner of lower resolution would show it, on the same grid."""
    shape = tuple(image.shape[1:])
    factors = rng.uniform(1.0, 2.5, len(shape))
    size = [max(2, round(n / f)) for n, f in zip(shape, factors, strict=True)]
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    small = F.interpolate(image[None], size=size, mode="area")
    return F.interpolate(small, size=shape, mode=mode, align_corners=False)[0]
