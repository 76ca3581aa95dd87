"""Where a lesion is when nothing beside it says so: its usual place, the structure named before, the heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...anatomy.structures import StructureTable
from ..words.kinds import seen_things
from ..words.limbs import is_region, limb_of
from .entries import OTHER, Entry, Memory, Place
from .hosts import may_collapse, only_place, pairs, values, within

_NOT_AT = {"varix": ("spleen", "liver", "portal and splenic vein")}
_OF_HEAD = ("avascular necrosis", "osteonecrosis")


class Settler:
    """Settles the place of one entry, in the order: its only possible place, as said, its usual place, as before.

    Args:
        earlier: the entries of the paragraph before it.
        hedged: the lesion is only what something seen may be, and so lies where that was seen.
    """

    def __init__(
        self, entry: Entry, earlier: Sequence[Entry], memory: Memory, table: StructureTable, *, hedged: bool
    ) -> None:
        self.entry, self.earlier, self.memory, self.table, self.hedged = entry, earlier, memory, table, hedged
        self.here = [e for e in earlier if e.sentence == entry.sentence and e.place is not None]

    def settle(self) -> None:
        """Give the entry its place, and the memory its topic."""
        entry = self.entry
        if not entry.lesion:
            if entry.place is not None and entry.how != "surgery" and not entry.place.relative:
                row = self.table.get(entry.place.organ)
                part = row is not None and row.name.startswith("isthmus")  # no sentence goes on about it
                self.memory.topic = Place(row.part_of) if row is not None and part else entry.place
            return
        self._take_sides()
        only = only_place(entry)
        if only:
            self._move_to(only)
        elif entry.place is None and entry.how == "predicate":
            self._say_of_subject()
            return
        elif entry.place is None:
            self._find_place()
        if entry.place is not None and entry.lesion in _OF_HEAD and entry.place.organ == "hip joint":
            entry.place = replace(entry.place, organ="head of femur")
        if (
            entry.afresh
            and entry.place is not None
            and entry.place.side in OTHER
            and not entry.side
            and not self.memory.label
        ):
            organ, side = entry.place.organ, OTHER[entry.place.side]
            if any(e.place is not None and e.place.organ == organ and e.stands == side for e in self.earlier):
                entry.place = replace(entry.place, side="")  # of both kidneys spoken of before: "No calculi."
        if entry.place is not None and entry.how == "predicate" and not may_collapse(entry):
            entry.lesion, entry.state = "", "shown"  # "duodenum collapsed but normal"
        removed = self._removed()
        if entry.lesion == "recurrence" and entry.place is not None and removed is not None and not entry.stands:
            entry.side = removed.side if removed.organ == entry.place.organ else ""  # "recurrence in the renal bed"
        if entry.place is not None and entry.lesion == "effusion" and only_place(entry):
            entry.place = Place(only_place(entry), entry.place.side)
        said = entry.usual_by_name or not entry.by_usual
        if entry.place is not None and said and not entry.denied and not entry.place.relative:
            self.memory.topic = entry.place

    def _take_sides(self) -> None:
        """What something seen may be, or goes with it in the same part of the body, is on its side."""
        entry = self.entry
        shown = [e for e in self.here if e.lesion]
        if self.hedged and entry.place is not None and not entry.stands and shown:
            seen = shown[-1]
            if seen.place is not None and seen.place.organ == entry.place.organ:
                entry.side = seen.stands
        organ = entry.place.organ if entry.place is not None else entry.usual
        row = self.table.get(organ) if organ else None
        if self.hedged and entry.place is None and shown and row is not None and row.side == "both" and not entry.side:
            seen = shown[-1]
            by = self.table.get(seen.place.organ) if seen.place is not None else None
            entry.side = seen.stands if by is not None and set(by.regions) & set(row.regions) else ""
        if not entry.beside or entry.stands or row is None or (entry.place and entry.place.side):
            return
        if row.side != "both" and not row.name.endswith(("space", "nerve root")):
            return
        with_it = [e.place for e in self.here if e.lesion and e.stands == entry.beside]
        near = [self.table.get(place.organ) for place in with_it[-1:] if place is not None]
        if not with_it or any(r is not None and set(r.regions) & set(row.regions) for r in near):
            entry.side = entry.beside

    def _move_to(self, only: str) -> None:
        entry, before = self.entry, self._before()
        if entry.place is None and before is not None and before.organ == only and not entry.side:
            halves = {e.stands for e in self.here if e.place is not None and e.place.organ == only and not e.lesion}
            both = entry.denied_here and {"left", "right"} <= halves  # "RK 10 cm, LK 11 cm, no hydronephrosis"
            entry.place = replace(before, side="both") if both else before
        entry.by_usual = entry.place is None or entry.place.organ != only
        side = entry.side or (entry.place.side if entry.place else "")
        moved = entry.place is not None and entry.place.organ != only
        if only == "peritoneal cavity" or (side == "plural" and (moved or not pairs(self.table, only))):
            side = entry.side if entry.side != "plural" else ""
        entry.place = Place(only, side)

    def _find_place(self) -> None:
        """The usual place, or a structure spoken of before."""
        entry = self.entry
        usual = entry.usual if self.table.get(entry.usual) else ""
        articular = entry.lesion == "effusion" or entry.lesion in values("articular")
        named = [e.place for e in self.here if e.place is not None and is_region(e.place.organ, self.table)]
        joint = self._joint() if articular and not entry.names_place else None
        joint = named[-1] if joint is None and articular and named and not entry.names_place else joint
        if joint is not None:
            entry.place = replace(joint, side=entry.side) if entry.side else joint
            return
        before = self._before()
        removed = self._removed()
        if entry.lesion == "recurrence" and removed is not None:
            entry.place, entry.inherited = removed, True
            return
        near = self._is_near(before)
        if self.hedged and before is not None and near and not entry.usual_by_name:
            shown = [e.place for e in self.here if e.lesion and e.group != entry.group]
            joint = self.table.get(shown[-1].organ) if shown else None
            bone = self.table.get(usual)
            if joint is not None and bone is not None and (joint.parent, bone.parent) == ("joint", "bone"):
                entry.place = Place(
                    usual, entry.side or shown[-1].side
                )  # "dislocated shoulder, Hill-Sachs defect suspected"
                return
            before, usual = shown[-1] if shown else before, ""
            seen = next((e for e in reversed(self.earlier) if e.place is before and e.lesion), None)
            if seen is not None and not entry.side:
                entry.side = seen.side
        seen = self._seen_before()
        if seen is not None and self.hedged and not entry.usual_by_name and not entry.names_place:
            entry.place, entry.inherited = seen, True
            return
        if near and entry.lesion in values("signal"):
            usual = ""
        bones = [p for p in (before, self.memory.topic) if p is not None and near and self._of_bone(p)]
        if bones:
            before, usual = bones[0], ""
        inside = before is not None and within(before.organ, usual, self.table)
        label = (self.memory.label or self.memory.regions[:1] or [None])[-1]
        if (
            self._vague()
            and label is not None
            and limb_of(label.organ, self.table)
            and entry.lesion == "fracture"
            and not near
        ):
            entry.place = replace(label, side=entry.side) if entry.side else label
            return
        topic = self.table.get(before.organ) if before is not None else None
        diffuse = entry.lesion == "atrophy" or (entry.lesion == "oedema" and entry.afresh)
        if diffuse and not near and topic is not None and set(topic.regions) == {"brain"}:
            usual = "brain"
        if before is not None and before.organ in _NOT_AT.get(entry.lesion, ()):
            return  # "splenomegaly, varices, ascites" does not say of what
        if usual and not (before is not None and inside and (near or before.organ == usual)):
            entry.place, entry.by_usual = Place(usual, entry.side), True
        elif (
            before is not None
            and not entry.elsewhere
            and (near or self.hedged or not self._vague() or inside or entry.side in OTHER or entry.words_before)
        ):
            entry.inherited = before is self.memory.topic
            told = next(
                (e for e in reversed(self.earlier) if e.place is not None and e.place.organ == before.organ), None
            )
            alone = told is None or bool(told.lesion)  # "Liver 17 cm. No focal lesion." is said of the liver
            entry.from_afar = entry.inherited and alone and not (self.memory.label or self.here or self.memory.goes_on)
            entry.place = replace(before, side=entry.side) if entry.side else before

    def _is_near(self, before: Place | None) -> bool:
        """Whether the structure before was named in the same sentence, or in the one that this goes on about."""
        entry = self.entry
        row = self.table.get(before.organ) if before is not None else None
        vessel = row is not None and row.parent in ("artery", "vein")
        leans = (
            entry.leans and not (entry.usual_by_name and vessel) and not (entry.names_place and not entry.leans_on_it)
        )
        return any(e.place is before for e in self.here) or leans or entry.lesion == "collapse"

    def _removed(self) -> Place | None:
        """The half of a pair that was removed, or that the paragraph is about."""
        gone = next((e.place for e in reversed(self.earlier) if e.how == "surgery" and e.place), None)
        topic = self.memory.topic if self.memory.topic is not None and self.memory.topic.side in OTHER else None
        place = gone or topic
        return place if place is not None and pairs(self.table, place.organ) else None

    def _seen_before(self) -> Place | None:
        """Where a thing without a name was seen in the sentence before, if the usual place is in that part of the body."""
        entry = self.entry
        before = [e for e in self.earlier if e.sentence == entry.sentence - 1 and e.lesion and not e.denied]
        if self.here or not before or before[-1].lesion not in seen_things() or before[-1].place is None:
            return None
        here, usual = self.table.get(before[-1].place.organ), self.table.get(entry.usual)
        alike = here is not None and (usual is None or set(here.regions) & set(usual.regions))
        side = before[-1].stands
        return replace(before[-1].place, side=side) if alike else None

    def _vague(self) -> bool:
        return self.entry.lesion in values("nowhere")

    def _of_bone(self, before: Place) -> bool:
        """Whether marrow oedema or a collapse is that of the bone spoken of."""
        row = self.table.get(before.organ)
        if row is None or not (self.entry.usual == "bone marrow" or self.entry.lesion in ("collapse", "height loss")):
            return False
        return "bone" in (row.parent, row.is_a) or "vertebra" in row.name or bool(limb_of(row.name, self.table))

    def _joint(self) -> Place | None:
        """The limb or joint that the paragraph is about, or None when it is about the trunk."""
        memory = self.memory
        topic = memory.label[-1] if memory.label else memory.topic
        if topic is None or not limb_of(topic.organ, self.table):
            return None
        named = {place.organ for place in memory.regions}
        for place in (topic, *(place for _sentence, place in reversed(memory.sided)), *memory.regions):
            row = self.table.get(place.organ)
            inner = row is not None and row.part_of in named  # the patellofemoral joint, in an MRI of the knee
            if is_region(place.organ, self.table) and limb_of(place.organ, self.table) and not inner:
                return place
        return Place("")

    def _say_of_subject(self) -> None:
        """ "… is fatty": of the structure named before in the sentence, or of what the sentence goes on about."""
        entry = self.entry
        here = [e for e in self.here if e.first < entry.first]
        if here:
            entry.place = here[-1].place
        elif entry.leans_on_it:
            entry.place, entry.inherited = self.memory.topic, True

    def _before(self) -> Place | None:
        """The structure of the lesion named before in the sentence, of the heading, of the sentences before."""
        entry, memory = self.entry, self.memory
        here = [e for e in self.here if e.first < entry.first and not (e.lesion and e.by_usual)]
        if here:
            return max(here, key=lambda e: e.first).place
        usual = [e for e in self.here if e.by_usual]
        if usual and usual[-1].group == entry.group and not memory.label and not self._vague():
            return usual[-1].place  # "no pneumatosis or perforation"
        if usual and usual[-1].place is not None and usual[-1].lesion.split()[-1] in usual[-1].place.organ:
            return usual[-1].place  # "horseshoe kidney with a stone"
        if memory.label and not (entry.leans_on_it and memory.topic is not None):
            return memory.label[-1]
        alike = [e for e in self.earlier if e.lesion == entry.lesion and e.place is not None]
        if alike and self._vague() and entry.side in OTHER and alike[-1].stands == OTHER[entry.side]:
            return alike[-1].place  # "… inguinal hernia on the right. No hernia on the left."
        if alike and entry.words_before and not entry.side and alike[-1].sentence >= entry.sentence - 1:
            return alike[-1].place  # "Additional metastases are stable."
        if memory.topic is None and alike and not self._vague():
            return alike[-1].place
        return memory.topic or (usual[-1].place if usual and not self._vague() else None)


def give_limb_sides(
    paragraphs: Sequence[Sequence[Entry]], sided: Sequence[tuple[int, Place]], table: StructureTable
) -> None:
    """A part of a limb without a side is on the only side that its sentence, paragraph or report names for that limb."""
    named = [(sentence, limb_of(place.organ, table), place.side) for sentence, place in sided]
    named = [one for one in named if one[1]]
    regions = [place for _sentence, place in sided if is_region(place.organ, table)]
    about = {(limb_of(place.organ, table), place.side) for place in regions}
    for entries in paragraphs:
        here = {entry.sentence for entry in entries}
        for entry in entries:
            place = entry.place
            row = table.get(place.organ) if place is not None else None
            if (
                place is None
                or row is None
                or row.side not in ("both", "")
                or entry.side
                or place.side not in ("", "plural")
            ):
                continue
            limb = limb_of(place.organ, table)
            if place.side == "plural":  # "MRI right leg … popliteal and femoral veins", but not "knees normal"
                told = [side for other, side in about if other == limb]
                if "limb" in row.regions and not is_region(place.organ, table) and len(told) == 1:
                    entry.place = replace(place, side=told[0])
                continue
            for sentences in ({entry.sentence}, here, None):
                sides = {side for s, other, side in named if other == limb and (sentences is None or s in sentences)}
                if len(sides) == 1:
                    entry.place = replace(place, side=sides.pop())
                if sides or entry.place is not place:
                    break
