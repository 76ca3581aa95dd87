"""`measure` and `compare_masks`: numbers with units, or the reason there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from .. import __version__
from ..imaging import measures
from ..imaging.errors import BadCall
from ..imaging.overlap import compare
from .desk import Answer, Call, Desk
from .results import CompareResult, Greys, Lengths, Measurement, MeasureResult, Provenance, Shape

What = Literal["volume", "diameters", "intensity", "shape"]
CONVENTION = (
    "Surface voxels touch the outside by a face; distances between voxel centres; HD95 is the larger of both directed "
    "95th percentiles; ASSD the mean over both surfaces."
)


def measure(
    desk: Desk,
    call: Call,
    mask_ids: Annotated[
        list[str], Field(description="Handles from segment or edit_mask.", min_length=1, max_length=100)
    ],
    what: Annotated[list[What] | None, Field(description="Default: all.")] = None,
    allow_synthetic: Annotated[
        bool, Field(description="Measure on synthetic images, too; never report those as a patient's.")
    ] = False,
) -> Answer:
    """Measure masks: volume (ml), diameters (mm), intensity (HU for CT), parts, centre and side.

    longest_axial_mm and perpendicular_mm are RECIST-like, within one axial slice. Where the mask
    touches the scan's edge, truncated_at is set and volume and diameters are lower bounds. Values
    that cannot be given are null, with the reason. Example: measure(mask_ids=["msk_0123456789ab"])
    """
    wanted: set[str] = set(what or ("volume", "diameters", "intensity", "shape"))
    rows = []
    for number, mask_id in enumerate(mask_ids):
        if call.cancelled.is_set():
            raise BadCall("The call was cancelled.")
        rows.append(_measured(desk, mask_id, wanted, allow_synthetic=allow_synthetic))
        call.report((number + 1) / len(mask_ids), f"measured {number + 1} of {len(mask_ids)}")
    return Answer(" ".join(_said(row) for row in rows[:12])[:1500], MeasureResult(measurements=rows))


def _measured(desk: Desk, mask_id: str, wanted: set[str], *, allow_synthetic: bool) -> Measurement:
    record = desk.store.mask_record(mask_id)
    image = desk.store.volume(record.image_id)
    if image.synthetic and not allow_synthetic:
        raise BadCall(
            f"'{mask_id}' lies on a synthetic image. Its numbers are nobody's. Set allow_synthetic=true if you mean it."
        )
    mask = desk.store.mask(mask_id)
    faces = measures.truncated_faces(mask, image)
    volume = measures.volume_ml(mask) if "volume" in wanted else None
    lengths = measures.diameters(mask) if "diameters" in wanted else None
    greys = measures.intensity(mask, image) if "intensity" in wanted else None
    reason = measures.no_number(mask)
    return Measurement(
        mask_id=mask_id,
        structure=record.structure,
        voxels=record.voxels,
        volume_ml=None if volume is None else round(volume, 3),
        volume_is="not given" if volume is None else "lower bound" if faces else "complete",
        truncated_at=list(faces),
        diameters=None if lengths is None else Lengths.model_validate(_rounded(vars(lengths), 2)),
        intensity=None
        if greys is None
        else Greys.model_validate(
            {"unit": "HU" if image.modality == "ct" else "image units", **_rounded(vars(greys), 3)}
        ),
        shape=_shape(desk, mask_id) if "shape" in wanted else None,
        reasons=[reason] if reason else [],
        provenance=Provenance(tool="measure", version=__version__, inputs=[mask_id, record.image_id]),
    )


def _rounded(values: Mapping[str, Any], digits: int) -> dict[str, Any]:
    return {name: round(value, digits) if isinstance(value, float) else value for name, value in values.items()}


def _shape(desk: Desk, mask_id: str) -> Shape | None:
    mask = desk.store.mask(mask_id)
    box = measures.bounding_box(mask)
    if box is None:
        return None
    centre = measures.centroid_mm(mask)
    return Shape(
        parts=measures.part_count(mask),
        centroid_mm=None if centre is None else [round(v, 2) for v in centre],
        bounding_box_index=[list(box.start), list(box.stop)],
        side=measures.side(mask),
    )


def _said(row: Measurement) -> str:
    name = row.structure or row.mask_id
    parts = []
    if row.volume_ml is not None:
        parts.append(f"{'at least ' if row.truncated_at else ''}{row.volume_ml:g} ml")
    if row.diameters is not None:
        parts.append(f"{row.diameters.longest_axial_mm:g} x {row.diameters.perpendicular_mm:g} mm axial")
    if row.intensity is not None:
        parts.append(f"mean {row.intensity.mean:.1f} {row.intensity.unit}")
    text = f"{name}: {', '.join(parts)}." if parts else f"{name}: {row.voxels} voxels."
    return " ".join([text, *row.reasons])


def compare_masks(
    desk: Desk,
    call: Call,
    mask_a: Annotated[str, Field(description="First mask handle.")],
    mask_b: Annotated[str, Field(description="Second mask handle, on the same grid.")],
    tolerance_mm: Annotated[float, Field(description="Band for NSD; 1 to 3 mm is usual.", gt=0, le=100)] = 1.0,
) -> Answer:
    """Compare two masks on one grid: Dice, IoU, NSD, HD95, ASSD (mm), volume difference (ml).

    Use it for two models, two readers, or before and after an edit. Distances are null, with a
    reason, when a mask is empty or the voxel size is unknown. volume_difference_ml is a minus b.
    Example: compare_masks(mask_a="msk_0123456789ab", mask_b="msk_ba9876543210", tolerance_mm=2)
    """
    del call
    found = compare(desk.store.mask(mask_a), desk.store.mask(mask_b), tolerance_mm=tolerance_mm)
    numbers = {name: value for name, value in vars(found).items() if name not in ("hd_mm", "reasons")}
    result = CompareResult.model_validate(
        {**_rounded(numbers, 5), "convention": CONVENTION, "reasons": list(found.reasons)}
    )
    text = f"Dice {found.dice:.3f}, IoU {found.iou:.3f}"
    if found.hd95_mm is not None:
        text += (
            f", NSD {found.nsd:.3f} at {tolerance_mm:g} mm, HD95 {found.hd95_mm:.2f} mm, ASSD {found.assd_mm:.2f} mm"
        )
    return Answer(" ".join([f"{text}.", *found.reasons]), result)
