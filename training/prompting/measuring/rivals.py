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
)

from ....imaging.volume import BoolArray
from ....models.interface import Prompt
from ....models.promptable.scribbleprompt.canvas import Canvas, draw_
from ....models.promptable.scribbleprompt.guides import grown, seeds_of

BETA = 130.0  # of the random walker. Source: skimage's default, after Grady 2006
STEPS = 40  # of the level set; ours, enough to cross half a picture of 128 pixels from a disc
Float = npt.NDArray[np.float32]
Rival = Callable[[Float, Sequence[Prompt]], BoolArray]


def walk(image: Float, prompts: Sequence[Prompt]) -> BoolArray:
    """Random walker (Grady 2006): a pixel belongs to the seed that a walker shy of edges meets first."""
    seeds = _seeds(image.shape, prompts)
    return np.asarray(random_walker(image, seeds, beta=BETA, mode="cg_j", prob_tol=1.0) == 1)


def grow(image: Float, prompts: Sequence[Prompt]) -> BoolArray:
    """Seeds grow over the gradient and meet on its ridges (seeded watershed)."""
    return grown(image, _seeds(image.shape, prompts))


def spread(image: Float, prompts: Sequence[Prompt]) -> BoolArray:
    """Geodesic active contour that swells from what is meant (Marquez-Neila et al. 2014) and keeps off what is not."""
    seeds = _seeds(image.shape, prompts)
    start = ndimage.binary_dilation(seeds == 1, iterations=2)
    found = morphological_geodesic_active_contour(
        inverse_gaussian_gradient(image), STEPS, start, smoothing=1, balloon=1, threshold="auto"
    )
    return np.asarray(((found > 0) & (seeds != 2)) | (seeds == 1))


def _seeds(shape: Sequence[int], prompts: Sequence[Prompt]) -> npt.NDArray[np.int32]:
    canvas = Canvas.blank(shape)
    draw_(canvas, prompts)
    return seeds_of(canvas)


RIVALS: Mapping[str, Rival] = {"random walker": walk, "grow from seeds": grow, "level set": spread}
