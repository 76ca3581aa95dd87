"""Words that mean a part of what is spoken of, or only say whose it is, where it is or on which side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...words.kinds import carrying, clause_words, into, itself, verbs
from ...words.limbs import limb_of
from ...words.naming import Item
from ..entries import OTHER, Place
from .clause import JOINTS, SMALL_WORDS
from .listing import ADJECTIVE, Listing

_HOLDERS = ("temporal bone", "orbit", "ear", "inner ear", "middle ear", "axilla")
_GUT = ("intestine", "ileum", "jejunum", "colon", "duodenum")
_LOBED = "lung|lobe|liver|thyroid|brain|prostate|thymus|cerebr|parotid|breast"
_ALONE = {
    "loop": "small intestine",
    "apical": "lungs",
    "head": "head",
    "neck": "neck",
    "apex": "lungs",
    "base": "lungs",
}


class Belonging(Listing):
    """Understands bare parts ("the wall"), sides that carry over, and adjectives that name nothing by themselves."""

    def _part(self, part: str, side: str) -> Place:
        """The part ("wall", "head") of what the sentence is about, that itself, or what the word means alone."""
        named = [e.place for e in self.entries if e.place is not None and e.place.organ]
        topic = named[-1] if named else self.memory.topic or (self.memory.earlier if part == "lobe" else None)
        if topic is None:
            topic = Place(next((e.usual for e in reversed(self.entries) if e.usual), ""))
        row = self.table.get(topic.organ) if topic.organ else None
        if row is None:
            return Place(_ALONE.get(part, ""))
        if part in ("apex", "apical", "base") and "thorax" in row.regions and "heart" not in row.regions:
            return Place("lungs")
        if part == "loop":
            return topic if any(gut in topic.organ for gut in _GUT) else Place("small intestine")
        if part == "phalanx":
            limb = limb_of(topic.organ, self.table)
            return Place("phalanx of hand" if limb == "upper limb" else "phalanx of foot" if limb else "", topic.side)
        for whole in (topic.organ, topic.organ.removesuffix("s"), row.part_of, row.parent):
            for name in (f"{side} {part} of {whole}", f"{part} of {whole}", f"{whole} {part}"):
                found = self.table.get(name) if whole else None
                if found is not None:
                    return Place(found.name, topic.side if part != "lobe" and found.side == "both" else "")
        if part == "neck" and "bone" in (row.parent, *row.is_a.split()):
            return topic  # "mandible: fracture of the condylar neck"
        if part == "lobe" and topic.organ == "neck":
            return Place(f"{side} lobe of thyroid gland".strip() if side in OTHER else "thyroid gland")
        if part == "neck" or (part == "lobe" and not re.search(_LOBED, topic.organ)):
            return Place("neck" if part == "neck" else "")
        return topic

    def _in_context(self, organ: str, said: str) -> str:
        """ "CP angle" in a report of the head, "labrum" in one of the hip: what the short word means there."""
        about = [*self.memory.label, *([self.memory.topic] if self.memory.topic else []), *self.memory.regions[:1]]
        rows = [row for row in (self.table.get(place.organ) for place in about) if row is not None]
        if organ == "costophrenic angle" and any({"brain", "head"} & set(row.regions) for row in rows):
            return "cerebellopontine angle"
        if said in ("sulci", "sulcus") and any("thorax" in row.regions for row in rows):
            return "costophrenic angle"
        if said == "arch" and any("zygom" in word for word in self.words):
            return "zygomatic arch"
        if said.startswith("trochlea") and any(limb_of(row.name, self.table) == "lower limb" for row in rows):
            return "femoral trochlea"
        if organ == "ligamentum teres of liver" and any(limb_of(row.name, self.table) == "lower limb" for row in rows):
            return "hip joint"
        if organ == "glenoid labrum" and any(limb_of(row.name, self.table) == "lower limb" for row in rows):
            return "acetabular labrum"
        return organ

    def _is_bare_hilum(self, item: Item) -> bool:
        """ "The hilum" of a gland or kidney spoken of, and not of the lung."""
        topic = self.table.get(self.memory.topic.organ) if self.memory.topic is not None else None
        bare = item.name == "hilum of lung" and item.last - item.first == 1 and not item.plural
        return bare and topic is not None and "thorax" not in topic.regions

    def _carried_side(self, n: int, item: Item) -> str:
        """ "… on the right, where a stone sits in the ureter", "that elbow", and all of one radiograph of a limb."""
        row = self.table.get(item.name)
        head = self.memory.label[-1] if len(self.memory.label) == 1 else None
        if row is not None and row.parent in ("artery", "vein") and item.plural and self.front_side in OTHER:
            return self.front_side  # "Left: thrombus in the popliteal and posterior tibial veins"
        if (
            row is not None
            and row.side == "both"
            and head is not None
            and head.side in (*OTHER, "both")
            and head.organ != item.name
        ):
            limbs = limb_of(head.organ, self.table), limb_of(item.name, self.table)
            held = head.organ in _HOLDERS and self._inside(item.name, head.organ)
            if item.plural and (held or (limbs[0] and limbs[0] == limbs[1])):
                return head.side  # "Right humerus: … Shoulder and elbow joints congruent."
            if head.side == "both" and not item.plural and row.part_of == head.organ:
                return "both"  # "Both knees: medial compartment narrowing"
        if item.how == "part" and item.name == "lobe" and self.before(n)[-1:] == ["same"]:
            return self.last_side
        if row is None or row.side != "both" or item.plural:
            return ""
        near = self._near_before(n)
        if "where" in self.words[: item.first] or carrying() & set(near):
            return self.last_side
        label = self.memory.label[-1] if self.memory.label else None
        about = self.subject[-1] if len(self.subject) == 1 and self._lesions_here() else label
        if about is not None and about in self.subject and about.side in OTHER and about.organ != item.name:
            labelled = self.table.get(about.organ)
            if labelled is not None and set(labelled.regions) & set(row.regions):
                return about.side  # "Left carotid: stenosis of the internal carotid artery"
        vessel = row.parent in ("artery", "vein")  # "right arm: … internal jugular vein patent"
        if ("limb" in row.regions or vessel) and label is not None and label.side in OTHER:
            labelled = self.table.get(label.organ)
            if labelled is not None and "limb" in labelled.regions and label.organ != item.name:
                return label.side
        return ""

    def _lends_side(self, k: int, place: Place) -> bool:
        """ "The meniscus of the right knee", "scaphoid, right wrist": a part of a limb takes the side of its joint."""
        near = self._near_before(k)
        beside = (self.before(k)[-1:] == [","] and len(self.before(k)) < 4) or near[:1] in (["of"], ["in"])
        row = self.table.get(place.organ)
        if not beside or place.side not in OTHER or row is None or row.parent not in ("body region", "joint"):
            return False
        mine = [e for e in self.current if e.place is not None and not e.stands]
        rows = [self.table.get(e.place.organ) for e in mine if e.place is not None]
        if not mine or any(r is None or "limb" not in r.regions or r.side != "both" for r in rows):
            return False
        for entry in mine:
            entry.put_side(place.side)
        self.last_side = place.side
        return True

    def _is_whole_of(self, k: int, places: Sequence[Place]) -> bool:
        """ "The deep veins of the left leg": the second only says whose the first are, and on which side."""
        if self._near_before(k)[:1] != ["of"] or k == 0 or self._lesions_here() or not self.current:
            return False
        first = next((n for n in range(k - 1, -1, -1) if self.items[n].sort != "side"), None)
        if first is None or self.items[first].sort != "organ" or self.current[0].lesion:
            return False
        for entry in self.current:
            row = self.table.get(entry.place.organ) if entry.place is not None else None
            if row is not None and row.side == "both" and entry.stands == "" and places[0].side:
                entry.put_side(places[0].side)
        return True

    def _is_pair(self, item: Item) -> bool:
        row = self.table.get(item.name)
        return row is not None and row.side == "both"

    def _belongs_to_noun(self, k: int) -> bool:
        """Whether an adjective stands before a noun that is not the structure itself."""
        item, after = self.items[k], self.after(k)[:1]
        said = self.words[item.last - 1]
        if item.how != "adjective" or not said.endswith(ADJECTIVE) or not after or not after[0].isalpha():
            return False
        return after[0] not in itself() | verbs() | into() | clause_words() | JOINTS | SMALL_WORDS | {
            "no",
            "not",
            "without",
            "from",
            "by",
            "there",
            "which",
            "where",
            "query",
        }

    def _only_says_where(self, k: int, last: int) -> bool:
        """ "The larger one, subpleural, is 9 mm": an adjective between commas says more of the lesion before it."""
        item = self.items[k]
        adjective = item.how == "adjective" and self.words[item.last - 1].endswith(ADJECTIVE)
        about = bool(self.current) and bool(self.current[0].lesion) and not self.current[0].open
        if last + 1 < len(self.items) and self.items[last + 1].sort == "state" and not self.before(last + 1):
            return False  # "occlusion of the femoral artery, popliteal patent"
        return adjective and about and k == last and self.before(k)[-1:] == [","] and not self._sized_next(last)

    def _is_spoken_of(self, k: int, places: Sequence[Place]) -> bool:
        """Whether a structure behind a preposition is what the sentence is about: "length of the kidney", not "graft in the fossa"."""
        same = any(e.place is not None and e.place.organ == places[0].organ for e in self.current)
        return not same and (self.pre_state is not None or "of" in self._near_before(k) or not self.entries)

    def _spoken(self) -> set[str]:
        return {e.place.organ for e in self.entries if e.place is not None}

    def _sized_next(self, last: int) -> bool:
        nxt = self.next(last)
        return nxt is not None and nxt.sort == "size" and self._direct(last + 1)
