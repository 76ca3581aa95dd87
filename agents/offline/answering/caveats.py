"""What a careful reader would add to a number that was asked for."""

from __future__ import annotations

import re

from ...reply import Statement
from ..asking.wants import Want
from ..turn import Turn, cite, tell
from ..work import (
    masks_of,
    seen_lesions,
    whole_of,
)

_MOST = 12


def caveats(turn: Turn, want: Want) -> list[Statement]:
    """What a careful reader would add to what was asked."""
    text, asks, said = turn.task.text, set(want.aspects), list[Statement]()
    call = turn.last("segment")
    if "ratio" in asks and re.search(r"\bbody\b|\bscanned\b", text):
        said.append(
            tell("No model here outlines the whole body, so the share of the body cannot be given.", *cite(call))
        )
    if "uptake" in asks and not any(one.measured for one in masks_of(turn, want)) and masks_of(turn, want):
        said.append(tell("SUV cannot be given.", *cite(call)))
    if re.search(r"\bhilum\b|\bbranches\b|\bhead of\b|\blobes?\b", text):
        said.append(tell("The hilum, branches and parts of an organ are labelled by no model here.", *cite(call)))
    if re.search(r"\bweigh\w*|\bheav(?:y|ier)\b", text):
        said.append(tell("Weight is measured by no tool; the volume is given.", *cite(call)))
    for name in want.structures:
        whole = whole_of(turn, name)
        there = {one.name for one in turn.found if one.mask_id}
        if whole in there and name not in there:
            said.append(tell(f"No model labels the {name} by itself; measured is the {whole}.", *cite(call)))
    if re.search(r"\bbicaudate\b", text):
        said.append(tell("The bicaudate distance is not offered by any tool.", *cite(call)))
    if "density" in asks:
        said += _density_caveats(turn, want)
    if seen_lesions(turn, want):
        said.append(tell("It is a model's outline, not checked by a person, and not a diagnosis."))
    return said


def _density_caveats(turn: Turn, want: Want) -> list[Statement]:
    text = turn.task.text
    greys = [(one, (one.measured or {}).get("intensity")) for one in masks_of(turn, want)]
    units = {grey["unit"] for _one, grey in greys if grey}
    said = []
    if units and "HU" not in units:
        said.append(tell("The scan is not in Hounsfield units: MR and PET have none, so HU cannot be given."))
    limit = re.search(r"\b(below|above|under|over|less than|more than) (\d+)\b", text)
    if limit is not None and "HU" in units:
        one, grey = next((one, grey) for one, grey in greys if grey)
        below = limit.group(1) in ("below", "under", "less than")
        holds = (grey["mean"] < float(limit.group(2))) == below
        quote = turn.question[max(0, turn.question.lower().find(limit.group(0))) :][: len(limit.group(0))]
        said.append(
            tell(
                f"{'Yes' if holds else 'No'} to “{quote}”: contrast shifts HU, and the diagnosis is a doctor's.",
                *one.cites,
            )
        )
    if re.search(r"\barterial\b|\bvenous\b|\bphase\b|\bcontrast\b", text):
        said.append(
            tell("The phase of contrast cannot be told for sure from HU alone; compare the aorta with the veins.")
        )
    return said
