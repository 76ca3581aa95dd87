"""Asking a network that reads sentences, and making candidates of its mask."""

from __future__ import annotations

import numpy as np

from ... import __version__
from ...imaging.region import largest_parts
from ...imaging.volume import BoolArray, Grid, Mask
from ...models.card import Card
from ...models.interface import Pointing
from ...models.memory import request_mb
from ...retrieval.descriptions.description import Description
from ...workers.protocol import ReferRequest
from ..desk.results import Provenance, Verdict
from ..segmenting.verdicts import LEAST_VOXELS, SURE
from .finding import MOST_PARTS, Finder, Found, Nothing


def refer(finder: Finder, description: Description, card: Card) -> list[Found] | Nothing:
    """What the network marks for the sentence; of an area or an unnamed structure, each unconnected part.

    Raises:
        BadCall: the network refuses the sentence, such as words about the picture for a whole volume.
    """
    desk = finder.desk
    image = desk.store.image(finder.image_id)
    index = None if finder.slice_index is None else file_slice(image.grid, finder.slice_index)
    request = ReferRequest(
        request_id=finder.job.id,
        array_path=str(desk.store.array_path(finder.image_id)),
        grid=image.grid,
        modality=image.modality,
        synthetic=image.synthetic,
        image_key=image.content_hash,
        model=card.name,
        structures=(description.text,),
        pointing=Pointing("slice" if image.grid.is_2d or index is not None else "volume", index),
    )
    needed = request_mb(card, image.grid)
    answer = desk.workers.run(request, on_progress=finder.job.report, cancelled=finder.job.cancelled, memory_mb=needed)
    one = answer.masks[0]
    unknown = untaught(card, finder, description)
    notes = [*one.notes, f"It was never taught the {unknown}."] if unknown else one.notes
    if not one.array.any():
        highest = "" if one.peak is None else f" (highest {one.peak:.2f})"
        marked = f"'{card.name}' marked nothing{highest}."
        said = [f"The words {', '.join(description.unused)} are understood by it alone."] if description.unused else []
        return Nothing("unsupported" if unknown or said else "unsure", " ".join([marked, *notes, *said]))
    known = description.kind == "structure" and not unknown
    verdict: Verdict = "present" if known and (one.confidence or 0.0) >= SURE else "unsure"
    how = " ".join([f"marked by {card.name}, which read the sentence.", *notes])
    parts = [one.array] if description.kind == "structure" else _parts(one.array)
    things = [
        finder.thing(description.target or "area", Mask(part, image.grid), one.confidence or 0.0) for part in parts
    ]
    finder.made_by = Provenance(
        tool="segment_described",
        version=__version__,
        inputs=[finder.image_id],
        model=card.name,
        weights_sha256=answer.weights_sha256,
        licence=card.licence,
        purpose=card.purpose,
        engine=answer.engine,
    )
    return [Found(thing, verdict, how) for thing in things if thing is not None]


def untaught(card: Card, finder: Finder, description: Description) -> str:
    """The structure that is named, or in which to look, when the network never saw its name; else ""."""
    hosts = [one.structure for c in description.claims if c.kind == "relation" and c.value == "in" for one in c.of]
    name = description.structure or (hosts[0] if hosts else "")
    if not name or not card.vocabulary:
        return ""
    return "" if {name, *finder.desk.table.expand(name)} & set(card.vocabulary) else name


def file_slice(grid: Grid, from_feet: int) -> int:
    """The slice's number along the file's own head-foot axis."""
    codes = grid.axis_codes
    axis = next(n for n, code in enumerate(codes) if code in "SI")
    return from_feet if codes[axis] == "S" else grid.shape[axis] - 1 - from_feet


def _parts(array: BoolArray) -> list[BoolArray]:
    parts, _count = largest_parts(array, MOST_PARTS)
    return [part for part in parts if np.count_nonzero(part) >= LEAST_VOXELS] or [array]
