"""NRRD files with layers of labels, as 3D Slicer writes segmentations (.seg.nrrd): an axis of layers, names in the header.

Source: the format as 3D Slicer documents it (https://slicer.readthedocs.io/en/latest/user_guide/modules/segmentations.html,
"Segmentation file (.seg.nrrd) format") and Slicer/Slicer `Libs/vtkSegmentationCore` (BSD-style): SegmentN_Name,
SegmentN_LabelValue, SegmentN_Layer; files before 4.11 have a layer of 0 and 1 for each segment and say no value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...guards.doors import ANYWHERE, Door
from ...volume import Grid
from .layout import HEADER_BYTES, Layout, damaged
from .nrrd import nrrd_keys
from .reading import read_layout, read_voxels

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_KEY = re.compile(r"Segment(\d{1,4})_(Name|ID|LabelValue|Layer)")


@dataclass(frozen=True)
class Segment:
    """One segment as the header tells it."""

    name: str
    layer: int
    value: int


@dataclass(frozen=True)
class Layers:
    """The file.

    Attributes:
        array: (layer x y z).
        segments: as the header lists them; () when it lists none.
        oriented: the header tells which way the patient lies.
    """

    array: npt.NDArray[Any]
    grid: Grid
    segments: tuple[Segment, ...]
    oriented: bool


def read_layers(path: Path, door: Door = ANYWHERE) -> Layers:
    """What an NRRD with an axis of layers, or without one, holds.

    Raises:
        BadCall: damaged, or not three axes of space beside the layers.
    """
    with door.open(path) as file:
        layout = read_layout(file, path.name)
        file.seek(0)
        segments = _segments(nrrd_keys(file.read(HEADER_BYTES), path.name), path.name)
        axis = _layer_axis(layout, path.name)
        array = read_voxels(file, layout, path, door).reshape(layout.shape, order="F")
    layered = array[None] if axis is None else np.moveaxis(array, axis, 0)
    if any(not 0 <= one.layer < len(layered) for one in segments):
        raise damaged(path.name, "a segment of its header lies in a layer that is not there")
    kept = [a for a in range(len(layout.shape)) if a != axis]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = layout.directions[:3, kept], layout.origin[:3]
    affine[:3] *= layout.scale_mm
    x, y, z = layered.shape[1:]
    return Layers(
        layered, Grid((x, y, z), _LPS_TO_RAS @ affine, layout.spacing_said), segments, layout.orientation_said
    )


def _layer_axis(layout: Layout, name: str) -> int | None:
    """The first or the last of four axes: the one that runs along no direction of space."""
    if len(layout.shape) == 3:
        return None
    if len(layout.shape) == 4:
        for axis in (0, 3):
            kept = [a for a in range(4) if a != axis]
            if abs(np.linalg.det(layout.directions[:3, kept])) > 0:
                return axis
    raise damaged(name, "its axes are not three of space and at most one of layers")


def _segments(keys: dict[str, str], name: str) -> tuple[Segment, ...]:
    told: dict[int, dict[str, str]] = {}
    for key, value in keys.items():
        met = _KEY.fullmatch(key)
        if met is not None:
            told.setdefault(int(met[1]), {})[met[2]] = value.strip()
    found = []
    for number, facts in sorted(told.items()):
        layer, value = facts.get("Layer", str(number)), facts.get("LabelValue", "1")
        if not (re.fullmatch(r"\d{1,4}", layer) and re.fullmatch(r"\d{1,9}", value)):
            raise damaged(name, "a segment of its header has no number for its value or layer")
        if "LabelValue" not in facts and "Layer" not in facts and len(told) == 1:
            layer = "0"
        found.append(Segment(facts.get("Name") or facts.get("ID") or "", int(layer), int(value)))
    return tuple(found)
