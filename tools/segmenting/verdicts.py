"""From a decoded mask to a verdict: a claim that can be defended, or the reason there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...imaging.masks import measures
from ...imaging.plausibility.levels import Placed
from ...imaging.plausibility.priors import Priors
from ...imaging.region import Region
from ...imaging.volume import Mask, Volume
from ...models.card import Card
from ...models.inference.calibration import KNOWN_DICE
from ...retrieval.anatomy.lesions import is_lesion
from ...retrieval.anatomy.structures import StructureTable
from ..desk.results import Verdict

SURE = 0.7  # mean sigmoid inside the mask from which a structure counts as present
LEAST_VOXELS = 8
# Set on the trunk's CT crops, heads and limbs of the training side (docs/verdicts.md).
WRONG_HEIGHT = 0.3  # less of the mask than this at heights where the structure may be: it is something else
MOSTLY_WRONG = 0.5  # less than this is doubtful: a liver that runs to the pelvis
HARDLY_SHOWN = 0.1  # less of the structure than this inside the scan: hardly to be found there
SLIVER = 0.1  # a piece at the scan's edge below this share of the smallest plausible volume tells nothing
CUT_SHARE = 0.5  # share of a side face inside the body from which the scan counts as cut there
LEAST_COMPANY = 0.3  # 4 to 8 % in two limbs, 68 and 76 % in two heads
AIR_HU, AIR_SHARE = -300.0, 0.15  # brighter is body: in HU, and else as a share of the grey values' range
SYNTHETIC_UNMEASURED = "The image is synthetic, so no volume is given; measure with allow_synthetic=true to get one."
UNKNOWN_KIND = (
    "The kind of scan is not known, so what a network of one kind misses in it proves nothing, and what it sees may be "
    "something else. Say modality ('ct', 'mr', 'pet', 'us' or 'xr') to open_image if you know it."
)
BADLY_KNOWN = (
    "the model finds too few of them on scans kept aside (list_models tells its Dice) to say that it is not there."
)
ASSUMED_AXES = (
    "Nobody has checked in which axes '{engine}' was taught ({axes} is assumed), so sides may be swapped and everything "
    "wrong. Run `ostensor engines check {engine} --image SCAN --mask LABELS` (engine_orientation_unknown)."
)
FEW_MISSED = "in scans of held-out patients where so little was seen, it was there with a chance of {chance}."
SIDE_FIELD_MM = 120.0  # only scans at least this wide show which half of the body is which


@dataclass(frozen=True)
class View:
    """What the rest of the scan tells about where it was made.

    Attributes:
        seen: other structures the same model found.
        placed: where in the body the scan lies; None when it cannot be told.
        company: share of the model's structures that came out in a plausible size; None when that tells nothing.
    """

    seen: tuple[str, ...] = ()
    placed: Placed | None = None
    company: float | None = None


@dataclass(frozen=True)
class Chance:
    """The chance that a structure is in the scan, fitted on held-out patients, and its limits."""

    value: float
    absent_below: float
    present_from: float

    def __str__(self) -> str:
        return f"{self.value:.2f}" if self.value >= 0.01 else "below 0.01"


@dataclass(frozen=True)
class Sureness:
    """How good a mask is thought to be.

    Attributes:
        value: 0 to 1; the Dice to expect, or without a calibration the mean sigmoid inside the mask; None where the model
            tells nothing of the kind.
        sure_from: from here on the structure counts as present.
        chance: that it is in the scan at all; None where the model's weights are not calibrated for that.
    """

    value: float | None
    sure_from: float = SURE
    calibrated: bool = False
    chance: Chance | None = None


def knows(card: Card, structure: str) -> bool:
    """Whether a network was measured to find a structure well enough that its finding nothing means something."""
    measured = card.measured.get(structure)
    return measured is not None and measured.dice >= KNOWN_DICE


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


def judge(
    structure: str,
    mask: Mask,
    image: Volume,
    confidence: Sureness,
    card: Card,
    table: StructureTable,
    view: View,
) -> Judged:
    """The verdict on a mask that is not empty.

    `outside_view` when the scan shows another part of the body; `absent` when the mask is no evidence.
    """
    voxels = int(mask.array.sum())
    volume = measures.volume_ml(mask)
    faces = measures.truncated_faces(mask, image)
    side = measures.side(mask) if _shows_both_sides(mask) else None
    where = _elsewhere(structure, mask, view)
    warnings, doubts = [], list(where.doubts)
    if voxels < LEAST_VOXELS:
        doubts.append(f"Only {voxels} voxels were marked.")
    if image.modality == "unknown":
        warnings.append(UNKNOWN_KIND)
    if confidence.value is None:
        doubts += _doubts_of_engine(structure, card)
    elif confidence.value < confidence.sure_from:
        what = "The Dice to expect" if confidence.calibrated else "The mean sigmoid inside the mask"
        doubts.append(f"{what}, {confidence.value:.2f}, is below {confidence.sure_from:g}.")
    chance = confidence.chance
    if chance is not None and chance.value < chance.present_from:
        doubts.append(f"The chance that it is in the scan at all, {chance}, is below {chance.present_from:g}.")
    checked, wrong_side = _side(structure, side, mask, table)
    if wrong_side:
        doubts.append(wrong_side)
    odd = _odd_size(structure, volume, bool(faces), card)
    if odd and confidence.value is None and structure not in card.measured:
        doubts.append(odd)  # of an engine that nobody has measured it is more likely a fault than a finding
    elif odd:  # what people look for: never a veto
        warnings.append(odd)
    if not mask.grid.spacing_known:
        warnings.append(measures.NO_SPACING)
    if image.synthetic:
        warnings.append(SYNTHETIC_UNMEASURED)
    if is_lesion(table, structure) and card.notes:
        warnings.append(card.notes)
    if faces:
        warnings.append(
            f"The structure reaches the {', '.join(faces)} edge of the scan: its volume is that of the part inside."
        )
    if faces and volume is not None and volume < SLIVER * _plausible(structure, card)[0]:
        doubts.append("Only a sliver reaches into the scan, too little to tell what it belongs to.")
    if _is_half(structure, card) and _cut_on_one_side(image):
        doubts.append(
            "The body is cut off at one side of the scan, so its middle, which tells left from right, is unsure."
        )
    gone, why = _gone(structure, confidence, view, where, image, table)
    return Judged(
        verdict=gone or ("unsure" if doubts else "present"),
        reason=why or " ".join(doubts),
        volume_ml=None if image.synthetic else volume,
        complete=not faces,
        truncated_at=faces,
        side=side,
        side_checked=checked,
        warnings=tuple(warnings),
    )


def _doubts_of_engine(structure: str, card: Card) -> list[str]:
    """Why a mask of an engine that tells nothing of its own sureness may not count."""
    doubts = []
    if card.facts.get("orientation_from") == "assumed":
        doubts.append(ASSUMED_AXES.format(engine=card.name, axes=card.facts.get("orientation")))
    measured = card.measured.get(structure)
    if measured is not None and measured.dice < KNOWN_DICE:
        doubts.append(
            f"On {measured.cases} labelled scan{'s' if measured.cases > 1 else ''} here '{card.name}' reached a Dice of "
            f"{measured.dice:.2f}, below {KNOWN_DICE:g}."
        )
    return doubts


@dataclass(frozen=True)
class _Elsewhere:
    """Why a mask is certainly something else ("" if it need not be), and what else is doubtful."""

    certain: str
    doubts: tuple[str, ...] = ()


def _gone(
    structure: str,
    confidence: Sureness,
    view: View,
    where: _Elsewhere,
    image: Volume,
    table: StructureTable,
) -> tuple[Verdict | None, str]:
    """`outside_view` or `absent` with the reason, where a mask stands for nothing; else None.

    Nothing is absent in a scan of unknown kind, and no lesion is.
    """
    if where.certain:
        return "outside_view", where.certain
    shown = view.placed.in_view.get(structure, 1.0) if view.placed is not None else 1.0
    if confidence.value is None:
        return None, ""
    told = f"What little was marked as {structure} (Dice to expect {confidence.value:.2f}) is no evidence of it"
    if shown < HARDLY_SHOWN and confidence.value < confidence.sure_from:
        return "outside_view", f"{told}, and by the other structures found the scan shows {shown:.0%} of it."
    chance = confidence.chance
    if (
        chance is None
        or chance.value >= chance.absent_below
        or image.modality == "unknown"
        or is_lesion(table, structure)
    ):
        return None, ""
    return "absent", f"{told}: {FEW_MISSED.format(chance=chance)}"


def _elsewhere(structure: str, mask: Mask, view: View) -> _Elsewhere:
    placed = view.placed
    if view.company is not None and view.company < LEAST_COMPANY:
        told = f"Only {view.company:.0%} of what the model knows came out in a plausible size"
        return _Elsewhere(f"{told}, so the scan seems to show another part of the body than a head.")
    if placed is None:
        return _Elsewhere("")
    if not placed.has_order:
        return _Elsewhere(
            f"Something was marked as {structure}, but nothing that was found lies as in the trunk of a body: the scan "
            "seems to show another region or to be of another kind."
        )
    fits = placed.at_right_height(structure, Region.of(mask))
    if fits is None or fits >= MOSTLY_WRONG:
        return _Elsewhere("")
    shown = placed.in_view[structure]
    told = f"{1 - fits:.0%} of what was marked lies at heights of the body where no {structure} is"
    if shown < HARDLY_SHOWN and fits < WRONG_HEIGHT:
        return _Elsewhere(f"{told}, and by the other structures found the scan shows {shown:.0%} of it.")
    return _Elsewhere("", (f"{told}.",))


def _plausible(structure: str, card: Card) -> tuple[float, float]:
    """Smallest and largest volume in ml: of the model's training bodies and the table of priors together.

    A network that was taught on one head knows no other; the table has more.
    """
    ranges = [card.plausible_ml[structure]] if structure in card.plausible_ml else []
    known = Priors.bundled().get(structure, "volume_ml")
    ranges += [(known.low, known.high)] if known is not None else []
    return min((low for low, _high in ranges), default=0.0), max((high for _low, high in ranges), default=float("inf"))


def _is_half(structure: str, card: Card) -> bool:
    """Whether the model finds both halves of the pair and parts them at the body's middle."""
    return structure in card.facts.get("sided", {})


def _cut_on_one_side(image: Volume) -> bool:
    """Whether the body goes on beyond the left or the right end of the scan, but not beyond both."""
    if image.grid.is_2d:
        return False
    axis = next(n for n, code in enumerate(image.grid.axis_codes) if code in "RL")
    faces = [np.asarray(np.moveaxis(image.array, axis, 0)[n], dtype=np.float32) for n in (0, -1)]
    sample = np.asarray(image.array[::4, ::4, ::4], dtype=np.float32)
    low, high = np.percentile(sample, (1, 99))
    border = AIR_HU if image.modality == "ct" else low + AIR_SHARE * (high - low)
    cut = [float((face > border).mean()) >= CUT_SHARE for face in faces]
    return cut[0] != cut[1]


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
    low, high = _plausible(structure, card)
    if volume is None:
        return ""
    if volume > high or (volume < low and not truncated):
        return f"{volume:.1f} ml is outside the plausible {low:g} to {high:g} ml."
    return ""
