"""`measure` and `compare_masks`: numbers with units, or the reason there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.masks import measures
from ...imaging.masks.overlap import compare
from ...imaging.region import Region
from ...imaging.volume import Volume
from ..desk.desk import Answer, Call, Desk
from ..desk.doubts import grey_unit
from ..desk.results import CUT, CompareResult, Greys, Level, Measurement, MeasureResult, Provenance, Shape
from .lengths import Measured, measured_lengths, said_lengths

What = Literal["volume", "diameters", "intensity", "shape", "radiomics"]
USUAL: tuple[What, ...] = ("volume", "diameters", "intensity", "shape")
CONVENTION = (
    "Surface voxels touch the outside by a face; distances between voxel centres; HD95 is the larger of both directed "
    "95th percentiles; ASSD the mean over both surfaces; volume_error is (a - b) / b; lesions are connected parts, "
    "matched when they share a voxel."
)


def measure(
    desk: Desk,
    call: Call,
    mask_ids: Annotated[list[str], Field(description="Masks to measure.", min_length=1, max_length=100)],
    what: Annotated[list[What] | None, Field(description="Default: all but radiomics (170 IBSI features).")] = None,
    level_mask_id: Annotated[
        str | None, Field(description="A vertebra: adds each mask's area (cm2) in the slice through its middle.")
    ] = None,
    allow_synthetic: Annotated[bool, Field(description="Synthetic images, too.")] = False,
) -> Answer:
    """Measure masks: volume (ml), diameters (mm), intensity (HU for CT), parts, centre, side, radiomics.

    longest_axial_mm, perpendicular_mm: RECIST 1.1, in one axial slice; craniocaudal_mm, transverse_mm,
    anteroposterior_mm: along the body. Unconnected `parts` are measured apart; diameters are the largest's.
    `across`: widths of vessels and airways. truncated_at: the scan cuts the mask, numbers are of the part inside.
    What is null has its reason.
    Example: measure(mask_ids=["msk_..."])
    """
    task = _Task(desk, frozenset(what or USUAL), level_mask_id, allow_synthetic)
    rows = []
    for row in _in_order(task, mask_ids):
        if call.cancelled.is_set():
            raise BadCall("The call was cancelled.")
        rows.append(row)
        call.report(len(rows) / len(mask_ids), f"measured {len(rows)} of {len(mask_ids)}")
    return Answer(" ".join(_said(row) for row in rows[:12])[:1500], MeasureResult(measurements=rows))


@dataclass(frozen=True)
class _Task:
    """What to measure, the same for every mask."""

    desk: Desk
    wanted: frozenset[str]
    level_mask_id: str | None
    allow_synthetic: bool


def _in_order(task: _Task, mask_ids: Sequence[str]) -> Iterator[Measurement]:
    """Measurements in the order asked for, made on as many threads as there are processors, four at most."""
    threads = min(4, os.cpu_count() or 1, len(mask_ids))
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda mask_id: _measured(task, mask_id), mask_ids)


def _measured(task: _Task, mask_id: str) -> Measurement:
    desk, wanted = task.desk, task.wanted
    record = desk.store.mask_record(mask_id)
    image = desk.store.volume(record.image_id)
    if image.synthetic and not task.allow_synthetic:
        raise BadCall(
            f"'{mask_id}' lies on a synthetic image. Its numbers are nobody's. Set allow_synthetic=true if you mean it."
        )
    region = desk.store.region(mask_id)
    faces = measures.truncated_faces(region, image)
    volume = measures.volume_ml(region) if "volume" in wanted else None
    lengths = measured_lengths(desk, record, region) if "diameters" in wanted else Measured()
    greys = measures.intensity(region, image) if "intensity" in wanted else None
    unit = grey_unit(desk.store.image(record.image_id), image) or "image units"
    reason = measures.no_number(region)
    level, level_reason = _level(task, region, record.image_id)
    features, notes = _radiomics(task, mask_id, image)
    return Measurement(
        mask_id=mask_id,
        structure=record.structure,
        voxels=record.voxels,
        volume_ml=None if volume is None else round(volume, 3),
        volume_is="not given" if volume is None else "cut by the edge" if faces else "complete",
        truncated_at=list(faces),
        diameters=lengths.lengths,
        across=lengths.across,
        parts=list(lengths.parts),
        intensity=None if greys is None else Greys.model_validate({"unit": unit, **_rounded(vars(greys), 3)}),
        shape=_shape(region) if "shape" in wanted else None,
        level=level,
        radiomics=features,
        reasons=list(dict.fromkeys(text for text in (reason, level_reason, *lengths.reasons, *notes) if text)),
        provenance=Provenance(tool="measure", version=__version__, inputs=[mask_id, record.image_id]),
    )


def _rounded(values: Mapping[str, Any], digits: int) -> dict[str, Any]:
    return {name: round(value, digits) if isinstance(value, float) else value for name, value in values.items()}


def _level(task: _Task, region: Region, image_id: str) -> tuple[Level | None, str]:
    if task.level_mask_id is None:
        return None, ""
    record = task.desk.store.mask_record(task.level_mask_id)
    if record.image_id != image_id:
        raise BadCall(f"'{task.level_mask_id}' belongs to another image. Give the level's mask on the same image.")
    area = measures.area_at_level(region, task.desk.store.region(task.level_mask_id))
    if area is None:
        return None, "No area at the level: its mask is empty or the voxel size unknown."
    return Level(area_cm2=round(area.area_cm2, 2), slice_index=area.slice_index, cut_by_edge=area.at_edge), ""


def _radiomics(task: _Task, mask_id: str, image: Volume) -> tuple[dict[str, float] | None, tuple[str, ...]]:
    if "radiomics" not in task.wanted:
        return None, ()
    from ...imaging.radiomics.features import radiomics

    found = radiomics(task.desk.store.mask(mask_id), image)
    return found.features or None, (*found.reasons, found.settings.sentence)


def _shape(region: Region) -> Shape | None:
    box = measures.bounding_box(region)
    if box is None:
        return None
    centre, surface = measures.centroid_mm(region), measures.surface(region)
    return Shape(
        parts=measures.part_count(region),
        centroid_mm=None if centre is None else [round(v, 2) for v in centre],
        bounding_box_index=[list(box.start), list(box.stop)],
        side=measures.side(region),
        mesh_volume_ml=None if surface is None else round(surface.volume_ml, 3),
        surface_cm2=None if surface is None else round(surface.area_cm2, 2),
        sphericity=None if surface is None else round(surface.sphericity, 3),
    )


def _said(row: Measurement) -> str:
    name = row.structure or row.mask_id
    parts = []
    if row.volume_ml is not None:
        parts.append(f"{row.volume_ml:g} ml{CUT if row.truncated_at else ''}")
    parts += filter(None, [said_lengths(row.diameters, row.across, row.parts)])
    if row.intensity is not None:
        parts.append(f"mean {row.intensity.mean:.1f} {row.intensity.unit}")
    if row.level is not None:
        parts.append(f"{row.level.area_cm2:g} cm2 at the level{CUT if row.level.cut_by_edge else ''}")
    if row.radiomics is not None:
        parts.append(f"{len(row.radiomics)} radiomics features")
    text = f"{name}: {', '.join(parts)}." if parts else f"{name}: {row.voxels} voxels."
    return " ".join([text, *row.reasons])


def compare_masks(
    desk: Desk,
    call: Call,
    mask_a: Annotated[str, Field(description="First mask handle.")],
    mask_b: Annotated[str, Field(description="Second, same grid; the truth, if any.")],
    tolerance_mm: Annotated[float, Field(description="Band for NSD, mm; 1 to 3 is usual.", gt=0, le=100)] = 1.0,
) -> Answer:
    """Compare two masks on one grid: Dice, IoU, NSD, HD95, ASSD (mm), volume difference (ml), lesion F1.

    For two models, readers or edits; more: merge_masks. volume_difference_ml is a minus b.
    Example: compare_masks(mask_a="msk_...", mask_b="msk_...")
    """
    del call
    found = compare(desk.store.region(mask_a), desk.store.region(mask_b), tolerance_mm=tolerance_mm)
    numbers = {name: value for name, value in vars(found).items() if name not in ("lesions", "reasons")}
    result = CompareResult.model_validate({
        **_rounded(numbers, 6),
        "lesions_a": found.lesions.first,
        "lesions_b": found.lesions.second,
        "lesion_f1": round(found.lesions.f1, 6),
        "convention": CONVENTION,
        "reasons": list(found.reasons),
    })  # fmt: skip
    text = f"Dice {found.dice:.3f}, IoU {found.iou:.3f}"
    if found.hd95_mm is not None:
        text += (
            f", NSD {found.nsd:.3f} at {tolerance_mm:g} mm, HD95 {found.hd95_mm:.2f} mm, ASSD {found.assd_mm:.2f} mm"
        )
    return Answer(" ".join([f"{text}.", *found.reasons]), result)
