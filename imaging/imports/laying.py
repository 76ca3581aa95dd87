"""Every piece of a label file on the grid of an image, with what was lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from ..errors import BadCall
from ..geometry import Box
from ..region import Region, slices
from ..volume import BoolArray, Grid
from .labels import LabelFile, Labels, Piece
from .placing import Place, find_place


@dataclass(frozen=True)
class Laid:
    """One piece on the image's grid.

    Attributes:
        region: its voxels; without a box when there are none.
        file_voxels: how many it had in the file.
        outside: how many of those lie outside the image.
        file_ml: its volume in the file; None where no size is known.
        moved: its voxels were taken from another grid.
    """

    piece: Piece
    region: Region
    file_voxels: int
    outside: int
    file_ml: float | None
    moved: bool

    @property
    def is_exact(self) -> bool:
        """Whether every voxel of the file is a voxel of the image, and no other."""
        return not (self.moved or self.outside) and self.piece.exact


def lay(
    file: LabelFile,
    target: Grid,
    *,
    resample: bool,
    report: Callable[[float, str], None] = lambda share, message: None,
) -> tuple[Place, list[Laid]]:
    """All pieces on the image's grid, and how they came there.

    Raises:
        BadCall: the file lies on another grid, and resampling was not asked for.
    """
    place = find_place(file.grid, target, by_index=file.by_index)
    on_grid = place.turn is not None and (place.whole or file.is_crop)
    if not on_grid and not resample:
        raise BadCall(
            f"The masks lie on another grid than the image: {place.differs}. Open the image they were drawn on, or pass "
            "resample=true to take the nearest voxels (each loss is then said)."
        )
    laid: list[Laid] = []
    numbers = sorted({piece.layer for piece in file.pieces})
    for done, number in enumerate(numbers):
        layer = file.read_layer(number)
        laid += _layer(layer, [piece for piece in file.pieces if piece.layer == number], place, file)
        report((done + 1) / len(numbers), f"laid {len(laid)} of {len(file.pieces)} masks on the image")
    cut = sum(one.outside for one in laid)
    if cut and not resample:
        raise BadCall(
            f"{cut} voxels of the masks lie outside the image. Open the image they were drawn on, or pass resample=true to "
            "keep what lies inside."
        )
    order = {id(piece): n for n, piece in enumerate(file.pieces)}
    return place, sorted(laid, key=lambda one: order[id(one.piece)])


def _layer(layer: Labels, pieces: list[Piece], place: Place, file: LabelFile) -> Iterator[Laid]:
    values = [value for piece in pieces for value in piece.values]
    every, outside = place.counts(layer, max([*values, int(layer.max(initial=0))]))
    moved = place.on(layer)
    boxes = _boxes(moved)
    unit = file.grid.voxel_ml if file.grid.volume_known else None
    for piece in pieces:
        known = [value for value in piece.values if value < len(every)]
        before = int(every[known].sum())
        told = piece.before_ml if not piece.exact else None if unit is None else before * unit
        yield Laid(
            piece,
            _region(moved, piece, boxes, place.target),
            before,
            int(outside[known].sum()),
            told,
            place.turn is None,
        )


def _boxes(moved: Labels) -> dict[int, Box]:
    """The smallest box around every number."""
    if moved.dtype == np.bool_:
        found = Box.of(moved)
        return {} if found is None else {1: found}
    boxes = {}
    for value, around in enumerate(scipy.ndimage.find_objects(moved), start=1):
        if around is not None:
            (x, y, z) = around
            boxes[value] = Box((x.start, y.start, z.start), (x.stop, y.stop, z.stop))
    return boxes


def _region(moved: Labels, piece: Piece, boxes: dict[int, Box], target: Grid) -> Region:
    known = [boxes[value] for value in piece.values if value in boxes]
    if not known:
        return Region(np.zeros((1, 1, 1), dtype=np.bool_), None, target)
    low = np.min([box.start for box in known], axis=0)
    high = np.max([box.stop for box in known], axis=0)
    box = Box((int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2])))
    cut = moved[slices(box)]
    inside: BoolArray = cut if cut.dtype == np.bool_ else np.isin(cut, piece.values)
    return Region(np.ascontiguousarray(inside), box, target)
