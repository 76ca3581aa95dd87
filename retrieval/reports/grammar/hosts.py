"""Where a lesion is when nothing beside it says so: its usual place, the structure named before, the heading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from ...anatomy.structures import StructureTable
from ..lexicon import Phrases, form_of, report_words
from .entries import Entry, Memory, Place

_CHEST = (
    "lung",
    "lobe of",
    "rib",
    "diaphragm",
    "thorax",
    "chest",
    "bronch",
    "mediast",
    "lingula",
    "hilum",
    "pleura",
    "phrenic",
    "pulmon",
)

_ON_THE_PLEURA = (
    "plaque",
    "thickening",
    "mass",
    "nodule",
    "calcification",
    "metastasis",
    "deposit",
    "lesion",
    "carcinomatosis",
)
_WHOLES = 6  # steps from a part of a limb to the limb
_LEG = r"lower limb|femor|femur|tibia|fibul|\bleg\b|thigh|knee|genic|patell|menisc|cruciate|foot|ankle|toe|talus|calcane|plantar|popliteal|saphen|hip|halluc|metatars|tars|acetab|glute|adductor|inguinal|sartorius|gracilis|achilles|peroneal|sural"
_ARM = r"upper limb|humer|scapul|radi|\buln|\barm\b|forearm|elbow|brachi|shoulder|acrom|glenoid|clavic|hand|wrist|finger|thumb|carp|rotator|spinatus|supraspin|pollic|digital|palmar|axill|cephalic|basilic"
LARGE = (
    "brain",
    "lungs",
    "intestine",
    "liver",
)  # usual places that are wide: a named part of them is nearer the truth


def place_of(
    entry: Entry, earlier: Sequence[Entry], memory: Memory, table: StructureTable, *, hedged: bool = False
) -> None:
    """Settle the place of an entry, in the order: its only possible place, as said, its usual place, as before.

    Args:
        hedged: the lesion is only what something seen may be, and so lies where that was seen.
    """
    if not entry.lesion:
        if entry.place is not None and entry.how != "surgery" and not entry.place.relative:
            memory.topic = entry.place
        return
    if hedged and entry.place is not None and not entry.stands:
        shown = [e for e in earlier if e.sentence == entry.sentence and e.lesion and e.place is not None]
        if shown and shown[-1].place is not None and shown[-1].place.organ == entry.place.organ:
            entry.side = shown[-1].stands
    _take_side_of_neighbour(entry, earlier, table)
    only = _moved(entry, table)
    if only:
        before = _before(entry, earlier, memory)
        if entry.place is None and before is not None and before.organ == only and not entry.side:
            entry.place = before
        entry.by_usual = entry.place is None or entry.place.organ != only
        side = entry.side or (entry.place.side if entry.place else "")
        if only == "peritoneal cavity" or (side == "plural" and not _pairs(table, only)):
            side = entry.side if entry.side != "plural" else ""
        entry.place = Place(only, side)
    elif entry.place is None:
        if entry.how == "predicate":
            _say_of_subject(entry, earlier, memory)
            return
        usual = entry.usual if table.get(entry.usual) else ""
        joint = _joint_of(memory, table) if entry.lesion == "effusion" and not entry.names_place else None
        if joint is not None:
            entry.place = replace(joint, side=entry.side) if entry.side else joint
            return
        before = _before(entry, earlier, memory)
        same = any(e.sentence == entry.sentence and e.place is before for e in earlier)
        row = table.get(before.organ) if before is not None else None
        leans = entry.leans and not (entry.usual_by_name and row is not None and row.parent in ("artery", "vein"))
        near = same or leans or entry.lesion == "collapse"
        if hedged and before is not None and near and not entry.usual_by_name:
            usual = ""
            shown = [
                e.place
                for e in earlier
                if e.sentence == entry.sentence and e.lesion and e.place is not None and e.group != entry.group
            ]
            before = shown[-1] if shown else before
            seen = next((e for e in reversed(earlier) if e.place is before and e.lesion), None)
            if seen is not None and not entry.side:
                entry.side = seen.side
        bone = next((p for p in (before, memory.topic) if p is not None and near and _of_bone(entry, p, table)), None)
        if bone is not None:
            before, usual = bone, ""
        if usual and not (before and _within(before.organ, usual, table) and (near or before.organ == usual)):
            entry.place, entry.by_usual = Place(usual, entry.side), True
        elif before is not None and not entry.elsewhere and (near or hedged or entry.lesion not in _values("nowhere")):
            entry.inherited = before is memory.topic
            entry.place = replace(before, side=entry.side) if entry.side else before
    if entry.place is not None and entry.lesion == "effusion" and _moved(entry, table):
        entry.place = Place(_moved(entry, table), entry.place.side)
    said = entry.usual_by_name or not entry.by_usual
    if entry.place is not None and said and not entry.denied and not entry.place.relative:
        memory.topic = entry.place


def give_limb_sides(
    paragraphs: Sequence[Sequence[Entry]], sided: Sequence[tuple[int, Place]], table: StructureTable
) -> None:
    """A part of a limb without a side is on the only side that its sentence, paragraph or report names for that limb."""
    named = [(sentence, _limb(place.organ, table), place.side) for sentence, place in sided]
    named = [one for one in named if one[1]]
    for entries in paragraphs:
        here = {entry.sentence for entry in entries}
        for entry in entries:
            place = entry.place
            row = table.get(place.organ) if place is not None else None
            if place is None or row is None or row.side not in ("both", "") or entry.side or place.side:
                continue
            limb = _limb(place.organ, table)
            for sentences in ({entry.sentence}, here, None):
                sides = {side for s, other, side in named if other == limb and (sentences is None or s in sentences)}
                if len(sides) == 1:
                    entry.place = replace(place, side=sides.pop())
                if sides or entry.place is not place:
                    break


def _limb(organ: str, table: StructureTable) -> str:
    """ "upper limb" or "lower limb" for its parts, "" for what is not told to be a part of one."""
    row = table.get(organ)
    for _step in range(_WHOLES):
        if row is None or not ("limb" in row.regions or row.part_of in ("shoulder", "hip")):
            return ""
        for limb, words in (("lower limb", _LEG), ("upper limb", _ARM)):
            if re.search(words, f"{row.name} {row.part_of}"):
                return limb
        row = table.get(row.part_of) if row.part_of else None
    return ""


def _of_bone(entry: Entry, before: Place, table: StructureTable) -> bool:
    """Whether marrow oedema or a collapse is that of the bone spoken of."""
    row = table.get(before.organ)
    bone = row is not None and (
        "bone" in (row.parent, row.is_a) or "vertebra" in row.name or bool(_limb(row.name, table))
    )
    return bone and (entry.usual == "bone marrow" or entry.lesion in ("collapse", "height loss"))


def _take_side_of_neighbour(entry: Entry, earlier: Sequence[Entry], table: StructureTable) -> None:
    """A lesion of a pair that goes with a sided one in the same part of the body is on its side."""
    organ = entry.place.organ if entry.place is not None else entry.usual
    row = table.get(organ) if organ else None
    if not entry.beside or entry.stands or row is None or (entry.place and entry.place.side):
        return
    if row.side != "both" and not row.name.endswith("space"):
        return
    with_it = [e for e in earlier if e.sentence == entry.sentence and e.lesion and e.stands == entry.beside]
    organs = [e.place.organ for e in with_it[-1:] if e.place is not None]
    near = [table.get(organ) for organ in organs]
    if not with_it or any(r is not None and set(r.regions) & set(row.regions) for r in near):
        entry.side = entry.beside


def _joint_of(memory: Memory, table: StructureTable) -> Place | None:
    """The limb or joint that the paragraph is about, or None when it is about the trunk."""
    topic = memory.label[-1] if memory.label else memory.topic
    if topic is None or not _limb(topic.organ, table):
        return None
    for place in (topic, *(place for _sentence, place in reversed(memory.sided))):
        row = table.get(place.organ)
        if row is not None and row.parent in ("body region", "joint") and _limb(place.organ, table):
            return place
    return Place("")


def _say_of_subject(entry: Entry, earlier: Sequence[Entry], memory: Memory) -> None:
    """ "… is fatty": of the structure named before in the sentence, or of what the sentence goes on about."""
    here = [e for e in earlier if e.sentence == entry.sentence and e.place is not None and e.first < entry.first]
    if here:
        entry.place = here[-1].place
    elif entry.leans_on_it:
        entry.place, entry.inherited = memory.topic, True


def _before(entry: Entry, earlier: Sequence[Entry], memory: Memory) -> Place | None:
    """The structure of the lesion named before in the sentence, of the heading, of the sentences before."""
    here = [
        e for e in earlier
        if e.sentence == entry.sentence and e.place is not None and e.first < entry.first and not (e.lesion and e.by_usual)
    ]  # fmt: skip
    if here:
        return here[-1].place
    usual = [e for e in earlier if e.sentence == entry.sentence and e.place is not None and e.by_usual]
    if memory.label and not (entry.leans_on_it and memory.topic is not None):
        return memory.label[-1]
    vague = entry.lesion in _values("nowhere")
    alike = [e for e in earlier if e.lesion == entry.lesion and e.place is not None]
    if memory.topic is None and alike and not vague:
        return alike[-1].place
    return memory.topic or (usual[-1].place if usual and not vague else None)


def _moved(entry: Entry, table: StructureTable) -> str:
    """The one place a kind of lesion has whatever is named beside it: an effusion beside a lung is in the pleura."""
    organ = entry.place.organ if entry.place else ""
    if entry.lesion in _values("always"):
        return _values("always")[entry.lesion]
    if entry.lesion == "effusion" and any(part in organ for part in _CHEST):
        return "pleural cavity"
    if entry.lesion == "stenosis" and organ.startswith("intervertebral dis"):
        return "spinal canal"
    if organ == "pleural cavity" and entry.lesion in _ON_THE_PLEURA:
        return "pleura"
    if entry.lesion == "effusion" and organ in ("heart", "left ventricle", "right ventricle"):
        return "pericardium"
    return ""


def _within(organ: str, usual: str, table: StructureTable) -> bool:
    """Whether a structure named before lies in the usual place of the lesion."""
    if organ == usual:
        return True
    row, wide = table.get(organ), table.get(usual)
    if usual not in LARGE or row is None or wide is None:
        return False
    if usual == "brain":
        return "brain" in row.regions or row.part_of == "brain"
    return organ != usual and usual.rstrip("s") in f"{row.name} {row.part_of} {row.parent}"


def usual_place(said: str, kind: str) -> str:
    """Where a lesion usually is, by the words for it ("gallstone") or its kind; "" when it may be anywhere."""
    for words in (said, kind):
        found = _hosts().find(words.split())
        if found and found[0].last - found[0].first == len(words.split()):
            return found[0].value
    form = form_of(said) if said.isalpha() else None
    return form.structure if form is not None else ""


def _pairs(table: StructureTable, name: str) -> bool:
    row = table.get(name)
    return row is not None and row.side == "both"


@cache
def _hosts() -> Phrases[str]:
    return Phrases(report_words()["host"], plurals=True)


@cache
def _values(kind: str) -> dict[str, str]:
    return dict(report_words()[kind])
