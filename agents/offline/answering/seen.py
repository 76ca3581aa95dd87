"""What was looked for: verdicts, what is missing, counts, sides, edges, and diseases no model looks for."""

from __future__ import annotations

import re

from ....tools.desk.results import CUT
from ...reply import Statement
from ..asking.wants import Want
from ..asking.wording import name_in
from ..turn import Found, Turn, cite, tell
from ..work import (
    all_structures,
    is_named,
    is_pair_of,
    masks_of,
    seen_lesions,
    structures_of,
)
from .numbers import said_numbers
from .phrases import phrase

_MOST = 12


def rows_of(turn: Turn, want: Want) -> list[Found]:
    """What was looked for, for a want: masks, and what was not found."""
    names = structures_of(turn, want)
    there = {one.name for one in turn.found if one.mask_id}
    rows = [one for one in turn.found if is_named(turn, one, names)]
    return [one for one in rows if not is_pair_of(turn, one, there) and not (_is_other_half(turn, one) and there)]


def _is_other_half(turn: Turn, one: Found) -> bool:
    """A half that no model knows, beside a pair that one does: the hippocampi of a crop without sides."""
    there = {other.name for other in turn.found if other.mask_id}
    above = turn.table.above(one.name)[:1]
    kin = {*above, *(part for name in above for part in turn.table.expand(name))}
    row = turn.table.get(above[0]) if above else None
    return (
        one.row["verdict"] == "unsupported"
        and row is not None
        and row.side == "both"
        and len(kin) > 3
        and bool(kin & there)
    )


def said_verdict(turn: Turn, one: Found, *, volume: bool = True) -> Statement:
    """A structure's verdict, with its volume where it has one."""
    place = f" in {one.image_id}" if len(turn.images) > 1 else ""
    row = one.row if volume else {**one.row, "volume_ml": None}
    verdict = str(row["verdict"]).replace("_", " ")
    size = ""
    if row.get("volume_ml") is not None:
        size = f", {row['volume_ml']:g} ml{CUT if row.get('volume_is') == 'cut by the edge' else ''}"
    text = phrase("present", turn.task.language, name=one.name, verdict=verdict, place=place, size=size)
    if row["verdict"] == "unsure":
        text += " Do not rely on this mask."
    return tell(text, *cite(one.seen, one.mask_id))


def missing(turn: Turn) -> list[Statement]:
    """What was looked for and has no mask, each with its verdict; unfound is not called absent here unless `segment` does."""
    rows = [
        one for want in turn.task.wants for one in rows_of(turn, want) if not one.mask_id and not _is_everything(turn)
    ]
    return [_not_found(turn, one) for one in {(one.image_id, one.name): one for one in rows}.values()][:_MOST]


def _is_everything(turn: Turn) -> bool:
    return not turn.task.structures and bool(turn.models) and len(all_structures(turn)) > 1


def _not_found(turn: Turn, one: Found) -> Statement:
    verdict = str(one.row["verdict"]).replace("_", " ")
    name = name_in(one.name, turn.task.language)
    place = f" in {one.image_id}" if len(turn.images) > 1 else ""
    if one.row["verdict"] == "unsupported":
        text = (
            f"The {name} is unsupported{place}: no model here segments it on this scan, so I cannot say anything of it."
        )
    else:
        text = f"The {name} is {verdict}{place}: the model did not find it; it may be missed, and why it is not found cannot be inferred."
    return tell(text, *cite(one.seen))


def said_lesion(turn: Turn, want: Want) -> Statement:
    """That no model looks for a lesion, so that nobody reads silence as absence."""
    names, word = ", ".join(want.lesions), _disease_word(turn.task.text)
    if not names or (names not in turn.task.text and word[:4] not in names and "I do not screen" not in word):
        names = word if not names else f"{word} ({names})"
    where = ""
    if want.structures and turn.task.language == "en":
        where = f" for the {' and the '.join(want.structures[:2])}"
    elif want.structures:
        where = f" ({', '.join(name_in(name, turn.task.language) for name in want.structures[:2])})"
    text = phrase("lesion", turn.task.language, where=where, what=names)
    if "why" in want.aspects:
        text = f"Because no model here was trained to find {names}: I cannot say, and a silent model must not be read as 'none'."
    asked = re.search(r"\bwhite matter lesions?\b", turn.task.text)
    if asked is not None:
        text = text.replace(names, f"{asked.group()} ({names})")
    call = turn.last("list_models")
    return tell(text, *cite(call), *cite(turn.last("segment")))


def _disease_word(text: str) -> str:
    found = re.search(
        r"\b(white matter lesions?|metasta\w+|stones?|gallstones?|strokes?|infarct\w*|ruptur\w+|aneurysm\w*|fractur\w+|bleed\w*|nodul\w+|benign|cancer\w*|"
        r"\w*cysts?|tumou?rs?|mass|abscess\w*|thromb\w+|embol\w+|inflam\w+|\w+itis)\b",
        text,
    )
    return found.group(1) if found else "abnormalities in general (I do not screen for disease)"


def offered(turn: Turn, want: Want) -> Statement:
    """What can be given instead of a lesion's verdict."""
    known = [name for name in want.structures if any(name in row["structures"] for row in turn.models)]
    if not known:
        return tell("A person has to read the scan.")
    return tell(
        f"I can outline and measure the {' and the '.join(known)} and show pictures.", *cite(turn.last("list_models"))
    )


def counted(turn: Turn, want: Want) -> list[Statement]:
    """How many of the wanted structures were found, and which."""
    rows = rows_of(turn, want)
    masks = [one for one in rows if one.mask_id and one.row["verdict"] in ("present", "unsure")]
    lesions = seen_lesions(turn, want)
    if lesions:
        text = f"Only the model for {', '.join(lesions)} looked; other lesions are not counted, so a total cannot be given."
        return [tell(text, *cite(turn.last("list_models")), *cite(turn.last("segment")))]
    if not masks:
        return []
    sides = ", ".join(
        f"the {one.name} ({one.row['volume_ml']:g} ml)" if one.row.get("volume_ml") is not None else f"the {one.name}"
        for one in masks
    )
    word = {1: "One", 2: "Two"}.get(len(masks), "")
    cites = [one for mask in masks for one in cite(mask.seen, mask.mask_id)]
    text = f"{word} found: {sides}." if word else f"Found: {sides}."
    return [tell(text, *cites)]


def listed(turn: Turn, want: Want) -> list[Statement]:
    """Everything that was found, or a draft of its volumes."""
    masks = masks_of(turn, want)
    there = [one for one in masks if one.row["verdict"] == "present"]
    models = sorted({str(one.row["provenance"].get("model")) for one in there if one.row.get("provenance")})
    modality = {"ct": "CT", "mr": "MR", "pet": "PET"}.get(turn.modality, turn.modality)
    cites = [one for mask in there for one in cite(mask.seen, mask.mask_id)]
    if "draft" in want.aspects:
        lines = [f"{one.name} {one.row['volume_ml']:g} ml" for one in there if one.row.get("volume_ml") is not None]
        text = (
            f"Machine draft, to be checked by a person; nothing but these volumes was looked for: {', '.join(lines)}."
        )
        return [tell(text, *cites)]
    names = ", ".join(one.name for one in there)
    text = f"{len(there)} structures were found on this {modality}: {names}; they can be measured, compared and exported ({', '.join(models)})."
    rest = [one.name for one in turn.found if not one.mask_id and one.row["verdict"] != "unsupported"]
    more = (
        [tell(f"Not found, perhaps outside the scan: {', '.join(rest[:8])}.", *cite(turn.last("segment")))]
        if rest
        else []
    )
    return [tell(text, *cites), *more]


def said_edge(one: Found) -> Statement:
    """Whether the scan cuts a mask."""
    faces = one.row.get("truncated_at") or []
    if faces:
        text = f"The {one.name} reaches the {', '.join(faces)} edge of the scan, so it is cut off and its volume is a lower bound."
    else:
        text = f"The mask of the {one.name} does not touch the edge of the scan, so the whole of what was marked lies inside."
    return tell(text, *cite(one.seen, one.mask_id))


def said_side(one: Found) -> Statement:
    """On which side of the patient a structure lies."""
    side = str(one.row["side"])
    place = f"on the patient's {side}" if side in ("left", "right") else "at or across the patient's middle"
    return tell(f"The {one.name} lies {place}.", *cite(one.seen, one.mask_id))


def said_tube(turn: Turn, one: Found) -> Statement:
    """A vessel's width, for which no range is on file."""
    numbers = said_numbers(one, ("lengths",), turn.task.text, turn.task.language)
    return tell(
        f"{numbers.text} No reference range for its diameter is on file, and breathing changes a vein's.", *one.cites
    )


def said_sureness(one: Found) -> Statement:
    """How sure a mask is: the Dice to expect and the interval of its volume."""
    known = one.row.get("confidence")
    ends = one.row.get("volume_90_ml")
    said = f"an expected Dice of {known:.2f}" if known is not None else "no calibrated confidence"
    if ends:
        said += f", and the 90 % error of its volume spans {ends[0]:g} to {ends[1]:g} ml"
    text = f"The mask of the {one.name} has {said}; tilt, noise and the mask's border add an error of about a voxel to lengths."
    return tell(text, *cite(one.seen, one.mask_id))
