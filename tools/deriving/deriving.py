"""`derive`: numbers made of masks, each with its formula, inputs and interval, or the reason there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ... import __version__
from ...imaging.derived.estimates import NoNumberError
from ...imaging.errors import BadCall
from ..desk.desk import Answer, Call, Desk
from ..desk.results import Provenance
from . import greys, references, vessels, volumes
from .given import Asked, Found
from .results import DerivedResult, DerivedRow

QUANTITIES: Mapping[str, Callable[[Asked], Found]] = {
    "ejection_fraction": volumes.ejection_fraction,
    "stroke_volume": volumes.stroke_volume,
    "myocardial_mass": volumes.myocardial_mass,
    "asymmetry": volumes.asymmetry,
    "ratio": volumes.ratio,
    "difference": volumes.difference,
    "sum": volumes.volume_sum,
    "doubling_time": volumes.doubling_time,
    "hu_difference": greys.hu_difference,
    "suv": greys.suv,
    "calcium_score": greys.calcium_score,
    "tissue_areas": greys.tissue,
    "vessel_diameters": vessels.vessel_diameters,
    "stenosis": vessels.degree_of_stenosis,
    "percentile": references.percentile,
}
if TYPE_CHECKING:
    Quantity = str
else:
    Quantity = Literal[tuple(QUANTITIES)]  # what callers may say stands in the schema


def derive(
    desk: Desk,
    call: Call,
    quantity: Annotated[Quantity, Field(description="What to derive.")],
    mask_ids: Annotated[
        list[str] | None,
        Field(
            description="Heart: one chamber in 2+ phases. doubling_time: earlier first. tissue_areas: a vertebra, then masks "
            "to look into. stenosis: vessel, then a healthy stretch.",
            max_length=100,
        ),
    ] = None,
    image_id: Annotated[str | None, Field(description="tissue_areas, with slice_index.")] = None,
    slice_index: Annotated[int | None, Field(description="From 0, as in measure.", ge=0)] = None,
    reference_mm: Annotated[float | None, Field(description="stenosis: healthy mm.", gt=0, le=100)] = None,
    days: Annotated[float | None, Field(description="Days between; or dates, or DICOM's.", gt=0)] = None,
    dates: Annotated[list[str] | None, Field(description="Two, YYYY-MM-DD.")] = None,
    allow_synthetic: Annotated[bool, Field(description="As in measure.")] = False,
) -> Answer:
    """Derive numbers from masks, each with formula, inputs, 90 % interval, and warnings to quote.

    suv: max, peak, mean, MTV, TLG; edit_mask makes iso-contours. Masks may lie on several images of one patient.
    Example: derive(quantity="ratio", mask_ids=["msk_...", "msk_..."])
    """
    del call
    asked = Asked(
        desk, tuple(mask_ids or ()), image_id, slice_index, reference_mm, days, tuple(dates or ()), allow_synthetic
    )
    try:
        found = QUANTITIES[quantity](asked)
    except NoNumberError as reason:
        raise BadCall(f"No {quantity.replace('_', ' ')}: {reason}") from None
    doubts = [doubt for one in asked.masks(0, 100, "masks") for doubt in one.doubts]
    inputs = [*asked.mask_ids, *([image_id] if image_id else [])]
    result = DerivedResult(
        values=found.rows,
        warnings=list(dict.fromkeys([*found.warnings, *doubts])),
        provenance=Provenance(tool="derive", version=__version__, inputs=inputs),
    )
    return Answer(" ".join([*(_said(one) for one in result.values), *result.warnings])[:1500], result)


def _said(one: DerivedRow) -> str:
    unit = f" {one.unit}" if one.unit else ""
    ends = ["unknown" if end is None else f"{end:.4g}" for end in (one.low_90, one.high_90)]
    interval = "" if ends == ["unknown", "unknown"] else f" (90 %: {ends[0]} to {ends[1]})"
    return f"{one.quantity.replace('_', ' ')} {one.value:.4g}{unit}{interval}: {one.formula}."
