"""What marks say by grey values alone, as channels beside them: a network of small fields sees far with them. Torch-free.

Ours; the published network has none. A click says little to a network of convolutions at places far from it; what grows from
it and what is as bright as it is are cheap to find, right or wrong, and the network learns when to believe them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from .canvas import Canvas, Float

GUIDES = 3  # channels: what grows from the marks, what is as bright as what is meant, and as what is not
LEAST_SD = 0.05  # of the picture's range, that greys about a mark vary at least; ours


def guides_of(picture: Float, canvas: Canvas) -> Float:
    """The guides (3 ...) of what is drawn on a picture (...) in [0, 1]; zeros where nothing is meant, or not meant."""
    found = np.zeros((GUIDES, *picture.shape), np.float32)
    seeds = seeds_of(canvas)
    if (seeds == 1).any():
        found[0] = grown(picture, seeds)
    smooth = ndimage.gaussian_filter(picture, 1.0)
    for number, drawn in enumerate(canvas.channels[1:] > 0.5, start=1):
        parts, count = ndimage.label(drawn)
        for part in range(1, count + 1):
            greys = smooth[parts == part]
            middle = np.median(greys)
            sd = max(LEAST_SD, 2 * 1.4826 * float(np.median(np.abs(greys - middle))))
            found[number] = np.maximum(found[number], np.exp(-(((smooth - middle) / sd) ** 2)))
    return found


def grown(picture: Float, seeds: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """What seeds of 1 reach before those of 2, over the gradient, meeting on its ridges (seeded watershed)."""
    steep = ndimage.gaussian_gradient_magnitude(picture, 1.0)
    return np.asarray(watershed(steep, seeds) == 1)


def seeds_of(canvas: Canvas) -> npt.NDArray[np.int32]:
    """1 where it is meant, 2 where it is not, 0 elsewhere; a box alone means its middle.

    Where nothing is marked as not meant, the rim of the picture counts as such, and with a box everything outside it.
    """
    box, meant, other = (channel > 0.5 for channel in canvas.channels)
    seeds = np.zeros(box.shape, np.int32)
    if box.any():
        seeds[~box] = 2
    if not other.any() and not box.any():
        rim = np.ones(box.shape, np.bool_)
        rim[(slice(1, -1),) * box.ndim] = False
        seeds[rim] = 2
    if not meant.any() and box.any():
        lows, highs = (reduce(np.argwhere(box), axis=0) for reduce in (np.min, np.max))
        quarter = [max(1, int(high - low) // 4) for low, high in zip(lows, highs, strict=True)]
        seeds[tuple(slice(int(a + q), int(b - q) + 1) for a, b, q in zip(lows, highs, quarter, strict=True))] = 1
    seeds[meant] = 1
    seeds[other] = 2
    return seeds
