"""What is seen and what it is: an identity given behind it, how it looks, and what it does to its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..context import presence_of
from ..words.kinds import (
    explained,
    explaining,
    hedges,
    identified,
    into,
    joint_held,
    seen_things,
    signs,
    verbs,
    whereabouts,
)
from ..words.naming import Item
from .entries import Entry, Place
from .hosts import usual_place
from .structures.clause import JOINTS
from .structures.organs import Organs

_CONTENTS = frozenset({"gas", "air", "fluid", "fat", "debris", "haemorrhage", "blood", "calcification"})
_FEW = 4  # words of a sentence that only names what was seen


class Seen(Organs):
    """Tells a lesion from a word that only names or describes the one before."""

    def _take_place(self, entry: Entry, k: int) -> None:
        """The place the identity is named with, if it is another than where the thing was seen."""
        said, seen = self.compound[0] if self.compound else None, entry.place
        named = usual_place(" ".join(self.words[self.items[k].first : self.items[k].last]), "")
        if said is None and seen is None and named:
            said = Place(named)  # "in keeping with parathyroid adenoma"
        if said is None and usual_place("", entry.lesion) == "lungs":
            said = Place("lungs")  # "flattened diaphragms in keeping with COPD"
        if said is None or said.side:
            return
        if seen is None or not self._inside(seen.organ, said.organ):
            entry.place = replace(said, side=seen.side if seen is not None else "")

    def _names_seen(self, k: int, here: Sequence[Entry]) -> bool:
        """ "Adrenal nodule 21 mm, lipid-rich adenoma", "Sellar mass 22 mm. Macroadenoma.": what was seen is named."""
        item = self.items[k]
        if not (item.name in identified() or item.name.endswith("oma")) or k + 1 < len(self.items):
            return False
        if presence_of(self.words, item.first, item.last) != "present" or {"residual", "new"} & set(self.before(k)):
            return False
        if here:
            behind = self.before(k)
            cut = max((n + 1 for n, word in enumerate(behind) if word in (",", ":", "dash")), default=0)
            if not cut or set(behind[cut:]) & (JOINTS | verbs() | hedges() | {"no", "not", "without"}) or self.after(k):
                return False
            seen = [entry for entry in here if entry.group == here[-1].group]
        else:
            told = " ".join(self.words[item.first : item.last])
            alone = len(self.items) == 1 and len(self.words) <= _FEW and ":" not in self.words
            seen = list(self.memory.seen) if alone and not (" " in told and usual_place(told, "")) else []
        if not seen or any(e.lesion not in seen_things() or e.denied or e.place is None for e in seen):
            return False
        told = " ".join(self.words[item.first : item.last])
        where = self.compound[0].organ if self.compound else usual_place(told, "") if " " in told else ""
        if where and not all(e.place is not None and self._inside(e.place.organ, where) for e in seen):
            return False  # "adrenal nodule 21 mm, liver cyst"
        for entry in seen:
            entry.lesion, entry.affirmed = item.name, True
            usual = usual_place("", item.name)
            if usual and entry.place is not None and not self._inside(entry.place.organ, usual) and not entry.stands:
                entry.place = Place(usual)
        self._reset()
        self.current = seen
        return True

    def _is_sign(self, k: int, here: Sequence[Entry]) -> bool:
        """ "Nodule with uptake", "fracture, volar angulation", "abscess containing gas": how a lesion looks, not another."""
        item, before = self.items[k], self.before(k)
        if not here or here[-1].lesion == item.name or self.compound or self.pre_sizes or self.pre_side:
            return False
        held = item.name in _CONTENTS and bool({"containing", "contains"} & set(before))
        if held:
            return True
        if item.name == "necrosis" and here[-1].lesion == "lymphadenopathy":
            return True  # "nodes with central necrosis"
        nxt = self.next(k)
        placed = nxt is not None and nxt.sort in ("organ", "side") and bool(set(self.before(k + 1)[:1]) & into())
        denied = item.name == "uptake" and bool({"no", "without"} & set(before))  # says that nothing is active
        return item.name in signs() and not placed and not denied

    def _told(self, here: Sequence[Entry]) -> Entry:
        """What an identity is told of: the last thing seen, but not the part in "a lesion with a nodule"."""
        last, before = here[-1], [entry for entry in here if entry.group != here[-1].group]
        part = "with" in self.words[max(0, last.first - 3) : last.first] and not last.sizes
        return before[-1] if part and before and before[-1].lesion in seen_things() else last

    def _explains(self, item: Item, here: Sequence[Entry]) -> bool:
        """Whether a disease is told that all of what was seen before it belongs to."""
        disease = item.name.endswith("itis") or item.name in explaining()
        return disease and all(entry.lesion in explained() and not entry.denied for entry in here)

    def _take_signs(self, k: int, here: Sequence[Entry]) -> None:
        """ "Wall thickening with stranding, consistent with colitis": the first becomes the disease, the others are its signs."""
        first = here[0]
        first.lesion, first.affirmed, first.how = self.items[k].name, True, "name"
        self._take_place(first, k)
        self.entries = [entry for entry in self.entries if entry is first or entry not in here]
        self._reset()
        self.current = [first]

    def _next_lesion(self, k: int) -> bool:
        """Whether the word is said of a lesion right behind its preposition: "uptake in a mesenteric nodule"."""
        if self.after(k)[:1] not in (["in"], ["within"], ["of"]):
            return False
        n = k + 1
        while n < len(self.items) and self.items[n].sort in ("size", "side", "organ", "count"):
            if n > k + 1 and not self._direct(n):
                return False
            n += 1
        return (
            n < len(self.items)
            and self.items[n].sort == "lesion"
            and self.items[n].how == "name"
            and (n == k + 1 or self._direct(n))
        )

    def _acts(self, k: int, here: Sequence[Entry]) -> bool:
        """ "Mass invading the cavernous sinus", "extrusion compressing the root": what it does there is a finding."""
        n = k + 1
        while n < len(self.items) and self.items[n].sort == "side" and self._direct(n):
            n += 1
        if not here or n == len(self.items) or self.items[n].sort != "organ":
            return False
        return self._direct(n) or all(word in ("the", "of", "half") or word in whereabouts() for word in self.before(n))

    def _of_joint(self, k: int) -> bool:
        """ "The ligament is intact, no loose body": what only a joint holds is not said of its parts."""
        row = self.table.get(self.subject[-1].organ)
        held = self.items[k].name == "effusion" or self.items[k].name in joint_held()
        return held and row is not None and row.parent in ("ligament", "tendon", "muscle", "cartilage", "nerve")
