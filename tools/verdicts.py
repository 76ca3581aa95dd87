"""From a decoded mask to a verdict: a claim that can be defended, or the reason there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..imaging import measures
from ..imaging.volume import Mask, Volume
from ..models.card import Card
from ..retrieval.structures import StructureTable
from .results import Verdict

SURE = 0.7  # mean sigmoid inside the mask from which a structure counts as present
LEAST_VOXELS = 8
SIDE_FIELD_MM = 120.0  # only scans at least this wide show which half of the body is which


@dataclass(frozen=True)
class Judged:
    """A verdict and everything it rests on."""

    verdict: Verdict
    reason: str
    volume_ml: float | None
    complete: bool
    truncated_at: tuple[str, ...]
    side: str | None
    side_checked: bool
    warnings: tuple[str, ...]


def judge(structure: str, mask: Mask, image: Volume, confidence: float, card: Card, table: StructureTable) -> Judged:
    """The verdict on a mask that is not empty."""
    voxels = int(mask.array.sum())
    volume = measures.volume_ml(mask)
    faces = measures.truncated_faces(mask, image)
    side = measures.side(mask) if _shows_both_sides(mask) else None
    warnings, doubts = [], []
    if voxels < LEAST_VOXELS:
        doubts.append(f"Only {voxels} voxels were marked.")
    if confidence < SURE:
        doubts.append(f"Confidence {confidence:.2f} is below {SURE}.")
    checked, wrong_side = _side(structure, side, mask, table)
    if wrong_side:
        doubts.append(wrong_side)
    odd = _odd_size(structure, volume, bool(faces), card)
    if odd:
        warnings.append(odd)
    if not mask.grid.spacing_known:
        warnings.append(measures.NO_SPACING)
    if image.synthetic:
        warnings.append("The image is synthetic, so no volume is given; measure with allow_synthetic=true to get one.")
    if faces:
        warnings.append(f"The structure reaches the {', '.join(faces)} edge of the scan: its volume is a lower bound.")
    if _far_too_small(structure, volume, bool(faces), card):
        doubts.append("The volume is less than a fifth of the smallest plausible one.")
    if volume is not None and volume > card.plausible_ml.get(structure, (0, float("inf")))[1]:
        doubts.append("The volume is above what the training bodies suggest.")
    return Judged(
        verdict="unsure" if doubts else "present",
        reason=" ".join(doubts),
        volume_ml=None if image.synthetic else volume,
        complete=not faces,
        truncated_at=faces,
        side=side,
        side_checked=checked,
        warnings=tuple(warnings),
    )


def judge_missing(structure: str, peak: float, seen: Sequence[str]) -> tuple[Verdict, str]:
    """The verdict on an empty mask.

    Args:
        peak: greatest sigmoid anywhere.
        seen: other structures the same model found in the scan; none means it looks elsewhere.
    """
    if not seen:
        return "outside_view", (
            f"The model found neither the {structure} nor anything else it knows, so the scan probably shows another "
            "part of the body or is of another kind."
        )
    near = ", ".join(seen[:3])
    return "absent", f"No voxel reached the threshold (highest {peak:.2f}), while {near} were found in the same scan."


def _shows_both_sides(mask: Mask) -> bool:
    return mask.grid.spacing_known and max(measures.covered_mm(mask.grid)) >= SIDE_FIELD_MM


def _side(structure: str, found: str | None, mask: Mask, table: StructureTable) -> tuple[bool, str]:
    row = table.get(structure)
    wanted = row.side if row is not None else ""
    if wanted not in ("left", "right") or found is None:
        return False, ""
    if found in ("left", "right") and found != wanted:
        return True, f"It lies on the patient's {found}, but '{structure}' was asked for."
    return True, ""


def _odd_size(structure: str, volume: float | None, truncated: bool, card: Card) -> str:
    if volume is None or structure not in card.plausible_ml:
        return ""
    low, high = card.plausible_ml[structure]
    if volume > high or (volume < low and not truncated):
        return f"{volume:.1f} ml is outside the plausible {low:g} to {high:g} ml."
    return ""


def _far_too_small(structure: str, volume: float | None, truncated: bool, card: Card) -> bool:
    if volume is None or truncated or structure not in card.plausible_ml:
        return False
    return volume < card.plausible_ml[structure][0] / 5
