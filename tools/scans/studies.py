"""`compare_studies`: two scans of one patient, lesion by lesion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from ... import __version__
from ...imaging.dicom.source import differing_patient
from ...imaging.errors import BadCall, Failed
from ...imaging.masks.followup import (
    LEAST_VOXELS,
    SPECK_MM,
    Change,
    Followed,
    Lesion,
    Parts,
    State,
    follow,
    mark_unseen,
    not_compared,
    parts_of,
    response,
)
from ...imaging.volume import Volume
from ..desk.desk import Answer, Call, Desk
from ..desk.results import Provenance
from ..desk.results_review import LesionRow, StudiesResult

if TYPE_CHECKING:  # loads SimpleITK, slowly
    from ...imaging.masks.registration import Alignment

WEAK = 0.5  # correlation of grey values below which the two scans are not called aligned; our choice
SHARED = 0.5  # of each body, that the other scan must show for the scans to be compared; our choice
MOSTLY_SHARED = 0.8  # below it, a warning; our choice
Masks = list[str]


def compare_studies(
    desk: Desk,
    call: Call,
    before_mask_ids: Annotated[Masks, Field(description="Earlier lesions; each connected part is one.", min_length=1)],
    after_mask_ids: Annotated[Masks, Field(description="Later lesions.")],
    after_image_id: Annotated[str | None, Field(description="If the later image has no lesion.")] = None,
    allow_synthetic: Annotated[bool, Field(description="As in measure.")] = False,
    allow_different_ids: Annotated[
        bool, Field(description="Only if the user says that the two named patients are one.")
    ] = False,
) -> Answer:
    """Follow lesions from an earlier to a later scan: match, new, gone, sizes (mm, ml), RECIST 1.1 category.

    Sizes are measured in each scan as it is. Two patients are refused. Category "cannot be compared": the scans do
    not match or show different parts; never call it a response.
    Example: compare_studies(before_mask_ids=["msk_..."], after_mask_ids=["msk_..."])
    """
    before, after = _image(desk, before_mask_ids, None), _image(desk, after_mask_ids, after_image_id)
    if len({desk.store.image(image_id).content_hash for image_id in (before, after)}) == 1:
        raise BadCall("Both sides lie on the same image. Give masks of two scans; compare_masks compares within one.")
    volumes = [desk.store.volume(image_id) for image_id in (before, after)]
    _check(volumes, allow_synthetic=allow_synthetic)
    identity = _same_patient(desk, before, after, allow_different_ids=allow_different_ids)
    call.report(0.05, "laying the scans over each other")
    alignment = _aligned(volumes)
    call.report(0.8, "matching lesions")
    earlier, later = (parts_of([desk.store.region(m) for m in ids]) for ids in (before_mask_ids, after_mask_ids))
    hindered = _hindered(alignment)
    followed = _followed(earlier, later, alignment, volumes, hindered)
    outcome = response(followed.changes, hindered=hindered)
    rows = [_row(change, before_mask_ids, after_mask_ids) for change in followed.changes]
    result = StudiesResult(
        lesions=rows,
        category=outcome.category,
        reason=outcome.reason,
        sum_before_mm=round(outcome.sum_before_mm, 1),
        sum_after_mm=None if outcome.sum_after_mm is None else round(outcome.sum_after_mm, 1),
        change_percent=None if outcome.change_percent is None else round(outcome.change_percent, 1),
        alignment=alignment.method if alignment else "failed",
        similarity=round(alignment.similarity_after, 3) if alignment else None,
        moved_mm=round(alignment.moved_mm, 1) if alignment else None,
        warnings=[*identity, *_warnings(rows, alignment, volumes, followed)],
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


def _same_patient(desk: Desk, before: str, after: str, *, allow_different_ids: bool) -> list[str]:
    """What to say about whose scans these are; values of the headers are not among it."""
    differing = differing_patient(desk.store.sources.get(before), desk.store.sources.get(after))
    if differing is None:
        return ["Whether both scans show one patient was not checked: not both carry a patient's ID or birth date."]
    if not differing:
        return []
    if not allow_different_ids:
        raise BadCall(
            f"The two scans name different patients: they differ in {', '.join(differing)}. Only scans of one patient are "
            "compared. Give another scan, or set allow_different_ids=true if the user says that it is one person."
        )
    return [f"The scans name different patients ({', '.join(differing)} differ): the user must vouch that it is one."]


def _aligned(volumes: list[Volume]) -> Alignment | None:
    """The later scan laid over the earlier one; None when the search finds no overlap."""
    from ...imaging.masks.registration import align  # SimpleITK's filters load slowly

    try:
        return align(volumes[0], volumes[1])
    except Failed:
        return None


def _hindered(alignment: Alignment | None) -> str:
    """Why these scans cannot be compared as a whole; "" when they can."""
    if alignment is None:
        return "The scans could not be laid over each other; they may not show the same part of the body."
    if alignment.similarity_after < WEAK:
        return (
            f"The scans do not match after alignment (correlation {alignment.similarity_after:.2f}, at least {WEAK:g} is "
            "needed); they may show different parts or patients."
        )
    shown = min(alignment.shown_earlier, alignment.shown_later)
    if shown < SHARED:
        return (
            f"The fields of view differ: one scan shows only {100 * shown:.0f} % of the body that the other shows "
            f"(at least {100 * SHARED:g} % are needed)."
        )
    return ""


def _followed(
    earlier: Parts, later: Parts, alignment: Alignment | None, volumes: list[Volume], hindered: str
) -> Followed:
    if alignment is None or hindered:
        return not_compared(earlier, later)
    followed = follow(earlier, later, alignment)
    return replace(followed, changes=mark_unseen(followed.changes, alignment, volumes[0].grid, volumes[1].grid))


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


def _warnings(
    rows: list[LesionRow], alignment: Alignment | None, volumes: list[Volume], followed: Followed
) -> list[str]:
    found = []
    shown = min(alignment.shown_earlier, alignment.shown_later) if alignment else 0.0
    if alignment is not None and shown < MOSTLY_SHARED:
        found.append(
            f"The fields of view differ: one scan shows {100 * shown:.0f} % of the body that the other shows. What lies "
            "outside is not compared."
        )
    if followed.specks_before or followed.specks_after:
        found.append(
            f"Left out as too small to be lesions (shorter than {SPECK_MM:g} mm or fewer than {LEAST_VOXELS} voxels): "
            f"{followed.specks_before} parts before, {followed.specks_after} after."
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
    counts = ", ".join(f"{states.count(state)} {state}" for state in get_args(State) if state in states)
    percent = "" if result.change_percent is None else f" ({result.change_percent:+.0f} %)"
    if result.sum_after_mm is None:
        text = f"Cannot be compared: no response category. {result.reason} Lesions: {counts or 'none'}."
    else:
        text = (
            f"RECIST 1.1: {result.category}. {result.reason} Targets {result.sum_before_mm:g} to "
            f"{result.sum_after_mm:g} mm{percent}; lesions: {counts or 'none'}."
        )
    return " ".join([text, *result.warnings])[:1500]
