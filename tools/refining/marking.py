"""Marks as callers give them, as the log keeps them, and as workers get them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NotRequired

import numpy as np
import numpy.typing as npt
import skimage
from pydantic import ConfigDict
from typing_extensions import TypedDict

from ...imaging.errors import BadCall
from ...imaging.volume import Grid
from ...models.promptable.steps import Bits, Mark, Step, settled
from .frames import Frame

MOST_POINTS = 200  # in one call
MOST_PLACES = 10_000  # of outlines and strokes in one call
STRAY = 0.5  # voxels that an outline may leave its slice


def _undescribed(schema: dict[str, Any]) -> None:
    schema.pop("description", None)  # the argument says it; lists of tools are read by models


class Pointed(TypedDict):
    """Something a person points at."""

    __pydantic_config__ = ConfigDict(extra="forbid", json_schema_extra=_undescribed)  # type: ignore[misc]  # pydantic reads it
    kind: Literal["point", "box", "scribble", "lasso"]
    at: list[list[float]]
    positive: NotRequired[bool]


Kept = dict[str, Any]
"""A mark in the log: kind, positive, and `at` in voxel indices of the file; boxes as first and last + 1."""


def kept_marks(prompts: Sequence[Pointed], frame: Frame) -> list[Kept]:
    """What is to be kept of the prompts; each point by itself.

    Raises:
        BadCall: nothing was pointed at, a place is none or lies outside, a shape encloses nothing, or there are too many.
    """
    if not prompts:
        raise BadCall(
            'Nothing was pointed at. Give prompts, e.g. [{"kind": "point", "at": [[x, y, z]]}], and their frame.'
        )
    points = sum(len(one["at"]) for one in prompts if one["kind"] == "point")
    places = sum(len(one["at"]) for one in prompts)
    if points > MOST_POINTS or places > MOST_PLACES:
        raise BadCall(
            f"{max(points, places)} places in one call are too many: {MOST_POINTS} points and {MOST_PLACES} places of lines "
            "are taken. For so much use a scribble, a lasso or a box, or import the mask with import_mask."
        )
    found = [kept for one in prompts for kept in _kept(one, frame)]
    _refuse_opposites(found, frame.grid)
    return found


def step_of(marks: Sequence[Mapping[str, Any]], slab: Sequence[int] | None, grid: Grid) -> Step:
    """Marks of the log as a worker gets them."""
    found = tuple(mark_of(one, grid) for one in marks)
    return Step(found, None if slab is None else (int(slab[0]), int(slab[1]), int(slab[2])))


def mark_of(kept: Mapping[str, Any], grid: Grid) -> Mark:
    """A mark of the log, drawn on the grid."""
    kind, positive, at = kept["kind"], bool(kept["positive"]), kept["at"]
    if kind == "point":
        x, y, z = at[0]
        return Mark("point", positive, at=(x, y, z))
    if kind == "box":
        return Mark("box", positive, box=tuple((a, b) for a, b in zip(*at, strict=True)))
    places = np.array(at, dtype=np.float64)
    bits = _line(places) if kind == "scribble" else _area(places, int(kept["axis"]), grid)
    return Mark("scribble" if kind == "scribble" else "lasso", positive, bits=bits)


def said(kept: Mapping[str, Any]) -> str:
    """A mark in words, with its place: "the positive point at [12, 30, 7]"."""
    at = [[round(float(one), 1) for one in place] for place in kept["at"]]
    where = at[0] if kept["kind"] == "point" else f"{at[0]} to {at[-1]}"
    where = str(where).replace(".0,", ",").replace(".0]", "]")
    return f"the {'positive' if kept['positive'] else 'negative'} {kept['kind']} at {where}"


def _kept(prompt: Pointed, frame: Frame) -> list[Kept]:
    kind, positive, at = prompt["kind"], prompt.get("positive", True), prompt["at"]
    least = {"point": 1, "box": 2, "scribble": 1, "lasso": 3}[kind]
    if len(at) < least or (kind == "box" and len(at) != 2):
        wanted = {
            "point": "one or more",
            "box": "exactly two corners",
            "scribble": "one or more",
            "lasso": "three or more",
        }
        raise BadCall(f"A {kind} came with {len(at)} places. It takes {wanted[kind]}. Write at=[[x, y, z], ...].")
    if kind == "box":
        return [{"kind": kind, "positive": positive, "at": _box(at, frame)}]
    places = np.array([frame.index(one) for one in at])
    if kind == "point":
        last = np.array(frame.grid.shape) - 1
        voxels = np.clip(np.floor(places + 0.5), 0, last).astype(int).tolist()
        return [{"kind": kind, "positive": positive, "at": [voxel]} for voxel in voxels]
    kept: Kept = {"kind": kind, "positive": positive, "at": np.round(places, 3).tolist()}
    if kind == "lasso":
        kept["axis"] = _flat_axis(places, frame.axis_of(at[0]))
    _one_picture(at, frame)
    if mark_of(kept, frame.grid).bits is None:
        raise BadCall("The lasso encloses no voxel. Draw it wider, or use a point or a scribble.")
    return [kept]


def _box(at: Sequence[Sequence[float]], frame: Frame) -> list[list[int]]:
    """First and last + 1: of voxels as `edit_mask` counts them, of mm every voxel whose middle lies between the corners."""
    if frame.name in ("index", "ras_index"):
        low, high = (np.array(one, dtype=np.float64) for one in at)
        if len(low) == 2 == len(high) and frame.grid.is_2d:
            low, high = np.append(low, 0.0), np.append(high, 1.0)
        if low.shape != (3,) or high.shape != (3,) or not (high > low).all():
            raise BadCall(f"The box {list(map(list, at))} is empty. Write [[from x, y, z], [to]], ends left out.")
        corners = np.array([frame.index(one.tolist()) for one in (low, high - 1)])
        first, last = np.round(corners.min(0)), np.round(corners.max(0))
    else:
        corners = np.array([frame.index(one) for one in at])
        _one_picture(at, frame)
        first, last = np.ceil(corners.min(0) - 1e-6), np.floor(corners.max(0) + 1e-6)
        cut = frame.axis_of(at[0])
        if cut is not None:
            first[cut] = last[cut] = np.round(corners[0, cut])
        if (last < first).any():
            raise BadCall(
                f"The box {list(map(list, at))} holds the middle of no voxel. Make it larger, or use a point."
            )
    shape = np.array(frame.grid.shape)
    return [np.clip(first, 0, shape - 1).astype(int).tolist(), (np.clip(last, 0, shape - 1) + 1).astype(int).tolist()]


def _one_picture(at: Sequence[Sequence[float]], frame: Frame) -> None:
    if not frame.spots:
        return
    slices = {(spot.plane, spot.index) for x, y in at for spot in frame.spots if spot.ras_index(x, y) is not None}
    if len(slices) > 1:
        raise BadCall("One mark runs across two slices of the picture. Draw it in one of them.")


def _flat_axis(places: npt.NDArray[np.float64], cut: int | None) -> int:
    """The axis of the file along which an outline does not move."""
    moved = places.max(0) - places.min(0)
    flat = [axis for axis in range(3) if moved[axis] <= STRAY]
    if cut is not None and cut in flat:
        return cut
    if len(flat) != 1:
        why = "lies in no slice" if not flat else "is a line"
        raise BadCall(f"The lasso {why}. Its places must lie in one slice of the scan and enclose something.")
    return flat[0]


def _line(places: npt.NDArray[np.float64]) -> Bits | None:
    """Voxels along a line through the places."""
    parts = [places[:1]]
    for a, b in pairwise(places):
        count = max(1, int(np.ceil(2 * np.abs(b - a).max())))
        parts.append(a + (b - a) * (np.arange(1, count + 1) / count)[:, None])
    voxels = np.floor(np.concatenate(parts) + 0.5).astype(int)
    low = np.maximum(voxels.min(0), 0)
    array = np.zeros(voxels.max(0) - low + 1, np.bool_)
    array[tuple(np.maximum(voxels - low, 0).T)] = True
    return Bits.of(array, (int(low[0]), int(low[1]), int(low[2])))


def _area(places: npt.NDArray[np.float64], axis: int, grid: Grid) -> Bits | None:
    """Voxels whose middle an outline encloses, in its slice; None where it encloses nothing."""
    rows, columns = (n for n in range(3) if n != axis)
    x, y = places[:, rows], places[:, columns]
    if abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) < 1e-6:  # twice the area, by Gauss's formula
        return None
    flat = np.zeros((grid.shape[rows], grid.shape[columns]), np.bool_)
    flat[skimage.draw.polygon(x, y, flat.shape)] = True
    start = [0, 0, 0]
    start[axis] = int(np.floor(places[0, axis] + 0.5))
    return Bits.of(np.expand_dims(flat, axis), (start[0], start[1], start[2]))


def _refuse_opposites(marks: Sequence[Kept], grid: Grid) -> None:
    """Marks of one call that say opposite things of one voxel: nobody can tell which was meant."""
    _, clashes = settled([mark_of(one, grid) for one in marks])
    if clashes:
        one = clashes[0]
        raise BadCall(
            f"Two marks of this call contradict each other at voxel {list(one.at)}: {said(marks[one.earlier])} and "
            f"{said(marks[one.later])}. Nothing was drawn. Leave one of them out."
        )
