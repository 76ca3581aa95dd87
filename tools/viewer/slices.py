"""What the viewer's page calls: open a scan, fetch a few slices, say what was clicked. Not for models."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ...imaging.errors import BadCall
from ...imaging.geometry import reorient_array
from ...imaging.hounsfield import unit_by_values
from ...imaging.pictures.legend import COLOURS
from ...imaging.pictures.planes import PLANES, Plane, RegionPlanes, cut
from ...imaging.pictures.windows import WINDOWS_HU, window_of
from ...imaging.volume import Grid
from ...store.records import MaskRecord
from ..desk.desk import Answer, Call, Desk
from ..desk.doubts import grey_unit
from ..files.aliases import alias_of_image
from .results import PointResult, SlicesResult, ViewerMask, ViewerPlane, ViewerResult, ViewerSlice

MOST_MASKS = 20
_LONGEST_SIDE = 640  # pixels; larger pictures are sent coarser
_CHUNK = 256 * 1024  # characters of base64 in one answer, as long as more than one slice is in it


def viewer_open(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="Handle of the scan.")],
    mask_ids: Annotated[
        list[str] | None,
        Field(description="At most 20; default: the latest.", max_length=MOST_MASKS),
    ] = None,
) -> Answer:
    """For the viewer page. Example: viewer_open(image_id="img_...")"""
    del call
    volume = desk.store.volume(image_id)
    grid = reorient_array(volume.array, volume.grid, "RAS")[1]
    every = desk.store.masks_of(image_id)
    chosen = [_mask(desk, image_id, mask_id) for mask_id in mask_ids] if mask_ids else list(every[-MOST_MASKS:])
    presets = {name: list(window) for name, window in WINDOWS_HU.items()} if unit_by_values(volume) == "HU" else {}
    middle = _middle(desk, chosen, grid.shape)
    result = ViewerResult(
        image_id=image_id,
        alias=alias_of_image(desk.store.image(image_id)),
        modality=volume.modality,
        unit=grey_unit(desk.store.image(image_id), volume),
        synthetic=volume.synthetic,
        shape=list(grid.shape),
        spacing_known=grid.spacing_known,
        window=[round(v, 3) for v in window_of(volume, "auto")],
        presets=presets,
        planes=[_plane(name, grid, middle) for name in PLANES],
        masks=[_shown(record, number, volume.grid) for number, record in enumerate(chosen)],
        colours=[_hex(colour) for colour in COLOURS],
        left_out=0 if mask_ids else len(every) - len(chosen),
    )
    return Answer(f"Viewer of {image_id} with {len(chosen)} masks.", result)


def viewer_slices(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="Handle of the scan.")],
    view: Annotated[Literal["axial", "coronal", "sagittal"], Field(description="Plane to cut.")],
    first: Annotated[int, Field(description="Slice, from 0; at most its plane's last.", ge=0)],
    count: Annotated[int, Field(description="At most so many; fewer may come.", ge=1, le=16)] = 8,
    mask_ids: Annotated[list[str] | None, Field(description="At most 20 masks.", max_length=MOST_MASKS)] = None,
) -> Answer:
    """For the viewer page. Example: viewer_slices(image_id="img_...", view="axial", first=0)"""
    del call
    volume = desk.store.volume(image_id)
    scan, grid = reorient_array(volume.array, volume.grid, "RAS")
    plane = PLANES[view]
    total = grid.shape[plane.axis]
    if first >= total:
        raise BadCall(f"Slice {first} is outside the scan. The {view} view has slices 0 to {total - 1}.")
    step = _step(plane, grid.shape)
    masks = [RegionPlanes(desk.store.region(_mask(desk, image_id, name).mask_id)) for name in mask_ids or []]
    made: list[ViewerSlice] = []
    size = 0
    for index in range(first, min(first + count, total)):
        one = _slice(scan, masks, plane, index, step)
        size += len(one.grey) + sum(map(len, one.masks))
        if made and size > _CHUNK:
            break
        made.append(one)
    text = f"{len(made)} {view} slices of {image_id} from {first}."
    return Answer(text, SlicesResult(view=view, slices=made))


def viewer_point(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="Handle of the scan.")],
    ras_index: Annotated[
        list[int],
        Field(description="Voxel, counted towards right, front, head.", min_length=3, max_length=3),
    ],
    positive: Annotated[bool, Field(description="true: belongs to it; false: does not.")] = True,
    mask_id: Annotated[str | None, Field(description="Mask it is about.")] = None,
) -> Answer:
    """For the viewer page. Example: viewer_point(image_id="img_...", ras_index=[31, 40, 12])"""
    del call
    volume = desk.store.volume(image_id)
    scan, grid = reorient_array(volume.array, volume.grid, "RAS")
    r, a, s = ras_index
    if not all(0 <= at < n for at, n in zip(ras_index, grid.shape, strict=True)):
        raise BadCall(f"The point {ras_index} is outside the scan of {' x '.join(map(str, grid.shape))} voxels.")
    point = grid.affine @ (r, a, s, 1)
    index = np.rint(np.linalg.inv(volume.grid.affine) @ point)[:3].astype(int)
    names = [
        record.structure or record.mask_id
        for record in desk.store.masks_of(image_id)
        if bool(_at(desk, record.mask_id, index))
    ]
    point_mm = [round(float(v), 2) for v in point[:3]] if grid.spacing_known else None
    where = f"({point_mm[0]:g}, {point_mm[1]:g}, {point_mm[2]:g}) mm RAS" if point_mm else f"voxel {index.tolist()}"
    said = (
        f"The user marked a point that {'belongs' if positive else 'does not belong'} to "
        f"{_called(desk, image_id, mask_id)}: {where}, value {float(scan[r, a, s]):g}, "
        f"inside {', '.join(names) or 'no mask'}. No mask was changed."
    )
    result = PointResult(
        index=index.tolist(),
        point_mm=point_mm,
        value=float(scan[r, a, s]),
        masks=names,
        positive=positive,
    )
    return Answer(said, result)


def _mask(desk: Desk, image_id: str, mask_id: str) -> MaskRecord:
    record = desk.store.mask_record(mask_id)
    if record.image_id != image_id:
        raise BadCall(f"The mask '{mask_id}' belongs to {record.image_id}, not to {image_id}.")
    return record


def _called(desk: Desk, image_id: str, mask_id: str | None) -> str:
    if mask_id is None:
        return "a structure without a mask yet"
    return f"{_mask(desk, image_id, mask_id).structure or 'the mask'} ({mask_id})"


def _shown(record: MaskRecord, number: int, grid: Grid) -> ViewerMask:
    volume_ml = record.voxels * abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000
    return ViewerMask(
        mask_id=record.mask_id,
        name=record.structure or record.mask_id,
        colour=_hex(COLOURS[number % len(COLOURS)]),
        volume_ml=round(volume_ml, 2) if grid.volume_known else None,
        verdict=str(record.facts.get("verdict", "")),
    )


def _hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _middle(desk: Desk, records: Sequence[MaskRecord], shape: tuple[int, int, int]) -> tuple[int, ...]:
    """RAS index where to start: the middle of the masks, or of the scan."""
    parts = [RegionPlanes(desk.store.region(record.mask_id)) for record in records if record.voxels]
    if not parts:
        return tuple(n // 2 for n in shape)
    low = np.min([part.start for part in parts], axis=0)
    high = np.max([np.add(part.start, part.array.shape) for part in parts], axis=0)
    return tuple(int(v) for v in (low + high) // 2)


def _plane(name: str, grid: Grid, middle: Sequence[int]) -> ViewerPlane:
    plane, spacing = PLANES[name], grid.spacing_mm
    step = _step(plane, grid.shape)
    return ViewerPlane(
        view=name,
        axis=plane.axis,
        across=plane.across,
        down=plane.down,
        slices=grid.shape[plane.axis],
        width=-(-grid.shape[plane.across] // step),
        height=-(-grid.shape[plane.down] // step),
        step=step,
        pixel_mm=[round(spacing[plane.across] * step, 4), round(spacing[plane.down] * step, 4)],
        letters=list(plane.letters),
        start=middle[plane.axis],
    )


def _step(plane: Plane, shape: Sequence[int]) -> int:
    return -(-max(shape[plane.across], shape[plane.down]) // _LONGEST_SIDE)


def _slice(
    scan: npt.NDArray[np.generic], masks: Sequence[RegionPlanes], plane: Plane, index: int, step: int
) -> ViewerSlice:
    grey = cut(scan, plane, index)[::step, ::step]
    numbers, slope, intercept = _as_int16(grey)
    bits = [np.packbits(mask.cut(plane, index)[::step, ::step].astype(np.bool_)).tobytes() for mask in masks]
    return ViewerSlice(
        index=index,
        slope=slope,
        intercept=intercept,
        grey=_packed(numbers.tobytes()),
        masks=[_packed(row) if any(row) else "" for row in bits],
    )


def _as_int16(grey: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int16], float, float]:
    """The values as int16 with slope and intercept; exact for whole numbers that fit."""
    low, high = float(grey.min()), float(grey.max())
    if grey.dtype.kind in "iub" and low >= -32768 and high <= 32767:
        return grey.astype("<i2"), 1.0, 0.0
    slope = (high - low) / 65535 or 1.0
    numbers = np.rint((grey.astype(np.float64) - low) / slope) - 32768
    return numbers.astype("<i2"), slope, low + 32768 * slope


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 3)).decode("ascii")


def _at(desk: Desk, mask_id: str, index: npt.NDArray[np.int_]) -> bool:
    region = desk.store.region(mask_id)
    inside = index - np.array(region.start)
    if region.box is None or (inside < 0).any() or (inside >= region.array.shape).any():
        return False
    return bool(region.array[tuple(inside)])
