"""How well things on a scan fit what a sentence says of them, each claim with its number.

Everything is computed on masks. Claims that compare ("largest", "left-most", "darkest") are judged
among the things that fit all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...imaging.masks import relations
from ...imaging.masks.relations import Place
from ...imaging.volume import Mask
from ...retrieval.anatomy.kinds import is_kind
from ...retrieval.descriptions.description import Claim, Reference
from .comparing import Comparison
from .things import MATCHED, Fit, Scene, Scored, Thing

# Own choices, in mm or shares; each appears in the reasons it produces.
ADJACENT_MM = 5.0  # a gap up to this is "adjacent", a wider one is not; at four times as much it is not even near
_COMPARING = ("rank", "extreme", "density_rank", "count")


def ranked(things: Sequence[Thing], claims: Sequence[Claim], scene: Scene) -> list[Scored]:
    """The things with their fits, best score first; what is exactly the largest goes before what nearly is."""
    plain = [claim for claim in claims if claim.kind not in _COMPARING]
    fits = {id(thing): [_fit(claim, thing, things, scene) for claim in plain] for thing in things}
    rivals = [thing for thing in things if all(fit.state != "failed" for fit in fits[id(thing)])] or list(things)
    compared = [Comparison.of(claim, rivals, scene) for claim in claims if claim.kind in _COMPARING]
    scored = []
    for thing in things:
        all_fits = (*fits[id(thing)], *(one.fit(thing) for one in compared))
        scored.append(Scored(thing, tuple(_negated(fit) for fit in all_fits)))
    return sorted(scored, key=lambda one: (-one.exact, -one.score, -one.thing.place.size, one.thing.name))


def _negated(fit: Fit) -> Fit:
    if not fit.claim.negated or fit.share is None:
        return fit
    return Fit(fit.claim, 1 - fit.share, fit.reason, fit.among)


def _fit(claim: Claim, thing: Thing, things: Sequence[Thing], scene: Scene) -> Fit:
    kinds: dict[str, Callable[[], Fit]] = {
        "side": lambda: _side(claim, thing),
        "position": lambda: _position(claim, thing, scene),
        "size": lambda: _size(claim, thing, things),
        "density": lambda: _density(claim, thing, things),
        "relation": lambda: _relation(claim, thing, scene),
        "exclude": lambda: Fit(
            claim, float(all(thing.name != one.structure for one in claim.of)), f"it is the {thing.name}"
        ),
        "class": lambda: _class(claim, thing),
    }
    return kinds[claim.kind]()


def _side(claim: Claim, thing: Thing) -> Fit:
    if claim.value == "both":
        return Fit(claim, 1.0, "both sides are in one mask")
    if not thing.side:
        return Fit(claim, None, "the scan is too narrow to tell the body's sides")
    share = 1.0 if thing.side == claim.value else 0.25 if thing.side == "midline" else 0.0
    away = thing.place.centre[0] - thing.place.field[0] / 2
    where = f"{abs(away):.0f} {thing.place.unit} {'right' if away > 0 else 'left'} of the scan's middle"
    return Fit(claim, share, f"side {thing.side}, its centre lies {where}")


def _position(claim: Claim, thing: Thing, scene: Scene) -> Fit:
    """In the outer third of the reference: 1; beyond its middle third: 0."""
    reference = claim.of[0] if claim.of else Reference()
    outer = _whole(thing.place) if not reference.structure else scene.place_of(reference)
    direction = relations.axis_of(claim.value, scene.grid, flat=scene.flat)
    if outer is None:
        return Fit(claim, None, f"the {reference} was not found")
    if direction is None:
        return Fit(claim, None, f"the picture has no {claim.value}")
    along = relations.share_along(thing.place, outer, *direction)
    share = min(1.0, max(0.0, (along - 1 / 3) * 3))
    return Fit(claim, share, f"its centre lies {along:.0%} of the way to the {claim.value} of the {reference}")


def _whole(place: Place) -> Place:
    return Place(1, 0.0, place.centre, (0.0, 0.0, 0.0), place.field, place.field, place.unit)


def _size(claim: Claim, thing: Thing, things: Sequence[Thing]) -> Fit:
    sizes = sorted(one.place.size for one in things)
    middle = sizes[len(sizes) // 2] if len(sizes) % 2 else (sizes[len(sizes) // 2 - 1] + sizes[len(sizes) // 2]) / 2
    size, unit = thing.place.size, thing.place.size_unit
    if len(sizes) < 2:
        return Fit(claim, None, f"{size:.3g} {unit}, nothing to compare with")
    share = 1.0 if (size >= middle) == (claim.value == "large") or size == middle else 0.0
    return Fit(claim, share, f"{size:.3g} {unit}, the median of the candidates is {middle:.3g}")


def _density(claim: Claim, thing: Thing, things: Sequence[Thing]) -> Fit:
    if thing.contrast is not None:
        share = float((thing.contrast < 0) == (claim.value == "low"))
        return Fit(claim, share, f"median {thing.grey:.0f}, {thing.contrast:+.1f} spreads from its organ")
    greys = sorted(one.grey for one in things)
    if len(greys) < 2:
        return Fit(claim, None, f"median {thing.grey:.0f}, nothing to compare with")
    middle = greys[len(greys) // 2]
    share = float(thing.grey <= middle if claim.value == "low" else thing.grey >= middle)
    return Fit(claim, share, f"median {thing.grey:.0f}, the middle of the candidates is {middle:.0f}")


def _class(claim: Claim, thing: Thing) -> Fit:
    held = is_kind((thing.name, *thing.ancestors), claim.value)
    kind = thing.ancestors[-1] if thing.ancestors else "of no known class"
    known = held or bool(thing.ancestors)
    return Fit(claim, float(held) if known else None, f"the {thing.name} is {kind}")


def _relation(claim: Claim, thing: Thing, scene: Scene) -> Fit:
    others = [scene.masks.get(reference) for reference in claim.of]
    missing = [str(one) for one, mask in zip(claim.of, others, strict=True) if mask is None or not mask.array.any()]
    if missing:
        return Fit(claim, None, f"the {missing[0]} was not found on this scan")
    other = others[0]
    where = scene.place_of(claim.of[0])
    assert other is not None
    assert where is not None
    if claim.value == "in":
        inside = relations.share_inside(
            thing.mask, Mask(relations.without_holes(other.array), other.grid)
        )  # lesions are often holes
        return Fit(claim, inside, f"{inside:.0%} of it lies in the {claim.of[0]}")
    if claim.value == "adjacent":
        return _adjacent(claim, thing, other)
    if claim.value == "between":
        second = scene.place_of(claim.of[1])
        assert second is not None
        held = relations.between(thing.place, where, second)
        return Fit(claim, float(held), f"its centre lies {'' if held else 'not '}between their centres")
    word = {"above": "top", "below": "bottom"}.get(claim.value, claim.value)
    direction = relations.axis_of(word, scene.grid, flat=scene.flat)
    if direction is None:
        return Fit(claim, None, f"the picture does not show what is {claim.value}")
    away = relations.beyond(thing.place, where, *direction)
    length = 0.05 * thing.place.field[direction[0]]
    reason = f"its centre lies {abs(away):.0f} {thing.place.unit} {'towards' if away > 0 else 'away from'} the {word}"
    return Fit(claim, min(1.0, max(0.0, away / length)), reason)


def _adjacent(claim: Claim, thing: Thing, other: Mask) -> Fit:
    found = relations.gap(thing.mask, other)
    if found is None:
        return Fit(claim, None, "one of them is empty")
    step = max(thing.mask.grid.spacing_mm) if thing.mask.grid.spacing_known else 1.0
    near = max(ADJACENT_MM, 1.5 * step)
    share = 1.0 if found <= near else max(0.0, 0.9 * MATCHED * (1 - (found - near) / (3 * near)))
    return Fit(claim, share, f"{found:.1f} {thing.place.unit} from the {claim.of[0]} ({near:.0f} counts as adjacent)")
