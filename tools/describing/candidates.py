"""Where candidates come from: named structures, their parts, and areas that differ from their organ."""

from __future__ import annotations

from ...imaging.masks import relations
from ...imaging.masks.areas import different_areas
from ...imaging.region import Region, connected, largest_parts
from ...imaging.tubes.calibre import Calibre, calibre, stretch
from ...imaging.volume import Mask
from ...models import catalogue
from ...retrieval.anatomy.kinds import is_kind
from ...retrieval.anatomy.lesions import names_lesion
from ...retrieval.descriptions.description import WIDTHS, Claim, Description
from ..desk.results import Verdict
from ..segmenting.planning import lesions_here
from .finding import MOST_PARTS, Finder, Found, Nothing

AREA_CERTAINTY = 0.6  # at most: an area that differs is no confirmed lesion
_CLEAR = 6.0  # spreads from which an area is as certain as it gets
PART_CERTAINTY = 0.6  # at most: an end is cut by convention, a lobe by landmarks
_BONES = ("bone", "bones")
NO_PROOF = "That proves nothing: no model of such lesions looked."


def candidates(finder: Finder, description: Description) -> list[Found] | Nothing:
    """Everything the description may mean, or why there is nothing."""
    finder.ask([description.structure, *(one.structure for claim in description.claims for one in claim.of)])
    if description.kind == "structure":
        return _structures(finder, description)
    if description.kind == "part":
        return _part(finder, description)
    if description.kind == "region":
        return _areas(finder, description)
    found = everything(finder)
    if not found:
        return Nothing("unsure", "No structure that a model here knows was found on this scan.")
    held = {one.structure for claim in description.claims for one in claim.of}
    return _of_its_kind(finder, description, [one for one in found if one.thing.name not in held])


def _of_its_kind(finder: Finder, description: Description, found: list[Found]) -> list[Found] | Nothing:
    """What the head noun may mean: a bone is no candidate for a vessel, however well it fits the rest."""
    wanted = [claim for claim in description.claims if claim.kind == "class"]
    kept = [
        one
        for one in found
        if all(is_kind((one.thing.name, *one.thing.ancestors), claim.value) != claim.negated for claim in wanted)
    ]
    if kept or not wanted:
        return kept
    word = wanted[0].value
    table = finder.desk.table
    if any(is_kind((name, *table.above(name)), word) for name in finder.pool()):
        return Nothing("unsure", f"None of the structures found on this scan is {wanted[0]}.")
    return Nothing("unsupported", f"'{word}': no model here looks for {wanted[0]} on such a scan.")


def everything(finder: Finder) -> list[Found]:
    """Every structure found on the scan by the models that know its part of the body.

    A network sees its structures in strange scans, too (heart muscle in a head); those of other parts of the
    body than the network that found most are left out.
    """
    found = finder.structures(finder.pool())
    cards = [catalogue.card(one.maker) for one in found]
    counts = {card.name: sum(other.name == card.name for other in cards) for card in cards}
    if not counts:
        return []
    leading = set(catalogue.card(max(counts, key=lambda name: (counts[name], name))).region)
    return [one for one, card in zip(found, cards, strict=True) if leading & set(card.region) or not card.region]


def _structures(finder: Finder, description: Description) -> list[Found] | Nothing:
    name = description.structure
    table = finder.desk.table
    row = table.get(name)
    halves = [part for part in table.expand(name) if (half := table.get(part)) is not None and half.side]
    together = description.side == "both" or (description.plural and not description.claims)
    if row is not None and row.side == "both" and halves and not together:
        found = finder.structures(halves)
        if not found and finder.union(name) is not None:
            found = _by_side(finder, name)
    elif together and (whole := finder.union(name)) is not None:
        found = [_joined(finder, name, whole)]
    else:
        found = finder.structures([name])
        if _wants_pieces(description) and len(found) == 1:
            found = _pieces(finder, found[0])
    if found:
        return found
    nothing = finder.missing(name)
    organ = _organ_of(finder, name)
    if nothing.verdict == "unsupported" and organ:
        return _areas_in(finder, organ, "any")
    return nothing


def _wants_pieces(description: Description) -> bool:
    return any(claim.kind in ("rank", "extreme", "count") for claim in description.claims)


def _joined(finder: Finder, name: str, whole: Mask) -> Found:
    rows = finder.rows(name)
    with_mask = [row for row in rows if row.mask_id is not None]
    certainty = min(row.sureness for row in with_mask)
    thing = finder.thing(name, whole, certainty)
    assert thing is not None
    verdict: Verdict = (
        "present" if len(with_mask) == len(rows) and all(r.verdict == "present" for r in rows) else "unsure"
    )
    how = f"segmented by {with_mask[0].provenance.model}"
    single = with_mask[0] if len(rows) == 1 and finder.slice_index is None else None
    return Found(thing, verdict, how if single else f"{how}, {len(with_mask)} parts joined", single)


def _by_side(finder: Finder, name: str) -> list[Found]:
    """The halves of a pair whose sides no model tells apart: its parts on either side of the scan's middle."""
    whole = finder.union(name)
    made: list[Found] = []
    if whole is None:
        return made
    for side in ("left", "right"):
        half = relations.half_of_scan(whole, side)
        thing = finder.thing(f"{side} half of the {name}", half, PART_CERTAINTY)
        if thing is not None:
            made.append(Found(thing, "unsure", f"the {name}, cut at the scan's middle"))
    return made


def _pieces(finder: Finder, whole: Found) -> list[Found]:
    """The unconnected parts of a structure, when it has several."""
    parts, count = largest_parts(whole.thing.mask.array, MOST_PARTS)
    if count < 2:
        return [whole]
    made = []
    for part in parts:
        mask = Mask(part, whole.thing.mask.grid)
        thing = finder.thing(whole.thing.name, mask, whole.thing.certainty)
        if thing is not None:
            made.append(Found(thing, "unsure", f"{whole.how}, one of its {count} unconnected parts"))
    return made


def _part(finder: Finder, description: Description) -> list[Found] | Nothing:
    name = description.structure
    whole = finder.union(name)
    if whole is None:
        return finder.missing(name)
    sure = min([row.sureness for row in finder.rows(name) if row.mask_id is not None], default=0.0)
    if description.part in WIDTHS:
        section = _section(finder, description, whole)
        if isinstance(section, Nothing):
            return section
        mask, how = section
    elif description.part.endswith("lobe"):
        lobe = finder.lobe(description.part.split()[0])
        assert lobe is not None
        mask, how = lobe.mask, lobe.how
    else:
        half = description.part.endswith(" half")
        end = description.part.removesuffix(" half")
        direction = relations.axis_of(end, whole.grid, flat=finder.slice_index is not None)
        if direction is None:
            return Nothing("unsupported", f"A flat picture does not show the {end} of the {name}.")
        share, said = (1 / 2, "half of its length") if half else (1 / 3, "third of its length, a convention of ours")
        mask, how = relations.end_part(whole, *direction, share=share), f"the outer {said}"
    thing = finder.thing(description.target, mask, min(PART_CERTAINTY, sure))
    return [] if thing is None else [Found(thing, "unsure", how)]


def _section(finder: Finder, description: Description, whole: Mask) -> tuple[Mask, str] | Nothing:
    """A tube around its widest or narrowest place, half a diameter to either side; of its largest part."""
    name, part = description.structure, description.part
    words = " ".join([*description.assumed, f"'{part} part' is not understood of the {name}"])
    if not finder.desk.table.is_tube(name):
        return Nothing(
            "unsupported", f"{words}: only vessels, airways and bile ducts have a width across their course."
        )
    found = calibre(connected(Region.of(whole))[0])
    if not isinstance(found, Calibre):
        return Nothing("unsupported", f"{words}. {found.reason}")
    place = found.widest if part == "widest" else found.narrowest
    if place is None:
        return Nothing("unsupported", f"{words}: it is somewhere thinner than two voxels.")
    how = (
        f"cut at right angles to the centre line where the {name} is {part}, {place.diameter_mm:.1f} mm across (median "
        f"{found.median_mm:.1f} mm), and half of that to either side; ends, forks and the scan's edge are not measured"
    )
    return stretch(whole, place), how


def _organ_of(finder: Finder, name: str) -> str:
    """ "liver tumour" -> "liver"; "" when the name holds no organ."""
    words = name.split()
    for length in range(len(words) - 1, 0, -1):
        row = finder.desk.table.get(" ".join(words[:length]))
        if row is not None and row.name != name:
            return row.name
    return ""


def _areas(finder: Finder, description: Description) -> list[Found] | Nothing:
    hosts = [one.structure for claim in description.claims if _is_in(claim) for one in claim.of]
    looked = lesions_here(finder.desk, finder.image_id) if names_lesion(description.text) else ()
    lesions = [piece for one in finder.structures(looked) for piece in _pieces(finder, one)]
    if lesions or (looked and not hosts):
        return lesions or finder.missing(looked[0])
    if hosts:
        return _areas_in(finder, hosts[0], description.density)
    found: list[Found] = []
    for one in everything(finder):
        if not set(one.thing.ancestors) & set(_BONES):
            found += _areas_of(finder, one.thing.name, one.thing.mask, description.density)
    if found:
        return found
    return Nothing(
        "unsure", f"No area of any structure found on this scan differs clearly from its structure. {NO_PROOF}"
    )


def _is_in(claim: Claim) -> bool:
    return claim.kind == "relation" and claim.value == "in" and not claim.negated


def _areas_in(finder: Finder, host: str, density: str) -> list[Found] | Nothing:
    mask = finder.union(host)
    if mask is None:
        nothing = finder.missing(host)
        return Nothing(nothing.verdict, f"The {host}, in which to look, has no mask. {nothing.reason}")
    found = _areas_of(finder, host, mask, density)
    shade = {"low": "darker", "high": "brighter"}.get(density, "darker or brighter")
    if found:
        return found
    return Nothing("unsure", f"No area inside the {host} is clearly {shade} than the rest of it. {NO_PROOF}")


def _areas_of(finder: Finder, host: str, mask: Mask, density: str) -> list[Found]:
    kind = density if density in ("low", "high") else "any"
    made = []
    for region in different_areas(finder.image, mask, "low" if kind == "low" else "high" if kind == "high" else "any"):
        certainty = AREA_CERTAINTY * min(1.0, abs(region.contrast) / _CLEAR)
        thing = finder.thing(f"{region.kind}-density area in the {host}", region.mask, certainty, region)
        if thing is not None:
            how = (
                f"voxels that differ from the {host}: median {region.median:.0f} against {region.organ_median:.0f}, "
                f"{region.contrast:+.1f} robust standard deviations; no lesion model looked at it"
            )
            made.append(Found(thing, "unsure", how))
    return made
