"""Which structures a lesion is said of, as far as its own sentence tells, and on which side it goes with another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..words.kinds import always, carrying, sized
from ..words.limbs import is_region
from .entries import OTHER, Entry, Place
from .hosts import usual_place
from .seen import Seen
from .structures.clause import JOINTS

_NEAR = 6  # words in which "underlying" or "secondary to" stands before a lesion
_LAYERS = ("subcutaneous fat", "skin", "skeletal muscle", "soft tissue")


class LesionPlaces(Seen):
    """Finds the structures of a lesion."""

    def _places_of(self, k: int, here: Sequence[Entry], *, its_own: bool) -> tuple[list[Place | None], bool]:
        """The structures the lesion is in, and whether a later word may say better."""
        item = self.items[k]
        if item.how == "action":
            return [], False
        places: list[Place | None] = list(self.compound)
        told = usual_place(" ".join(self.words[item.first : item.last]), "")
        label = self.memory.label[-1] if self.memory.label else None
        if places and label is not None and self.compound[0].organ in _LAYERS and is_region(label.organ, self.table):
            return [label], True  # "left forearm: subcutaneous lipoma"
        if (
            its_own
            and self.compound
            and told not in self.compound[0].organ
            and not self._inside(self.compound[0].organ, told)
        ):
            return [Place(told, self.compound[0].side)], False  # "right foraminal disc protrusion"
        if places or not self.subject or item.name in always() or its_own or self._elsewhere(k) or self._of_joint(k):
            return places, bool(places) and self.adjective
        spoken = here[-1].place if here and here[-1].place is not None and not here[-1].weak else None
        places = self._of_both(k, self.subject)
        half = self.current[0] if self.current else None
        if half is not None and not half.lesion and half.place is not None and len(places) == 1:
            with_it = "with" in self.words[max(half.last, item.first - _NEAR) : item.first]
            places = [half.place] if with_it and half.stands in OTHER and self._same_organ(half) else places
        denied = "no" in self.before(k) and "," in self.before(k)
        if (
            spoken is not None
            and not denied
            and self.subject[0] in self.memory.label
            and spoken.organ != self.subject[0].organ
        ):
            places = [replace(spoken, side="")]
        apposed = "," in self.before(k) and not set(self.before(k)) & (JOINTS - {","} | {"no", "without", "with"})
        if (item.how == "predicate" and ("dash" in self.before(k) or item.name in sized())) or (
            apposed and item.name in sized() and self.items[k - 1].sort == "size"
        ):
            self._speak_of_organs(self.subject)
        return places, True

    def _same_organ(self, half: Entry) -> bool:
        """ "Ovaries: right 28 mm, left 52 mm with a dermoid": the half is one of what the sentence is about."""
        return half.place is not None and half.place.organ == self.subject[0].organ

    def _elsewhere(self, k: int) -> bool:
        """ "The prostate is 5 cm, no lymph node enlargement": not said of the structure before the comma."""
        listed = self.items[k].name in ("lymphadenopathy", "metastasis") and "," in self.before(k)
        return listed and "no" in self.before(k) and bool(self.subject) and self.subject[-1] not in self.memory.label

    def _of_both(self, k: int, subject: Sequence[Place]) -> list[Place | None]:
        """ "Right kidney 9.8 cm, left 10.1 cm, no calculus": what is denied behind both sides is denied of both."""
        if len(subject) == 1 and subject[0].side in OTHER:
            organ = subject[0].organ
            sides = {e.stands for e in self.entries if e.place is not None and e.place.organ == organ and not e.lesion}
            denied = {"no", "without", "nil"} & set(self.before(k)) or any(
                e.stands == "both" for e in self.entries[-1:]
            )
            if {"left", "right"} <= sides and denied:
                return [replace(subject[0], side="both")]
        return list(subject)

    def _speak_of_organs(self, places: Sequence[Place]) -> None:
        """ "Ascending aorta 4.6 cm - aneurysmal": the size told of the structure is that of what it is said to be."""
        for entry in list(self.entries[-len(places) :]):
            if not entry.lesion and entry.place in places and entry.sizes:
                self.pre_sizes += [size for size in entry.sizes if size not in self.pre_sizes]
                self.entries.remove(entry)

    def _beside(self, k: int, here: Sequence[Entry]) -> str:
        """The side of the lesion it goes with, or of what it is said to lie under or upstream of."""
        first = self.items[k].first
        before = set(self.before(k)) | set(self.words[max(here[-1].last if here else 0, first - _NEAR) : first])
        if before & carrying():
            return self.last_side if self.last_side in OTHER else ""
        joiners = (
            {"with", "causing", "and", ","} if self.items[k].name == "hydronephrosis" else {"with", "causing", "and"}
        )
        joined = bool(here) and bool(joiners & before) and not {"without", "no"} & before
        side = (here[-1].stands or here[-1].beside) if joined else ""
        return side if side in OTHER else ""
