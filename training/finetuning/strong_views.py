"""Strong views of a picture: other grey values, the same places."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

BLUR = 5  # pixels of the kernel


def strengthen(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Pictures (b 1 n n) in [0, 1] with other contrast, brightness, sharpness and noise, each drawn for itself.

    Which changes there are follows FixMatch's idea that a strong view may look like another scanner's; ranges are ours.
    """
    return torch.stack([_strengthen(one, rng) for one in pictures])


def _strengthen(picture: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    found = picture.clamp(0, 1) ** float(np.exp(rng.uniform(-0.7, 0.7)))
    found = found * float(rng.uniform(0.6, 1.4)) + float(rng.uniform(-0.2, 0.2))
    if rng.random() < 0.5:
        found = _blur(found, float(rng.uniform(0.3, 1.5)))
    noise = torch.from_numpy(rng.standard_normal(tuple(picture.shape)).astype(np.float32)).to(picture.device)
    return (found + float(rng.uniform(0, 0.1)) * noise).clamp(0, 1)


def _blur(picture: torch.Tensor, sigma: float) -> torch.Tensor:
    at = torch.arange(BLUR, device=picture.device) - BLUR // 2
    line = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = torch.outer(line, line)[None, None] / line.sum() ** 2
    return F.conv2d(F.pad(picture[None], (BLUR // 2,) * 4, mode="replicate"), kernel)[0]
