"""An organ made larger or smaller where it lies, its surroundings pressed together or drawn out.

Abnormal size is what people look for, so networks learn it and verdicts are tried on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

REACH = 1.5  # radii of the organ, beyond its changed border, within which the surroundings give way
_EDGE = 0.95  # share of the organ's points that lie within its radius


def ball_of(
    inside: npt.NDArray[np.bool_], spacing: tuple[float, ...] | None = None
) -> tuple[npt.NDArray[np.float64], float]:
    """Centre and radius of the ball that holds an organ but for a few points that stick out.

    Args:
        spacing: of the voxels along each axis; None answers in voxels.
    """
    points = np.argwhere(inside).astype(np.float64) * np.array(spacing or (1.0,) * inside.ndim)
    centre = points.mean(axis=0)
    return centre, max(1.0, float(np.quantile(np.linalg.norm(points - centre, axis=1), _EDGE)))


def swollen(points: torch.Tensor, centre: npt.NDArray[np.float64], radius: float, factor: float) -> torch.Tensor:
    """Where each point (... dims) of the changed picture looks in the unchanged one, all in the ball's unit.

    Within `factor * radius` of the centre the picture is enlarged `factor` times; from there distances grow evenly
    until, at `REACH` radii more, nothing moves.
    """
    middle = torch.from_numpy(centre.astype(np.float32))
    offset = points - middle
    distance = offset.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    border = factor * radius
    end = max(border, radius) + REACH * radius
    beyond = radius + (distance - border) * (end - radius) / (end - border)
    looked = torch.where(distance <= border, distance / factor, torch.where(distance < end, beyond, distance))
    found: torch.Tensor = middle + offset * (looked / distance)
    return found
