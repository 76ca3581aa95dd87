"""When a structure behind a lesion is its host: "a cyst in the kidney", "nodule, left lobe", and when only a landmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ...words.kinds import into, landmarks, seen_things, verbs, whereabouts
from ..entries import OTHER, Entry, Place
from ..hosts import LARGE
from .clause import COMPARING, Clause

_SPREADING = frozenset({"metastasis", "deposit", "invasion", "carcinomatosis"})  # go to a place, others are in it
LONG = frozenset({"thrombus", "occlusion", "dissection"})
_SURROUNDING = frozenset({"fat stranding", "stranding", "fluid", "collection", "oedema", "haematoma", "inflammation",
                          "inflammatory change"})  # fmt: skip
_PARTS = frozenset({"the", "of", "segment", "segments", "subsegment", "border", "part", "portion", "margin", "area", "surface", "tip", "edge",
                    "junction", "level", "end"})  # fmt: skip
_LAYERS = frozenset({"scalp", "skin", "subdural space", "epidural space", "subarachnoid space"})
_AROUND = (["around"], ["surrounding"], ["about"])
_GROWING = frozenset({"arises", "arising", "originates", "originating", "growing"})


class Hosting(Clause):
    """Gives structures to the lesions named before them."""

    def _host_words(self, k: int) -> bool:
        here = self._lesions_here()
        near = self._near_before(k)
        if here and here[-1].how == "action" and here[-1].open and self._follows(k, "lesion"):
            return True
        if here and (
            (here[-1].lesion in _SPREADING and "to" in near)
            or (here[-1].lesion in LONG and here[-1].open and "from" in near[:2])
            or (here[-1].lesion in _SURROUNDING and here[-1].open and near[:1] in _AROUND)
            or (here[-1].open and here[-1].lesion in seen_things() and near[:1] == ["from"] and not here[-1].sizes)
            or ("from" in near and _GROWING & set(self.words[here[-1].last : self.items[k].first]))
        ):
            return True
        of_part = all(word in _PARTS or word in into() or word in whereabouts() for word in near)
        return (near.count("the") < 2 or of_part) and any(word in into() for word in near)

    def _open_group(self, organ: str = "") -> list[Entry] | None:
        """The last lesions of the clause, if a structure behind them is their host."""
        here = self._lesions_here()
        if not here:
            return None
        group = [entry for entry in here if entry.group == here[-1].group]
        waiting = [
            e
            for e in group
            if e.open
            or (e.weak and e is group[-1] and (not e.by_adjective or len(group) == 1))
            or (
                e.by_adjective and e.place is not None and e.place.organ in LARGE and self._inside(organ, e.place.organ)
            )
        ]
        last = waiting[-1] if waiting else None
        return [
            entry
            for entry in waiting
            if entry is last
            or not entry.usual
            or entry.usual in LARGE
            or entry.place is not None
            or entry.usual == organ
        ] or None

    def _put_hosts(self, places: Sequence[Place], k: int) -> bool:
        """Give the lesions named before their structures; False when none waits."""
        waiting = self._open_group(places[0].organ)
        label = self.memory.label[0] if len(self.memory.label) == 1 else None
        if label is not None and places[0].organ == label.organ and not places[0].side:
            places = [label, *places[1:]]  # "left breast: duct ectasia, retroareolar"
        if waiting is None:
            here = self._lesions_here()
            for entry in here[-1:]:
                part = entry.place is not None and self.items[k].how == "part" and places[0].organ != entry.place.organ
                if entry.place is not None and entry.place.organ == places[0].organ and not entry.stands:
                    entry.place = places[0]
                elif part and entry.place is not None and self._inside(places[0].organ, entry.place.organ):
                    entry.place = places[0]  # "liver laceration of the right lobe"
                elif entry.place is not None and places[0].side in OTHER and not entry.stands:
                    row = self.table.get(entry.place.organ)
                    if row is not None and (row.parent == "soft tissue" or row.name in _LAYERS):
                        entry.side = places[0].side  # "in the subcutaneous tissue of the left forearm"
            return bool(here)
        for entry in self._lesions_here():
            said = entry.place
            same = said is not None and said.organ == places[0].organ and entry.group == waiting[-1].group
            if same and entry not in waiting and not entry.stands and places[0].side in (*OTHER, "both"):
                entry.put_side(places[0].side)  # "subpleural reticulation and honeycombing at both bases"
        if all(place.organ.endswith(("quadrant", "abdomen", "flank")) for place in places):
            # "gallstone projected over the right upper quadrant"
            waiting = [e for e in waiting if not e.usual or e.usual in LARGE or e.place is not None] or None
            if waiting is None:
                return True
        made: list[Entry] = []
        if places[0].organ.endswith(("vertebra", "axis", "atlas")) or places[0].organ.startswith("intervertebral dis"):
            # "cord lesion at C4", "cord compression at T9": a level, not the place
            waiting = [e for e in waiting if self._lies_in_spine(e)]
        for n, place in enumerate(places):
            for entry in waiting:
                mine = entry if n == 0 else replace(entry, sizes=[], priors=[], count=None)
                weak = entry.place
                mine.place = replace(place, side=entry.side) if entry.side and not place.side else place
                if weak is not None and weak.organ == place.organ and weak.side and not place.side:
                    mine.place = replace(place, side=weak.side)  # "the left kidney contains a stone in the calyx"
                elif weak is not None and weak.side and weak.side == self.front_side and not place.side:
                    row = self.table.get(place.organ)  # "Right: … popliteal artery. Left: stenosis of the iliac artery"
                    mine.place = replace(place, side=weak.side if row is not None and row.side == "both" else "")
                if place.side in ("left", "right", "both") and entry.weak:
                    mine.side = ""
                mine.open = mine.weak = False
                if n:
                    self.entries.append(mine)
                made.append(mine)
        twins = {(e.lesion, e.first) for e in made}  # "lungs and airways: nodule in the lingula"
        self.entries = [
            e
            for e in self.entries
            if e in made
            or not (
                e.weak and (e.lesion, e.first) in twins and (e.place in self.memory.label or e.place in self.subject)
            )
        ]
        if any(entry in waiting for entry in self.current) or not self.current:
            self.current = made
        return True

    def _is_landmark(self, k: int, last: int) -> bool:
        """Whether the structure only says how something lies to it ("below the liver", "upper lobe predominant")."""
        near = self._near_before(k)
        here = self._lesions_here()
        if self.before(k)[-1:] == ["("] and self.after(last)[:1] == [")"] and here and not here[-1].open:
            return True
        if (
            here
            and here[-1].place is not None
            and near[:1] == ["involving"]
            and "," in self.words[here[-1].last : self.items[k].first]
        ):
            return True  # "aortic dissection from the root to the bifurcation, involving the left renal artery"
        if here and here[-1].how == "predicate" and here[-1].place is not None and self._host_words(k):
            return True  # "the artery is occluded over 9 cm, refilling at the knee"
        if (
            here
            and (not here[-1].open or here[-1].names_place)
            and ((COMPARING | {"most", "maximal"}) & set(near) or "with" in near)
        ):
            return True  # "cerebral atrophy, accentuated in the …", "dilated with a transition point in the …"
        if here and here[-1].open and here[-1].lesion in LONG and "from" in near[:2]:
            return False  # "thrombus from the femoral to the popliteal vein"
        spreads = bool(here) and here[-1].lesion in _SPREADING and near[:1] == ["to"]
        if set(self.after(last)[:1]) & {"predominant", "predominance"}:
            return True
        sized = last + 1 < len(self.items) and self.items[last + 1].sort == "size" and not here
        if sized and "than" in near and set(self.before(last + 1)) <= {"at", "of", "("}:
            return False  # "wider than the ascending aorta at 31 mm"
        behind = " ".join(self.words[here[-1].last : self.items[k].first]) if here else ""
        if " of " not in f" {behind}".rsplit(" and ", 1)[0] and re.search(
            r"\b(?:and|with) \w+(?: \w+)? of(?: the)?(?: left| right| both)?$", behind
        ):
            return True  # "with oedema and effacement of the ventricle"
        grows = bool(here) and here[-1].open and here[-1].lesion in seen_things() and near[:1] == ["from"]
        grows = grows or (
            bool(here) and "from" in near and bool(_GROWING & set(self.words[here[-1].last : self.items[k].first]))
        )
        surrounds = bool(here) and here[-1].open and here[-1].lesion in _SURROUNDING and near[:1] in _AROUND
        since = max((n + 1 for n, word in enumerate(near) if word in verbs()), default=0)
        return not spreads and not grows and not surrounds and bool(landmarks().find(near[since:]))

    def _after_largest(self, k: int) -> bool:
        """ "nodules, the largest 14 mm in the right lower lobe": that is where the largest is, not all of them."""
        here = self._lesions_here()
        since = here[-1].last if here else 0
        about = bool(here) or bool(self.current and self.current[0].lesion)
        return about and any(item.sort == "same" and item.first >= since for item in self.items[:k])

    def _completes_count(self, k: int) -> bool:
        """ "… one juxtacortical": the noun was left out behind the number."""
        return k > 0 and self.items[k - 1].sort == "count" and not self.before(k) and bool(self._open_group())

    def _ends_predicate(self, k: int) -> bool:
        """ "Mildly dilated ducts": the structure right behind such a word is what it is said of."""
        n = k - 1
        while n >= 0 and self.items[n].sort == "side" and self._direct(n + 1):
            n -= 1
        return n >= 0 and self._direct(n + 1) and (self.items[n].sort, self.items[n].how) == ("lesion", "predicate")

    def _within_label(self, entry: Entry, k: int) -> bool:
        """ "Lungs: nodule, right lower lobe": a part of what stands before the colon."""
        label = entry.place in self.memory.label and entry.place is not None
        comma = self.words[entry.last : self.items[k].first][:1] == [","]
        if not label or not comma or entry.place is None:
            return False
        whole, part = entry.place.organ, self.items[k].name
        return self.items[k].how == "part" or self._inside(part, whole) or f" {whole.removesuffix('s')}" in part

    def _follows(self, k: int, sort: str) -> bool:
        """Whether the item before this one, but for sides, is of a sort."""
        n = k - 1
        while n >= 0 and self.items[n].sort == "side":
            n -= 1
        return n >= 0 and self.items[n].sort == sort

    def _follows_lesion(self, k: int) -> bool:
        """ "Fracture left radius", "tear posterior horn medial meniscus": nothing but a side or adjectives between."""
        n = k - 1
        while n >= 0 and self.items[n].sort == "side" and not self.before(n + 1):
            n -= 1
        if n < 0 or self.items[n].sort != "lesion":
            return False
        return not self.before(n + 1) or (
            self._direct(n + 1) and all(word in whereabouts() for word in self.before(n + 1))
        )

    def _is_apposition(self, k: int, last: int) -> bool:
        waiting = self._open_group()
        touching = self._follows_lesion(k)
        if waiting is None or not all(
            e.open or e.by_adjective or (e.weak and (touching or self._within_label(e, k))) for e in waiting
        ):
            return False
        if self.pre_sizes and waiting[0].sizes:
            return False  # "liver cyst 12 mm, 14 cm spleen"
        if not self.entries[-1].lesion or self.words[self.items[k - 1].last - 1].endswith("ing"):
            return False
        if self.before(k)[-1:] == ["("] and self.after(last)[:1] == [")"]:
            return True
        if "with" in self._near_before(k):
            return False
        if set(self.after(last)) & verbs() or set(self.before(k)) & verbs():
            return False
        nxt = self.items[last + 1] if last + 1 < len(self.items) else None
        said = nxt is not None and (nxt.sort, nxt.how) == ("lesion", "predicate") and self.before(k)[-1:] == [","]
        if said and not set(self.before(last + 1)) - verbs() - {"not"}:
            return False  # "no stones, wall not thickened", "tendinosis, tendon torn"
        if any(word.endswith("ing") for word in self.before(k)):
            return False
        if touching or any(self._within_label(entry, k) for entry in waiting):
            return True  # "brain metastasis right frontal 8 mm"
        measured = waiting[0].by_adjective or waiting[0].usual
        ends = ("state", "size") if measured and ":" not in self.before(k) else ("state",)
        return not (nxt is not None and nxt.sort in ends and self._direct(last + 1))
