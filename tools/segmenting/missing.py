"""From an empty mask to a verdict: absent only where that can be defended."""

from __future__ import annotations

from dataclasses import dataclass

from ...imaging.volume import Volume
from ...retrieval.anatomy.lesions import is_lesion
from ...retrieval.anatomy.structures import StructureTable
from ..desk.results import Verdict
from .verdicts import BADLY_KNOWN, HARDLY_SHOWN, LEAST_COMPANY, UNKNOWN_KIND, View


@dataclass(frozen=True)
class Missed:
    """An empty mask.

    Attributes:
        peak: greatest sigmoid anywhere.
        limit: below it an empty mask is evidence of absence.
        is_known: whether the network finds the structure well enough to miss it with reason (`knows`).
    """

    peak: float
    limit: float
    is_known: bool = True


def judge_missing(
    structure: str, missed: Missed, view: View, image: Volume, table: StructureTable
) -> tuple[Verdict, str]:
    """The verdict on an empty mask.

    `absent` needs a known kind of scan, other structures seen by the same model, a model that finds such structures well,
    and that it came nowhere near marking this one; a lesion is never absent, for small and faint ones are missed.

    Args:
        view: nothing seen by the same model means that it looks elsewhere.
    """
    if is_lesion(table, structure):
        return "unsure", f"No {structure} was marked (highest {missed.peak:.2f}). Small and faint ones are missed."
    placed = view.placed
    strange = view.company is not None and view.company < LEAST_COMPANY
    if not view.seen or strange or (placed is not None and placed.found and not placed.has_order):
        return "outside_view", (
            f"The model found neither the {structure} nor anything else it knows where it should be, so the scan "
            "probably shows another part of the body or is of another kind."
        )
    near = ", ".join(view.seen[:3])
    if image.modality == "unknown":
        return "unsure", f"No {structure} was found. {UNKNOWN_KIND}"
    if placed is not None and placed.in_view.get(structure, 1.0) < HARDLY_SHOWN:
        return "outside_view", (
            f"No {structure} was found, and the heights of what was found ({near}) tell that the scan shows "
            f"{placed.in_view[structure]:.0%} of it."
        )
    if not missed.is_known:
        return "unsure", f"No {structure} was found, but {BADLY_KNOWN}"
    if missed.peak >= missed.limit:
        return "unsure", (
            f"No voxel reached the threshold, but the highest, {missed.peak:.2f}, came too near to say that the "
            f"{structure} is not there (below {missed.limit:g})."
        )
    return "absent", (
        f"No voxel came near the threshold (highest {missed.peak:.2f}), while {near} were found in the same scan."
    )
