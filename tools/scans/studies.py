"""`compare_studies`: two scans of one patient, lesion by lesion."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.masks.followup import Change, Lesion, changes, lesions_of, response
from ...imaging.volume import Volume
from ..desk.desk import Answer, Call, Desk
from ..desk.results import Provenance
from ..desk.results_review import LesionRow, StudiesResult

WEAK = 0.5  # correlation of grey values below which the two scans are not called aligned; our choice
Masks = list[str]


def compare_studies(
    desk: Desk,
    call: Call,
    before_mask_ids: Annotated[
        Masks, Field(description="Lesion masks, earlier image; each connected part is one lesion.", min_length=1)
    ],
    after_mask_ids: Annotated[Masks, Field(description="Lesion masks, later image.")],
    after_image_id: Annotated[str | None, Field(description="Needed when the later image has no lesion.")] = None,
    allow_synthetic: Annotated[bool, Field(description="Compare synthetic images, too.")] = False,
) -> Answer:
    """Follow lesions from an earlier to a later scan: match, new, gone, sizes (mm, ml), RECIST 1.1 category.

    Sizes are measured in each scan as it is; the alignment only says which lesion is which.
    Example: compare_studies(before_mask_ids=["msk_0123456789ab"], after_mask_ids=["msk_ba9876543210"])
    """
    before, after = _image(desk, before_mask_ids, None), _image(desk, after_mask_ids, after_image_id)
    if before == after:
        raise BadCall("Both sides lie on the same image. Give masks of two scans; compare_masks compares within one.")
    volumes = [desk.store.volume(image_id) for image_id in (before, after)]
    _check(volumes, allow_synthetic=allow_synthetic)
    from ...imaging.masks.registration import align  # SimpleITK's filters load slowly

    call.report(0.05, "laying the scans over each other")
    alignment = align(volumes[0], volumes[1])
    call.report(0.8, "matching lesions")
    earlier, later = (lesions_of([desk.store.region(m) for m in ids]) for ids in (before_mask_ids, after_mask_ids))
    found = changes(earlier, later, alignment)
    outcome = response(found)
    rows = [_row(change, before_mask_ids, after_mask_ids) for change in found]
    result = StudiesResult(
        lesions=rows,
        category=outcome.category,
        reason=outcome.reason,
        sum_before_mm=round(outcome.sum_before_mm, 1),
        sum_after_mm=round(outcome.sum_after_mm, 1),
        change_percent=None if outcome.change_percent is None else round(outcome.change_percent, 1),
        alignment=alignment.method,
        similarity=round(alignment.similarity_after, 3),
        moved_mm=round(alignment.moved_mm, 1),
        warnings=_warnings(rows, alignment.similarity_after, volumes),
        provenance=Provenance(
            tool="compare_studies", version=__version__, inputs=[before, after, *before_mask_ids, *after_mask_ids]
        ),
    )
    return Answer(_said(result), result)


def _image(desk: Desk, mask_ids: list[str], image_id: str | None) -> str:
    images = {desk.store.mask_record(mask_id).image_id for mask_id in mask_ids}
    if image_id is not None:
        images.add(desk.store.image(image_id).image_id)
    if len(images) > 1:
        raise BadCall(f"One study's masks lie on {len(images)} images. Give masks of one image per study.")
    if not images:
        raise BadCall("A study without masks needs its image. Pass after_image_id.")
    return images.pop()


def _check(volumes: list[Volume], *, allow_synthetic: bool) -> None:
    if any(volume.synthetic for volume in volumes) and not allow_synthetic:
        raise BadCall(
            "A study is a synthetic image. Its changes are nobody's. Set allow_synthetic=true if you mean it."
        )


def _row(change: Change, before_ids: list[str], after_ids: list[str]) -> LesionRow:
    one, two = change.earlier, change.later
    percent = None
    if one is not None and two is not None and change.state == "matched" and one.longest_mm:
        percent = round(100 * (two.longest_mm - one.longest_mm) / one.longest_mm, 1)
    return LesionRow(
        state=change.state,
        before=f"{before_ids[one.mask]}#{one.part}" if one else None,
        after=f"{after_ids[two.mask]}#{two.part}" if two else None,
        before_mm=round(one.longest_mm, 1) if one else None,
        after_mm=round(two.longest_mm, 1) if two else None,
        before_ml=round(one.volume_ml, 3) if one else None,
        after_ml=round(two.volume_ml, 3) if two else None,
        change_percent=percent,
        size_is="cut by the edge" if _cut(one) or _cut(two) else "complete",
    )


def _cut(lesion: Lesion | None) -> bool:
    return lesion is not None and lesion.at_edge


def _warnings(rows: list[LesionRow], similarity: float, volumes: list[Volume]) -> list[str]:
    found = []
    if similarity < WEAK:
        found.append(
            f"The scans agree poorly after alignment (correlation {similarity:.2f}): check the matches by eye."
        )
    if any(row.size_is == "cut by the edge" for row in rows):
        found.append("A lesion reaches the edge of its scan, so its sizes are those of the part inside.")
    if volumes[0].modality != volumes[1].modality:
        found.append("The scans are of different modalities: sizes may differ for that alone.")
    thick = max(max(volume.grid.spacing_mm) for volume in volumes)
    if thick > 5:
        found.append(f"Voxels are up to {thick:.1f} mm long; RECIST 1.1 asks for slices of at most 5 mm.")
    return found


def _said(result: StudiesResult) -> str:
    states = [row.state for row in result.lesions]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("matched", "new", "gone", "merged") if state in states
    )
    percent = "" if result.change_percent is None else f" ({result.change_percent:+.0f} %)"
    text = (
        f"RECIST 1.1: {result.category}. {result.reason} Targets {result.sum_before_mm:g} to {result.sum_after_mm:g} mm"
        f"{percent}; lesions: {counts or 'none'}."
    )
    return " ".join([text, *result.warnings])[:1500]
