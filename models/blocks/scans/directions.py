"""In which orders a scan visits the tokens of an image or a volume. Torch-free.

The vocabulary is that of surveys of vision Mamba; networks take it as their option `directions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...rows import row_of


@dataclass(frozen=True)
class Directions:
    """A choice of orders.

    Attributes:
        name: as options say it.
        dims: of the images it is for.
        axes: orders of the axes, slowest first, each one pass; () the image's own.
        backwards: whether each order is also run from its end.
        what: in words.
        source: where it comes from.
    """

    name: str
    dims: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]
    backwards: bool
    what: str
    source: str

    @property
    def passes(self) -> int:
        """How many scans it takes."""
        return len(self.axes) * (1 + self.backwards)


DIRECTIONS: tuple[Directions, ...] = (
    Directions(
        "fwd", (2, 3), ((),), False, "row by row, once", "LightM-UNet and U-Mamba, arXiv 2403.05246, 2401.04722"
    ),
    Directions("bidir", (2, 3), ((),), True, "row by row, from both ends", "Vision Mamba, arXiv 2401.09417"),
    Directions("cross2d", (2,), ((0, 1), (1, 0)), True, "rows and columns, from both ends", "VMamba, arXiv 2401.10166"),
    Directions(
        "planes3d",
        (3,),
        ((0, 1, 2), (1, 2, 0), (2, 0, 1)),
        True,
        "each axis once the fastest, from both ends",
        "after SegMamba's three orientations, arXiv 2401.13560",
    ),
)


def directions_for(name: str, dims: int) -> Directions:
    """The choice of this name.

    Raises:
        BadCall: there is none.
        ValueError: it is for other dimensions.
    """
    found = row_of(DIRECTIONS, name, "choice of directions")
    if dims not in found.dims:
        fit = ", ".join(row.name for row in DIRECTIONS if dims in row.dims)
        raise ValueError(f"directions: '{name}' is not for {dims} dimensions, take one of {fit}")
    return found


def visiting_orders(found: Directions, sides: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Places of the tokens, counted row by row, in the order of each pass: (passes tokens); those backwards come last."""
    places = np.arange(np.prod(sides, dtype=np.int64)).reshape(sides)
    orders = [places.transpose(axes or range(len(sides))).ravel() for axes in found.axes]
    return np.stack([*orders, *(order[::-1] for order in orders if found.backwards)])
