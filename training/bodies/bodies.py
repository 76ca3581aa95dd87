"""A plausible body around organs that come without one, so that a picture can be made of them."""

from __future__ import annotations

import edt
import numpy as np
import numpy.typing as npt
from skimage.morphology import convex_hull_image

from ...imaging.geometry import Box, crop
from ...imaging.volume import Grid
from .hra_phantom import SHELL, SHELL_MM, SHELLS, SPINE

Labels = npt.NDArray[np.uint8]
WALL_MM = 38.0  # from the organs' hull to the skin
_SPINE_MM = 20.0


def with_body(organs: Labels, grid: Grid, spine_mm: tuple[float, float]) -> tuple[Labels, Grid]:
    """Organs with an interior (1), a spine and shells under a skin around them, on a grid with room for it.

    The skin follows the convex hull of all organs seen from above, the same in every slice. It only makes the
    picture plausible; nobody is asked to segment it.

    Args:
        organs: (x y z) on a grid of axes RAS.
        spine_mm: right and front coordinate of the spine's middle.
    """
    room = [round((WALL_MM + 10) / step) for step in grid.spacing_mm[:2]]
    box = Box((-room[0], -room[1], 0), (grid.shape[0] + room[0], grid.shape[1] + room[1], grid.shape[2]))
    whole, grid = crop(organs, grid, box)
    outline = convex_hull_image((whole > 0).any(axis=2))
    outside = edt.edt(~outline, anisotropy=grid.spacing_mm[:2], black_border=False)
    body = outside <= WALL_MM
    depth = edt.edt(body, anisotropy=grid.spacing_mm[:2], black_border=False)[:, :, None]
    made = np.where(whole > 0, whole, body[:, :, None]).astype(np.uint8)
    x, y = (
        grid.affine[axis, axis] * np.arange(grid.shape[axis]) + grid.affine[axis, 3] - spine_mm[axis] for axis in (0, 1)
    )
    near_spine = (x[:, None] ** 2 + y[None, :] ** 2 < _SPINE_MM**2)[:, :, None]
    made[(made == 1) & near_spine] = SPINE
    shell = np.broadcast_to(np.ceil(depth / SHELL_MM).astype(np.int32), made.shape)
    skin = (made == 1) & (shell <= SHELLS)
    made[skin] = (SHELL - 1 + shell[skin]).astype(np.uint8)
    return made, grid
