"""Where a lesion is when nothing beside it says so: its usual place, the structure named before, the heading."""

from __future__ import annotations

from dataclasses import replace

from ...words.limbs import is_region, limb_of
from ..entries import OTHER, Place
from ..hosts import may_collapse, only_place, pairs, values, within
from .nearby import Nearby

_NOT_AT = {"varix": ("spleen", "liver", "portal and splenic vein")}
_OF_HEAD_REGIONS = frozenset({"brain", "head", "neck", ""})
_OF_HEAD = ("avascular necrosis", "osteonecrosis")


class Settler(Nearby):
    """Settles the place of one entry, in the order: its only possible place, as said, its usual place, as before."""

    def settle(self) -> None:
        """Give the entry its place, and the memory its topic."""
        entry = self.entry
        if not entry.lesion:
            self._keep_topic()
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
        self._correct()
        said = entry.usual_by_name or not entry.by_usual
        if entry.place is not None and said and not entry.denied and not entry.place.relative:
            self.memory.topic = entry.place

    def _keep_topic(self) -> None:
        """What a structure leaves to the next sentence."""
        place = self.entry.place
        if place is not None and self.entry.how != "surgery" and not place.relative:
            row = self.table.get(place.organ)
            part = row is not None and row.name.startswith("isthmus")  # no sentence goes on about it
            self.memory.topic = Place(row.part_of) if row is not None and part else place

    def _correct(self) -> None:
        """What the place found says of the lesion itself, and of its side."""
        entry, removed = self.entry, self._removed()
        if entry.place is None:
            return
        if entry.lesion in _OF_HEAD and entry.place.organ == "hip joint":
            entry.place = replace(entry.place, organ="head of femur")
        if entry.afresh and entry.place.side in OTHER and not entry.side and not self.memory.label:
            organ, side = entry.place.organ, OTHER[entry.place.side]
            if any(e.place is not None and e.place.organ == organ and e.stands == side for e in self.earlier):
                entry.place = replace(entry.place, side="")  # of both kidneys spoken of before: "No calculi."
        if entry.how == "predicate" and not may_collapse(entry):
            entry.lesion, entry.state = "", "shown"  # "duodenum collapsed but normal"
        if entry.lesion == "recurrence" and removed is not None and not entry.stands:
            entry.side = removed.side if removed.organ == entry.place.organ else ""  # "recurrence in the renal bed"
        if entry.lesion == "effusion" and only_place(entry):
            entry.place = Place(only_place(entry), entry.place.side)

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
        if not entry.beside or entry.stands or row is None or (entry.place and entry.place.side not in ("", "plural")):
            return
        if row.side != "both" and not row.name.endswith(("space", "nerve root")):
            return
        with_it = [e.place for e in self.here if e.lesion and e.stands == entry.beside]
        near = [self.table.get(place.organ) for place in with_it[-1:] if place is not None]
        if not with_it or any(r is not None and set(r.regions) & set(row.regions) for r in near):
            entry.side = entry.beside

    def _move_to(self, only: str) -> None:
        entry, before = self.entry, self._before()
        if (
            before is not None
            and entry.afresh
            and not self.memory.label
            and not any(e.place is before for e in self.here)
        ):
            before = None  # "Left effusion. No pneumothorax."
        if entry.place is None and before is not None and before.organ == only and not entry.side:
            halves = {e.stands for e in self.here if e.place is not None and e.place.organ == only and not e.lesion}
            both = entry.denied_here and {"left", "right"} <= halves  # "RK 10 cm, LK 11 cm, no hydronephrosis"
            entry.place = replace(before, side="both") if both else before
        label = self.memory.label[-1] if len(self.memory.label) == 1 else None
        if (
            entry.place is None
            and not entry.side
            and label is not None
            and label.side in OTHER
            and only == "pleural cavity"
        ):
            entry.side = label.side  # "Right apex: pneumothorax"
        entry.by_usual = entry.place is None or entry.place.organ != only
        side = entry.side or (entry.place.side if entry.place else "")
        moved = entry.place is not None and entry.place.organ != only
        if only == "peritoneal cavity" or (side == "plural" and (moved or not pairs(self.table, only))):
            side = entry.side if entry.side != "plural" else ""
        entry.place = Place(only, side)

    def _find_place(self) -> None:
        """The usual place, or a structure spoken of before."""
        entry = self.entry
        joint, removed, seen = self._articular(), self._removed(), self._seen_before()
        before = self._before()
        near = self._is_near(before)
        if joint is not None:
            entry.place = replace(joint, side=entry.side) if entry.side else joint
        elif entry.lesion == "recurrence" and removed is not None:
            entry.place, entry.inherited = removed, True
        elif self.hedged and before is not None and near and self._where_seen(before):
            self._take_seen(before)
        elif seen is not None and self.hedged and not entry.usual_by_name and not entry.names_place:
            entry.place, entry.inherited = seen, True
        else:
            self._take_usual(before, self._usual(before, near=near), near=near)

    def _where_seen(self, before: Place) -> bool:
        """Whether what something seen may be lies there: its words say no place, or a wider one."""
        return not self.entry.usual_by_name or (
            self.entry.usual == "brain" and within(before.organ, "brain", self.table)
        )

    def _articular(self) -> Place | None:
        """The joint of what only joints have, or None."""
        entry = self.entry
        if entry.names_place or not (entry.lesion == "effusion" or entry.lesion in values("articular")):
            return None
        named = [e.place for e in self.here if e.place is not None and is_region(e.place.organ, self.table)]
        joint = self._joint()
        return named[-1] if joint is None and named else joint

    def _take_seen(self, before: Place) -> None:
        """What a thing seen in the same sentence may be lies where it was seen."""
        entry = self.entry
        shown = [e.place for e in self.here if e.lesion and e.group != entry.group and e.place is not None]
        joint = self.table.get(shown[-1].organ) if shown else None
        bone = self.table.get(entry.usual)
        if joint is not None and bone is not None and (joint.parent, bone.parent) == ("joint", "bone"):
            side = entry.side or shown[-1].side
            entry.place = Place(entry.usual, side)  # "dislocated shoulder, Hill-Sachs defect suspected"
            return
        where = shown[-1] if shown else before
        seen = next((e for e in reversed(self.earlier) if e.place is where and e.lesion), None)
        if seen is not None and not entry.side:
            entry.side = seen.side
        bones = [p for p in (where, self.memory.topic) if p is not None and self._of_bone(p)]
        self._take_usual(bones[0] if bones else where, "", near=True)

    def _usual(self, before: Place | None, *, near: bool) -> str:
        """The usual place, if the structure before does not say better; "" when there is none."""
        entry = self.entry
        if near and entry.lesion in values("signal"):
            return ""
        topic = self.table.get(before.organ) if before is not None else None
        diffuse = entry.lesion == "atrophy" or (entry.lesion == "oedema" and entry.afresh)
        if diffuse and not near and topic is not None and set(topic.regions) == {"brain"}:
            return "brain"
        elsewhere = topic is not None and bool(topic.regions) and not _OF_HEAD_REGIONS & set(topic.regions)
        if entry.usual == "brain" and elsewhere and not entry.names_place:
            return ""  # "Psoas enlarged. Active bleeding."
        return entry.usual if self.table.get(entry.usual) else ""

    def _take_usual(self, before: Place | None, usual: str, *, near: bool) -> None:
        """The usual place or the structure before, whichever says more."""
        entry = self.entry
        bones = [p for p in (before, self.memory.topic) if p is not None and near and self._of_bone(p)]
        if bones:
            before, usual = bones[0], ""
        inside = before is not None and within(before.organ, usual, self.table)
        regions = self.memory.label or self.memory.regions[:1]
        if entry.lesion == "fracture" and not near and regions and limb_of(regions[-1].organ, self.table):
            entry.place = replace(regions[-1], side=entry.side) if entry.side else regions[-1]
        elif before is not None and before.organ in _NOT_AT.get(entry.lesion, ()):
            return  # "splenomegaly, varices, ascites" does not say of what
        elif usual and not (before is not None and inside and (near or before.organ == usual)):
            entry.place, entry.by_usual = Place(usual, entry.side), True
        elif before is not None and not entry.elsewhere and (near or inside or self._may_inherit()):
            self._inherit(before)

    def _may_inherit(self) -> bool:
        entry = self.entry
        return self.hedged or not self._vague() or entry.side in OTHER or bool(entry.words_before)

    def _inherit(self, before: Place) -> None:
        """Take over the structure spoken of before."""
        entry = self.entry
        entry.inherited = before is self.memory.topic
        told = next((e for e in reversed(self.earlier) if e.place is not None and e.place.organ == before.organ), None)
        alone = told is None or bool(told.lesion)  # "Liver 17 cm. No focal lesion." is said of the liver
        entry.from_afar = entry.inherited and alone and not (self.memory.label or self.here or self.memory.goes_on)
        entry.place = replace(before, side=entry.side) if entry.side else before

    def _say_of_subject(self) -> None:
        """ "… is fatty": of the structure named before in the sentence, or of what the sentence goes on about."""
        entry = self.entry
        here = [e for e in self.here if e.first < entry.first]
        if here:
            entry.place = here[-1].place
        elif entry.leans_on_it:
            entry.place, entry.inherited = self.memory.topic, True
