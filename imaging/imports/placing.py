"""From the grid of a label file to that of an image: by renumbering voxels where they coincide, else by the nearest one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..geometry import resample
from ..volume import Grid
from .labels import Labels

NEAR_VOXELS = 0.05
"""How far a voxel centre may be off another for both to be the same voxel: header rounding moves it less, a resampling
by half a voxel or a shifted grid more. Our choice."""
BY_SHAPE = "The voxel size is not known on both sides: the file was matched by its shape alone."


@dataclass(frozen=True)
class Place:
    """How labels come onto an image.

    Attributes:
        turn: (3 3), a signed permutation: image index = turn @ file index + shift; None where voxels do not coincide.
        whole: the file covers the image voxel by voxel.
        differs: in what the grids differ, "" when they are one.
    """

    source: Grid
    target: Grid
    turn: npt.NDArray[np.int64] | None
    shift: npt.NDArray[np.int64]
    whole: bool
    differs: str
    notes: tuple[str, ...] = ()

    def on(self, layer: Labels) -> Labels:
        """The labels (x y z) on the image's grid."""
        if self.turn is None:
            return resample(layer, self.source, self.target, order=0)
        axes = np.abs(self.turn).argmax(axis=1)
        moved = layer.transpose(tuple(int(a) for a in axes))
        signs = self.turn[range(3), axes]
        moved = moved[tuple(slice(None, None, int(sign)) for sign in signs)]
        if self.whole:
            return np.ascontiguousarray(moved)
        start = np.where(signs > 0, self.shift, self.shift - np.array(moved.shape) + 1)
        low, high = np.maximum(start, 0), np.minimum(start + moved.shape, self.target.shape)
        found = np.zeros(self.target.shape, dtype=layer.dtype)
        if (high > low).all():
            inner = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            outer = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
            found[inner] = moved[outer]
        return found

    def counts(self, layer: Labels, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Voxels of every value up to `most` in the file, and how many of them lie outside the image."""
        inside_index = np.linalg.inv(self.target.affine) @ self.source.affine
        if self.turn is not None:
            inside_index = np.eye(4)
            inside_index[:3, :3], inside_index[:3, 3] = self.turn, self.shift
        every, outside = np.zeros(most + 1, dtype=np.int64), np.zeros(most + 1, dtype=np.int64)
        limits = np.array(self.target.shape) - 0.5
        for x in range(layer.shape[0]):  # plane by plane: the places of a whole scan would fill the memory
            y, z = np.nonzero(layer[x])
            values = layer[x, y, z].astype(np.int64)
            every += np.bincount(values, minlength=most + 1)
            if self.whole:
                continue
            points = np.stack([np.full(len(y), x), y, z], axis=1) @ inside_index[:3, :3].T + inside_index[:3, 3]
            gone = ((points < -0.5) | (points >= limits)).any(axis=1)
            outside += np.bincount(values[gone], minlength=most + 1)
        return every, outside


def find_place(source: Grid, target: Grid, *, by_index: bool = False) -> Place:
    """How the voxels of `source` lie in `target`.

    Args:
        by_index: the file tells no place and its voxels are the image's in their order.

    Raises:
        BadCall: no voxel size on one side, and other shapes or directions.
    """
    if by_index or not (source.spacing_known and target.spacing_known):
        return _by_shape(source, target, by_index=by_index)
    found = _coinciding(source, target)
    if found is None:
        return Place(
            source, target, None, np.zeros(3, dtype=np.int64), whole=False, differs=differences(source, target)
        )
    turn, shift = found
    last = np.array(source.shape) - 1
    corners = np.array([shift, turn @ last + shift])
    whole = bool((corners.min(axis=0) == 0).all() and (corners.max(axis=0) == np.array(target.shape) - 1).all())
    return Place(source, target, turn, shift, whole=whole, differs="" if whole else differences(source, target))


def _coinciding(source: Grid, target: Grid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Turn and shift, where every voxel centre of the one falls on the grid of the other."""
    change = np.linalg.inv(target.affine) @ source.affine
    turn, shift = np.rint(change[:3, :3]).astype(np.int64), np.rint(change[:3, 3]).astype(np.int64)
    if not np.array_equal(turn @ turn.T, np.eye(3, dtype=np.int64)):
        return None
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (np.array(source.shape) - 1)
    off = corners @ (change[:3, :3] - turn).T + (change[:3, 3] - shift)
    return (turn, shift) if np.abs(off).max() <= NEAR_VOXELS else None


def _by_shape(source: Grid, target: Grid, *, by_index: bool) -> Place:
    same = by_index or np.allclose(_directions(source), _directions(target), atol=1e-3)
    if source.shape != target.shape or not same:
        what = f"shape {_by(source.shape)}, the image's {_by(target.shape)}" if same else "its axes run elsewhere"
        raise BadCall(
            f"The file or the image tells no voxel size, so it can only be matched voxel by voxel, and it differs: {what}. "
            "Give a mask of the same shape, or save it with the image's header."
        )
    notes = () if not source.spacing_known and not target.spacing_known else (BY_SHAPE,)
    identity = np.eye(3, dtype=np.int64)
    return Place(source, target, identity, np.zeros(3, dtype=np.int64), whole=True, differs="", notes=notes)


def _directions(grid: Grid) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = grid.affine[:3, :3] / np.array(grid.spacing_mm)
    return found


def differences(source: Grid, target: Grid) -> str:
    """In what two grids differ, in words: shape, voxel size, direction of the axes, place."""
    said = []
    if source.shape != target.shape:
        said.append(f"shape {_by(source.shape)}, the image's {_by(target.shape)}")
    if not np.allclose(source.spacing_mm, target.spacing_mm, rtol=1e-3):
        said.append(f"voxels of {_mm(source)}, the image's {_mm(target)}")
    if source.axis_codes != target.axis_codes:
        said.append(f"axes {source.axis_codes}, the image's {target.axis_codes}")
    elif not np.allclose(_directions(source), _directions(target), atol=1e-3):
        angle = np.degrees(np.arccos(np.clip((_directions(source) * _directions(target)).sum(axis=0).min(), -1, 1)))
        said.append(f"axes turned by {angle:.2g} degrees")
    middle = [g.affine @ (*((np.array(g.shape) - 1) / 2), 1) for g in (source, target)]
    apart = float(np.linalg.norm(middle[0] - middle[1]))
    if apart > 0.01 * min(target.spacing_mm):
        said.append(f"its middle {apart:.3g} mm off")
    return "; ".join(said) or "voxel centres a little off"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _mm(grid: Grid) -> str:
    return " x ".join(f"{s:.4g}" for s in grid.spacing_mm) + " mm"
