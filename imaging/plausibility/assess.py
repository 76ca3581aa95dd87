"""Could this mask be that structure? Checks a careful reader makes, each with its number and what is allowed.

Organ filters in the spirit of UKBOB (Bourigault et al., ICCV 2025), extended by neighbours and by the
mask's border in the scan. A failed check is a reason to look again, never to delete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cc3d
import fill_voids
import numpy as np

from ..hounsfield import unit_by_values
from ..masks import measures
from ..region import Region, shared_voxels, slices
from ..volume import Mask, Volume
from .border import Alike, Surroundings, border_shift, flat_end, like_inside
from .checks import Check as Check
from .checks import judged, unknown
from .place import body_offset, place_error
from .priors import Priors, partner_of, side_of

# Our choices, set on the bodies named in docs/plausibility.md and judged on others.
MOST_HOLES = 0.03  # of the filled volume
MOST_STRAY = 0.12  # of the voxels outside the parts that may be there
MOST_OVERLAP = 0.05  # of the smaller of two structures that do not contain each other
PAIR_RATIO = 1.85  # larger over smaller of a pair
LEVEL_MM, LEVEL_SHARE = 20.0, 0.4  # between the centres of a pair; of the partner's length along that axis
PLACE_TOLERANCE_MM = 55.0
SIDE_MARGIN = 0.06  # of the body's half-width


@dataclass(frozen=True)
class Plausibility:
    """All checks of one mask."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """What speaks against it."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def plausible(self) -> bool:
        """No check failed; those that could not be asked do not count."""
        return not self.failed


def assess(
    mask: Mask | Region,
    structure: str,
    *,
    image: Volume | None = None,
    others: Mapping[str, Mask | Region] | None = None,
    priors: Priors | None = None,
) -> Plausibility:
    """Whether a mask is plausible as that structure.

    Args:
        structure: canonical name; "left" or "right" in it is checked against the body.
        image: its scan; without it, borders and grey values are not checked.
        others: further structures of the same scan by name, none of which contains the mask or lies in it.
        priors: None for those of the package.
    """
    region = Region.of(mask)
    known = priors or Priors.bundled()
    if region.box is None:
        return Plausibility((Check("not empty", False, 0.0, 1.0, None, "The mask is empty."),))
    near = {name: Region.of(other) for name, other in (others or {}).items() if name != structure}
    faces = measures.truncated_faces(region, image)
    checks = [
        _volume(region, structure, known, cut=bool(faces)),
        _side(region, structure, image, near),
        *_parts(region, structure, known),
        _grey(region, structure, image, known),
        _overlap(region, near),
        _pair(region, structure, near, image, cut=bool(faces)),
        _level(region, structure, near, image, cut=bool(faces)),
        _place(region, structure, near, known, cut=bool(faces)),
        *_border(region, structure, image, near, known),
    ]
    return Plausibility(tuple(checks))


def _volume(region: Region, structure: str, priors: Priors, *, cut: bool) -> Check:
    known, volume = priors.get(structure, "volume_ml"), measures.volume_ml(region)
    if volume is None:
        return unknown("volume", measures.NO_SPACING)
    if known is None:
        return unknown("volume", f"No usual volume is on file for '{structure}'.")
    low = None if cut else known.low  # a structure that leaves the scan may look small
    said = f"{volume:.1f} ml is outside the plausible {known.low:g} to {known.high:g} ml."
    return judged("volume", volume, low, known.high, said=said, source=known.source)


def _side(region: Region, structure: str, image: Volume | None, near: Mapping[str, Region]) -> Check:
    side = side_of(structure)
    if not side:
        return unknown("side", "The name says no side.")
    offset = body_offset(region, image, near)
    if offset is None:
        return unknown(
            "side", "Where the body's middle lies is not known: no scan, and no pair of structures beside it."
        )
    away = offset if side == "right" else -offset
    return judged("side", away, -SIDE_MARGIN, None, said=f"It lies on the patient's other side, but is called {side}.")


def _parts(region: Region, structure: str, priors: Priors) -> list[Check]:
    labels, count = cc3d.connected_components(region.array, return_N=True)
    sizes = np.sort(np.bincount(labels[region.array], minlength=count + 1)[1:])[::-1]
    known = priors.get(structure, "parts")
    allowed = int(known.high) if known else 2 if structure.endswith("s") and not side_of(structure) else 1
    stray = 1 - float(sizes[:allowed].sum()) / region.voxels
    filled = fill_voids.fill(region.array)
    holes = 1 - region.voxels / int(np.count_nonzero(filled))
    return [
        judged(
            "parts", stray, None, MOST_STRAY, said=f"{stray:.0%} lie outside the largest {allowed} of {count} parts."
        ),
        judged("holes", holes, None, MOST_HOLES, said=f"{holes:.0%} of its filled shape are holes."),
    ]


def _grey(region: Region, structure: str, image: Volume | None, priors: Priors) -> Check:
    if image is None or image.modality != "ct":
        return unknown("intensity", "Grey values have a fixed meaning in CT only.")
    if unit_by_values(image) != "HU":
        return unknown("intensity", "The CT's values are not in HU.")
    known = priors.get(structure, "median_hu")
    if known is None:
        return unknown("intensity", f"No usual Hounsfield units are on file for '{structure}'.")
    assert region.box is not None
    value = float(np.median(image.array[slices(region.box)][region.array]))
    said = f"Its median of {value:.0f} HU is outside {known.low:g} to {known.high:g} HU."
    return judged("intensity", value, known.low, known.high, said=said, source=known.source)


def _overlap(region: Region, near: Mapping[str, Region]) -> Check:
    if not near:
        return unknown("overlap", "No other structure of this scan is at hand.")
    shares = {
        name: shared_voxels(region, other) / min(region.voxels, other.voxels or 1) for name, other in near.items()
    }
    worst = max(shares, key=lambda name: shares[name])
    said = f"It shares {shares[worst]:.0%} of the smaller one's voxels with the {worst}."
    return judged("overlap", shares[worst], None, MOST_OVERLAP, said=said)


def _pair(region: Region, structure: str, near: Mapping[str, Region], image: Volume | None, *, cut: bool) -> Check:
    partner = near.get(partner_of(structure) or "")
    if partner is None or not partner.voxels:
        return unknown("symmetry", "Its partner on the other side is not at hand.")
    if cut or measures.truncated_faces(partner, image):
        return unknown("symmetry", "One of the pair leaves the scan.")
    ratio = max(region.voxels / partner.voxels, partner.voxels / region.voxels)
    which = "larger" if region.voxels > partner.voxels else "smaller"
    return judged("symmetry", ratio, None, PAIR_RATIO, said=f"It is {ratio:.1f} times {which} than its partner.")


def _level(region: Region, structure: str, near: Mapping[str, Region], image: Volume | None, *, cut: bool) -> Check:
    """Both of a pair lie at about the same height and depth; the greater difference counts."""
    partner = near.get(partner_of(structure) or "")
    centre, other = measures.centroid_mm(region), None if partner is None else measures.centroid_mm(partner)
    if partner is None or centre is None or other is None:
        return unknown("level", "Its partner on the other side is not at hand, or the voxel size is unknown.")
    if cut or measures.truncated_faces(partner, image):
        return unknown("level", "One of the pair leaves the scan.")
    lengths = np.abs(partner.axes_mm) @ np.array(partner.array.shape)
    away = np.array(centre) - np.array(other)
    limits = np.maximum(LEVEL_MM, LEVEL_SHARE * lengths)
    axis = 1 + int(np.argmax(np.abs(away[1:]) / limits[1:]))
    way = measures.FACES[axis][int(away[axis] > 0)]
    said = f"Its centre lies {abs(away[axis]):.0f} mm {way} of its partner's."
    return judged("level", float(abs(away[axis])), None, round(float(limits[axis]), 1), said=said)


def _place(region: Region, structure: str, near: Mapping[str, Region], priors: Priors, *, cut: bool) -> Check:
    if cut:
        return unknown("place", "It leaves the scan, so its centre is not known.")
    error = place_error(region, structure, near, priors)
    if error is None:
        return unknown("place", "Too few structures around it are on file.")
    said = f"It lies {error:.0f} mm from where its neighbours let it be expected."
    return judged("place", error, None, PLACE_TOLERANCE_MM, said=said, source="centres in places.tsv")


def _border(
    region: Region, structure: str, image: Volume | None, near: Mapping[str, Region], priors: Priors
) -> list[Check]:
    around = Surroundings.of(region, image, near)
    like = like_inside(around)
    return [_ends_with_tissue(around, like, image), _cut_flat(around, like, structure, priors)]


SPILL = 0.8  # of the first shell outside being like the inside and nobody's: the tissue goes on all around
EDGE_SPILL, EDGE_DROP = 0.55, 0.3  # less is enough when a clear edge lies farther out
EVEN_HU, EVEN_SHARE = 60.0, 0.12  # robust sd of an even tissue: in CT, and as a share of a scan's bright end
FLAT_RATIO = 0.7  # area of the last plane over the largest
FLAT_BEYOND = 0.5  # share of its continuation that is free and alike


def _ends_with_tissue(around: Surroundings, like: Alike | None, image: Volume | None) -> Check:
    if like is None or image is None:
        return unknown("border", "Borders are checked in the scan, which is not at hand.")
    shift = border_shift(around, like)
    if shift is None:
        return unknown("border", "The mask is too small for its border to be judged.")
    edge_outside = shift.steps > 0 and shift.drop >= EDGE_DROP and shift.spill >= EDGE_SPILL
    wrong = edge_outside or (shift.spill >= SPILL and like.spread <= _most_spread(image))
    where = f"ends about {shift.steps} voxels outside" if edge_outside else f"goes on over {shift.spill:.0%} of"
    said = f"Its tissue {where} the mask's border." if wrong else ""
    return Check("border", not wrong, round(shift.spill, 3), None, SPILL, said)


def _most_spread(image: Volume) -> float:
    """Spread of a tissue above which so much looks like it that going on outside means nothing: bone, lung."""
    if image.modality == "ct":
        return EVEN_HU
    return EVEN_SHARE * float(np.percentile(image.array[::4, ::4, ::4], 99))


def _cut_flat(around: Surroundings, like: Alike | None, structure: str, priors: Priors) -> Check:
    end = flat_end(around, like)
    if end is None:
        return unknown("flat end", "The mask is too thin, or ends with the scan.")
    if priors.get(structure, "flat_end") is not None:
        return unknown("flat end", f"'{structure}' ends in a plane by convention.")
    wrong = end.ratio >= FLAT_RATIO and end.beyond >= FLAT_BEYOND
    said = (
        f"It ends in a flat face ({end.ratio:.0%} of its largest section) beyond which the same goes on."
        if wrong
        else ""
    )
    return Check("flat end", not wrong, round(end.ratio, 3), None, FLAT_RATIO, said)
