"""From an empty mask to a verdict: absent only where that can be defended."""

from __future__ import annotations

from dataclasses import dataclass

from ...imaging.volume import Volume
from ...models.inference.calibration import EMPTY_BELOW
from ...retrieval.anatomy.lesions import is_lesion
from ...retrieval.anatomy.structures import StructureTable
from ..desk.results import Verdict
from .verdicts import BADLY_KNOWN, FEW_MISSED, HARDLY_SHOWN, LEAST_COMPANY, UNKNOWN_KIND, Chance, View


@dataclass(frozen=True)
class Missed:
    """An empty mask.

    Attributes:
        peak: greatest sigmoid anywhere; None where the model tells none.
        chance: that the structure is in the scan for all that; None where the model's weights are not calibrated for that.
        is_known: without a chance: whether the network finds the structure well enough to miss it with reason (`knows`).
    """

    peak: float | None
    chance: Chance | None = None
    is_known: bool = True


def judge_missing(
    structure: str, missed: Missed, view: View, image: Volume, table: StructureTable
) -> tuple[Verdict, str]:
    """The verdict on an empty mask.

    `absent` needs a known kind of scan, other structures seen by the same model, and a small chance that this one was
    overlooked; where no chance was fitted, a model that finds such structures well and came nowhere near marking this one.
    A lesion is never absent, for small and faint ones are missed.

    Args:
        view: nothing seen by the same model means that it looks elsewhere.
    """
    if is_lesion(table, structure):
        highest = "" if missed.peak is None else f" (highest {missed.peak:.2f})"
        return "unsure", f"No {structure} was marked{highest}. Small and faint ones are missed."
    placed = view.placed
    strange = view.company is not None and view.company < LEAST_COMPANY
    if missed.peak is None and not view.seen:
        return "unsure", (
            f"Neither the {structure} nor anything else was marked, and this engine tells nothing of how sure it is of that."
        )
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
    chance = missed.chance
    if chance is not None:
        if chance.value >= chance.absent_below:
            return "unsure", (
                f"No {structure} was marked, but with a chance of {chance} it was overlooked, too much to say that it is not "
                f"there (below {chance.absent_below:g})."
            )
        return (
            "absent",
            f"Nothing was marked, while {near} were found in the same scan: {FEW_MISSED.format(chance=chance)}",
        )
    if missed.peak is None:
        return "unsure", f"No {structure} was marked, but this engine tells nothing of how sure it is of that."
    if not missed.is_known:
        return "unsure", f"No {structure} was found, but {BADLY_KNOWN}"
    if missed.peak >= EMPTY_BELOW:
        return "unsure", (
            f"No voxel reached the threshold, but the highest, {missed.peak:.2f}, came too near to say that the "
            f"{structure} is not there (below {EMPTY_BELOW:g})."
        )
    return "absent", (
        f"No voxel came near the threshold (highest {missed.peak:.2f}), while {near} were found in the same scan."
    )
