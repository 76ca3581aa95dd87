"""What needs no training, asked with the same marks: random walker, grow from seeds, level set. Torch-free.

Where nothing is marked as not meant, the rim of the picture counts as such, and with a box everything outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import (
    inverse_gaussian_gradient,
    morphological_geodesic_active_contour,
    random_walker,
    watershed,
)

from ....imaging.volume import BoolArray
from ....models.interface import Prompt
from ....models.promptable.scribbleprompt.canvas import Canvas, draw_

BETA = 130.0  # of the random walker. Source: skimage's default, after Grady 2006
STEPS = 40  # of the level set; ours, enough to cross half a picture of 128 pixels from a disc
Float = npt.NDArray[np.float32]
Rival = Callable[[Float, Sequence[Prompt]], BoolArray]


def walk(image: Float, prompts: Sequence[Prompt]) -> BoolArray:
    """Random walker (Grady 2006): a pixel belongs to the seed that a walker shy of edges meets first."""
    seeds = seeds_of(image.shape, prompts)
    return np.asarray(random_walker(image, seeds, beta=BETA, mode="cg_j", prob_tol=1.0) == 1)


def grow(image: Float, prompts: Sequence[Prompt]) -> BoolArray:
    """Seeds grow over the gradient and meet on its ridges (seeded watershed)."""
    steep = ndimage.gaussian_gradient_magnitude(image, 1.0)
    return np.asarray(watershed(steep, seeds_of(image.shape, prompts)) == 1)


def spread(image: Float, prompts: Sequence[Prompt]) -> BoolArray:
    """Geodesic active contour that swells from what is meant (Marquez-Neila et al. 2014) and keeps off what is not."""
    seeds = seeds_of(image.shape, prompts)
    start = ndimage.binary_dilation(seeds == 1, iterations=2)
    found = morphological_geodesic_active_contour(
        inverse_gaussian_gradient(image), STEPS, start, smoothing=1, balloon=1, threshold="auto"
    )
    return np.asarray(((found > 0) & (seeds != 2)) | (seeds == 1))


def seeds_of(shape: Sequence[int], prompts: Sequence[Prompt]) -> npt.NDArray[np.int32]:
    """1 where it is meant, 2 where it is not, 0 elsewhere; a box alone means its middle."""
    canvas = Canvas.blank(shape)
    draw_(canvas, prompts)
    box, meant, other = (channel > 0.5 for channel in canvas.channels)
    seeds = np.zeros(shape, np.int32)
    if box.any():
        seeds[~box] = 2
    if not other.any() and not box.any():
        rim = np.ones(shape, np.bool_)
        rim[(slice(1, -1),) * len(shape)] = False
        seeds[rim] = 2
    if not meant.any() and box.any():
        lows, highs = (reduce(np.argwhere(box), axis=0) for reduce in (np.min, np.max))
        quarter = [max(1, int(high - low) // 4) for low, high in zip(lows, highs, strict=True)]
        meant[tuple(slice(int(a + q), int(b - q) + 1) for a, b, q in zip(lows, highs, quarter, strict=True))] = True
    seeds[meant] = 1
    seeds[other] = 2
    return seeds


RIVALS: Mapping[str, Rival] = {"random walker": walk, "grow from seeds": grow, "level set": spread}
