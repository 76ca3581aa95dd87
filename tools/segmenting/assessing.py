"""`assess_mask`: reasons to doubt a mask, by method.

A further method is a function of the case that answers rows, and a line in `METHODS`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.plausibility.assess import assess
from ...imaging.plausibility.checks import Check
from ...imaging.region import Region
from ...imaging.volume import Volume
from ...models import catalogue
from ...models.inference.views import agreement
from ...store.records import MaskRecord
from ...workers.protocol import ViewsRequest
from ..desk.desk import Answer, Call, Desk
from ..desk.results import Provenance
from ..desk.results_review import AssessResult, CheckRow
from .second_opinions import engine_opinions, opinion_of_another

Method = Literal["plausibility", "second_opinion", "second_engine", "agreement"]
USUAL: tuple[Method, ...] = ("plausibility", "second_opinion")


@dataclass(frozen=True)
class Case:
    """What every method gets.

    Attributes:
        structure: canonical name the mask is judged as.
        others: further structures of the same image by name, relatives of the structure left out.
    """

    desk: Desk
    call: Call
    record: MaskRecord
    region: Region
    image: Volume
    structure: str
    others: Mapping[str, Region]


def assess_mask(
    desk: Desk,
    call: Call,
    mask_id: Annotated[str, Field(description="The mask to judge.")],
    methods: Annotated[
        list[Method] | None,
        Field(
            description="Default: plausibility; second_opinion: a calibrated model's own mask. "
            "second_engine: any other model's. agreement: of six slightly changed views, with an entropy map."
        ),
    ] = None,
    structure: Annotated[str | None, Field(description="Judge it as this; default: as segmented.")] = None,
) -> Answer:
    """Look for reasons to doubt a mask: volume, side, place, overlap, parts, holes, intensity, symmetry, border, another model.

    Segment neighbours first: they make it sharper. A failed check says what is odd, not what is true.
    Example: assess_mask(mask_id="msk_...")
    """
    case = _case(desk, call, mask_id, structure)
    seen = [METHODS[method](case) for method in dict.fromkeys(methods or USUAL)]
    rows = [row for one in seen for row in one.rows]
    asked = [row for row in rows if row.passed is not None]
    failed = [row for row in asked if not row.passed]
    result = AssessResult(
        mask_id=mask_id,
        structure=case.structure,
        plausible=not failed if asked else None,
        checks=rows,
        entropy_image_id=next((one.entropy_image_id for one in seen if one.entropy_image_id), None),
        provenance=Provenance(tool="assess_mask", version=__version__, inputs=[mask_id, case.record.image_id]),
    )
    told = [row.reason for row in rows if row.passed is None and row.value is not None]
    return Answer(" ".join([_said(case.structure, asked, failed), *told])[:1500], result)


def _said(structure: str, asked: list[CheckRow], failed: list[CheckRow]) -> str:
    if failed:
        return f"{structure}: {len(failed)} of {len(asked)} checks failed. {' '.join(row.reason for row in failed)}"[
            :1500
        ]
    return f"{structure}: {len(asked)} checks passed ({', '.join(row.check for row in asked)})." if asked else (
        f"{structure}: nothing could be checked."
    )  # fmt: skip


def _case(desk: Desk, call: Call, mask_id: str, structure: str | None) -> Case:
    record = desk.store.mask_record(mask_id)
    name = structure or record.structure
    if name is None:
        raise BadCall(f"'{mask_id}' has no name. Pass structure, for example structure='liver'.")
    row = desk.table.get(name)
    if row is None and structure is not None:
        nearest = ", ".join(found.name for found, _score in desk.table.search(structure, 3))
        raise BadCall(f"Unknown structure '{structure[:60]}'. Closest: {nearest}. Call find_structures to search.")
    canonical = row.name if row is not None else name
    kin = desk.table.kin(canonical)
    others = {
        other.structure: desk.store.region(other.mask_id)
        for other in desk.store.masks_of(record.image_id)
        if other.structure and other.mask_id != mask_id and other.structure not in kin and other.voxels
    }
    image = desk.store.volume(record.image_id)
    return Case(desk, call, record, desk.store.region(mask_id), image, canonical, others)


@dataclass(frozen=True)
class Seen:
    """What a method found; `entropy_image_id` where it made a map."""

    rows: tuple[CheckRow, ...]
    entropy_image_id: str | None = None


def _plausibility(case: Case) -> Seen:
    found = assess(case.region, case.structure, image=case.image, others=case.others)
    return Seen(tuple(_row("plausibility", check) for check in found.checks))


def _second_opinion(case: Case) -> Seen:
    found = opinion_of_another(case.desk, case.call, case.record, case.structure)
    return Seen((_row("second_opinion", found),))


def _second_engine(case: Case) -> Seen:
    found = engine_opinions(case.desk, case.call, case.record, case.structure)
    return Seen(tuple(_row("second_engine", check) for check in found))


def _row(method: Method, check: Check) -> CheckRow:
    return CheckRow(
        method=method,
        check=check.name,
        passed=check.passed,
        value=check.value,
        allowed=_allowed(check),
        reason=check.reason,
    )


def _allowed(check: Check) -> str:
    """The limits and where they come from, or "" when the check could not be asked."""
    if check.passed is None:
        return ""
    if check.low is None:
        limits = f"at most {check.high:g}"
    else:
        limits = f"at least {check.low:g}" if check.high is None else f"{check.low:g} to {check.high:g}"
    return f"{limits} ({check.source})"


def _agreement(case: Case) -> Seen:
    """Segment six slightly changed views of the scan with the mask's own model; keep the entropy of their votes."""
    made_with = case.record.facts.get("provenance", {}).get("model")
    if made_with is None:
        raise BadCall(
            f"'{case.record.mask_id}' was not made by segment, so no model can be asked again. Leave agreement out."
        )
    image = case.desk.store.image(case.record.image_id)
    card = catalogue.card(made_with)
    request = ViewsRequest(
        request_id=f"views-{uuid.uuid4().hex[:12]}",
        array_path=str(case.desk.store.array_path(image.image_id)),
        grid=image.grid,
        modality=image.modality,
        synthetic=image.synthetic,
        image_key=image.content_hash,
        model=card.name,
        structures=(case.record.structure or case.structure,),
    )
    found = case.desk.workers.run(
        request, on_progress=case.call.report, cancelled=case.call.cancelled, memory_mb=2 * card.memory_mb
    )
    agreed = agreement([mask.array for mask in found.masks])
    entropy = Volume(agreed.entropy, image.grid, "unknown", image.synthetic)
    name = f"entropy of {len(found.masks)} views of {case.record.mask_id}, nats"
    kept = case.desk.store.add_image(entropy, source_name=name, facts={"derived_from": case.record.mask_id})
    low, high = min(agreed.voxels), max(agreed.voxels)
    size = f"{low * image.grid.voxel_ml:.3g} to {high * image.grid.voxel_ml:.3g} ml" if image.grid.volume_known else f"{low} to {high} voxels"  # fmt: skip
    row = CheckRow(
        method="agreement",
        check="views agree",
        passed=agreed.dice >= LEAST_AGREEMENT,
        value=round(agreed.dice, 4),
        allowed=f"at least {LEAST_AGREEMENT:g} (mean Dice of {len(found.masks)} views; our choice)",
        reason=f"Six slightly changed views of the scan agree with a Dice of {agreed.dice:.2f}; they mark {size}.",
    )
    return Seen((row,), kept.image_id)


LEAST_AGREEMENT = 0.7  # mean Dice between views; see docs/uncertainty.md
METHODS: dict[Method, Callable[[Case], Seen]] = {
    "plausibility": _plausibility,
    "second_opinion": _second_opinion,
    "second_engine": _second_engine,
    "agreement": _agreement,
}
