"""Structures, alone or as a list: host of the lesion behind them, of those before them, or what the clause is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .clause import JOINTS, SMALL_WORDS, carrying, clause_words, into, itself, landmarks, verbs
from .entries import OTHER, Entry, Place
from .hosting import Hosting
from .items import Item

_LIST = frozenset({",", "and", "or", "/", "nor", "the", "both", "as", "well", "in", "of", "left", "right", "heights", "height", "size",
                   "bodies", "signal", "structures", "contours", "region", "visualised", "visualized"})  # fmt: skip


_EXAMS = frozenset({"mri", "ct", "mr", "ultrasound", "radiograph", "radiographs", "x", "film", "views", "view", "scan", "study", "examination", "sonography",
                    "doppler", "protocol", "sequence", "sequences", "series", "imaging", "mra", "cta", "pet", "us", "usg"})  # fmt: skip
_LOBED = "lung|lobe|liver|thyroid|brain|prostate|thymus|cerebr|parotid|breast"
_ALONE = {"head": "head", "neck": "neck", "apex": "lungs", "base": "lungs"}
_ADJECTIVE = ("al", "ic", "ar", "ous", "ary", "ac", "ine")


class Organs(Hosting):
    """Reads structures."""

    def _organ(self, k: int) -> int:
        nxt = self.next(k)
        after = self.after(k)
        if self.items[k].how == "part" and nxt is not None and nxt.sort in ("organ", "side") and (
            ("of" in after and not set(after) & verbs()) or (not after and nxt.sort == "organ")
        ):
            return k + 1  # "the inferior wall of the left ventricle"
        if self.items[k].how == "part" and self._lesions_here() and self.words[self.items[k].first - 1] != "the" and self.items[k].name == "neck":
            return k + 1  # of a hernia or an aneurysm
        last = self._list_end(k)
        places, side = [], self.pre_side
        order = self.pre_order
        for n in range(k, last + 1):
            item = self.items[n]
            if item.sort == "side":
                side = item.name
                continue
            if item.how == "part" and n < last and self.before(n + 1)[:1] == ["of"]:
                continue
            listed = side if n == k or self.items[n - 1].sort == "side" or self._is_pair(item) else ""
            if (
                listed == "both"
                and not self._is_pair(item)
                and self.words[self.items[n - 1].first] in ("neither", "either", "both")
                and not item.plural
                and item.how != "part"
            ):
                listed = ""  # "neither the stomach nor the liver"
            own = listed or item.side or self._carried_side(n, item)
            said = " ".join(self.words[item.first : item.last])
            part = self._part(item.name, self._meant_side(own)) if item.how == "part" else None
            name = part.organ if part is not None else item.name
            own = own or (part.side if part is not None else "")
            places.append((item, Place(name, self._meant_side(own), said, part is not None)))
            if n > k and "the" in self.before(n):
                side = "" if self.items[n - 1].sort != "side" else side
        self.pre_side, self.pre_order = "", ()
        only = [place for _item, place in places]
        self.memory.sided += [(self.sentence, place) for place in only if place.side in OTHER]
        self.last_side = next((p.side for p in reversed(only) if p.side in ("left", "right")), self.last_side)
        lesion = self._chain(last + 1, ("size", "count"))
        item = self.items[k]
        if lesion is None and only[0].relative and self._sized_next(last) and only[0].organ in self._spoken():
            self.current = [Entry("", None, "", item.first, item.last, self.sentence, 0)]  # "wall thickness 12 mm" of a ventricle
            return last + 1
        if lesion is None and last == k and self._belongs_to_noun(k):
            if only[0].side in OTHER and self.current and self.current[0].lesion and not self.current[0].stands:
                self.current[0].put_side(only[0].side)  # "renal function", "pleural catheter", "in the left cranial fossa"
        elif lesion is not None and item.how not in ("surgery", "megaly") and self.items[lesion].how != "predicate":
            if self._host_words(k) and "with" not in self._near_before(k) and self._open_group():
                self._put_hosts(only)
            else:
                self.compound, self.compound_order = only, order
                self.adjective = item.how == "adjective"
                return last + 1
        elif (self._is_landmark(k, last) and item.how not in ("surgery", "megaly")) or (
            (self._host_words(k) or self._sized_next(last)) and self._after_largest(k)
        ):
            pass
        elif self._host_words(k) and item.how not in ("surgery", "megaly"):
            if self._is_whole_of(k, only):
                pass
            elif not self._put_hosts(only) and not self._lesions_here():
                if self._is_spoken_of(k, only):
                    self._new_organs(places, order, subject=False)
                elif not only[-1].relative:
                    self.subject, self.memory.topic = only, only[-1]
        elif item.how not in ("surgery", "megaly") and (self._lends_side(k, only[0]) or self._only_says_where(k, last)):
            pass
        elif self._elided(last) or self._listed_under_lesion(k, last):
            self._another(k, only)
            return last + 1 + self._elided(last)
        elif item.how not in ("surgery", "megaly") and (
            self._is_apposition(k, last) or self._completes_count(k) or self._ends_predicate(k)
        ):
            self._put_hosts(only)
        else:
            self._new_organs(places, order, subject=True, verb=bool(set(self.after(last)) & verbs()) and not set(self.after(last)[:2]) & _EXAMS)
        return last + 1

    def _is_spoken_of(self, k: int, places: Sequence[Place]) -> bool:
        """Whether a structure behind a preposition is what the sentence is about: "length of the kidney", not "graft in the fossa"."""
        same = any(e.place is not None and e.place.organ == places[0].organ for e in self.current)
        return not same and (self.pre_state is not None or "of" in self._near_before(k) or not self.entries)

    def _elided(self, last: int) -> bool:
        """ "Pleural effusions and a pericardial one": the noun is left out behind the adjective."""
        nxt = self.next(last)
        return nxt is not None and nxt.name == "one" and not self.before(last + 1) and self._last_lesion() is not None

    def _listed_under_lesion(self, k: int, last: int) -> bool:
        """ "Nodes: subcarinal 14 mm, right hilar 11 mm": each structure is where one of what stands before the colon is."""
        label, nxt = self.label_lesion, self.next(last)
        if label is None:
            return False
        sized = nxt is not None and nxt.sort == "size" and set(self.before(last + 1)) <= {",", "(", ":", "dash"}
        return sized and set(self.before(k)) <= {",", "and", ")", ";", ":", "plus"}

    def _last_lesion(self) -> Entry | None:
        here = [e for e in [*self.memory.current, *self.entries] if e.lesion]
        return here[-1] if here else None

    def _another(self, k: int, places: Sequence[Place]) -> None:
        """Another lesion of the kind named last, at other places."""
        base = self.label_lesion or self._last_lesion()
        if base is None:
            return
        self._flush()
        self._groups += 1
        made = []
        if base is self.label_lesion and base.open:
            base.place, base.open, self.current = replace(places[0], side=places[0].side or base.side), False, [base]
            return
        if base is self.label_lesion and base.how == "name" and not base.sizes and base.by_label:
            base.template = True
        for place in places:
            entry = base.copy((self.items[k].first, self.items[k].last))
            entry.place, entry.side, entry.weak, entry.sentence, entry.group = place, "", False, self.sentence, self._groups
            entry.is_subject = False
            made.append(entry)
        self.entries += made
        self.current = made
        for size in self.pre_sizes:
            self._attach(size)
        self._reset()

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

    def _belongs_to_noun(self, k: int) -> bool:
        """Whether an adjective stands before a noun that is not the structure itself."""
        item, after = self.items[k], self.after(k)[:1]
        said = self.words[item.last - 1]
        if item.how != "adjective" or not said.endswith(_ADJECTIVE) or not after or not after[0].isalpha():
            return False
        return after[0] not in itself() | verbs() | into() | clause_words() | JOINTS | SMALL_WORDS | {"no", "not", "without", "from", "by"}

    def _spoken(self) -> set[str]:
        return {e.place.organ for e in self.entries if e.place is not None}

    def _sized_next(self, last: int) -> bool:
        nxt = self.next(last)
        return nxt is not None and nxt.sort == "size" and self._direct(last + 1)

    def _only_says_where(self, k: int, last: int) -> bool:
        """ "The larger one, subpleural, is 9 mm": an adjective between commas says more of the lesion before it."""
        item = self.items[k]
        adjective = item.how == "adjective" and self.words[item.last - 1].endswith(_ADJECTIVE)
        about = bool(self.current) and bool(self.current[0].lesion) and not self.current[0].open
        return adjective and about and k == last and self.before(k)[-1:] == [","]

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

    def _list_end(self, k: int) -> int:
        """The last item of "liver, lungs and left adrenal gland"."""
        last, n = k, k + 1
        hosted = (self._host_words(k) and self._open_group() is not None) or bool(
            landmarks().find(self._near_before(k))
        )
        while n < len(self.items):
            end = self._member(n)
            item, words = self.items[end], self.before(n)
            joined = bool(set(words) & {",", "and", "or", "/", "nor"}) and (
                set(words) <= _LIST or self._only_adjectives(words)
            )
            if not joined or item.sort != "organ" or item.how in ("surgery", "megaly", "part"):
                break
            follows = self.items[end + 1] if end + 1 < len(self.items) else None
            speaks = bool(set(self.after(end)[:2]) & verbs()) or (
                follows is not None and self._direct(end + 1) and follows.sort in ("state", "size", "lesion")
            )
            if hosted and speaks and not self._one_plural(last, end):
                break
            if "," in words and not {"and", "or", "nor", "/"} & set(words) and not self._list_goes_on(end):
                break
            sized = follows is not None and follows.sort == "size" and self._direct(end + 1)
            if "," in words and sized:
                break
            last, n = end, end + 1
        return last

    def _member(self, n: int) -> int:
        """Where the structure of a list's member is: behind its side or "the base of the"."""
        item, more = self.items[n], n + 1 < len(self.items)
        of = more and self.before(n + 1)[:1] == ["of"] and len(self.before(n + 1)) < 4
        if more and ((item.sort == "side" and (of or self._direct(n + 1))) or (item.how == "part" and of)):
            return self._member(n + 1)
        return n

    def _one_plural(self, k: int, n: int) -> bool:
        """ "The 7th and 8th ribs are": one plural, and not a structure that something else is said of."""
        first, second = self.table.get(self.items[k].name), self.table.get(self.items[n].name)
        alike = first is not None and second is not None and first.parent == second.parent
        return alike and self.items[n].plural and self.items[k].plural

    def _only_adjectives(self, words: Sequence[str]) -> bool:
        """Whether nothing but a few adjectives stands between the members of a list."""
        stops = verbs() | into() | clause_words() | {"no", "without", "with", ":", "(", ")", "a", "an", "<other>", "increased", "decreased", "reduced", "normal", "abnormal", "new"}
        return len(words) <= 3 and not set(words) & stops and not landmarks().find(words)

    def _list_goes_on(self, n: int) -> bool:
        """Whether commas lead to a last member with "and" or "or"."""
        if set(self.after(n)[:2]) & {"and", "or"} and (n + 1 == len(self.items) or self.items[n + 1].sort == "state"):
            return True
        while n + 1 < len(self.items) and self.items[n + 1].sort in ("side", "organ"):
            words = set(self.before(n + 1))
            if words & {"and", "or", "/", "nor"}:
                return True
            if words - {","}:
                return False
            n += 1
        return False

    def _part(self, part: str, side: str) -> Place:
        """The part ("wall", "head") of what the sentence is about, that itself, or what the word means alone."""
        named = [e.place for e in self.entries if e.place is not None and e.place.organ]
        topic = named[-1] if named else self.memory.topic or (self.memory.earlier if part == "lobe" else None)
        if topic is None:
            topic = Place(next((e.usual for e in reversed(self.entries) if e.usual), ""))
        row = self.table.get(topic.organ) if topic.organ else None
        if row is None or (part in ("apex", "base") and "thorax" in row.regions):
            return Place(_ALONE.get(part, ""))
        for whole in (topic.organ, topic.organ.removesuffix("s"), row.part_of, row.parent):
            for name in (f"{side} {part} of {whole}", f"{part} of {whole}", f"{whole} {part}"):
                found = self.table.get(name) if whole else None
                if found is not None:
                    return Place(found.name, topic.side if part != "lobe" else "")
        if part == "neck" or (part == "lobe" and not re.search(_LOBED, topic.organ)):
            return Place("neck" if part == "neck" else "")
        return topic

    def _is_pair(self, item: Item) -> bool:
        row = self.table.get(item.name)
        return row is not None and row.side == "both"

    def _carried_side(self, n: int, item: Item) -> str:
        """ "… on the right, where a stone sits in the ureter", "that elbow", and all of one radiograph of a limb."""
        row = self.table.get(item.name)
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
        if "limb" in row.regions and label is not None and label.side in OTHER:
            labelled = self.table.get(label.organ)
            if labelled is not None and "limb" in labelled.regions and label.organ != item.name:
                return label.side
        return ""

    def _new_organs(
        self, places: Sequence[tuple[Item, Place]], order: tuple[str, ...], *, subject: bool, verb: bool = False
    ) -> None:
        self._flush()
        self._groups += 1
        self.current = []
        for item, place in places:
            entry = Entry(
                "",
                place,
                "",
                item.first,
                item.last,
                self.sentence,
                self._groups,
                item.how,
                is_subject=verb,
                order=order,
            )
            if item.how == "surgery":
                entry.state = "removed"
            elif item.how == "megaly":
                entry.state, entry.state_at = "enlarged", (item.first, item.last)
            elif self.pre_state is not None:
                entry.state, entry.state_at = self.pre_state[0], self.pre_state[1:]
            self.entries.append(entry)
            self.current.append(entry)
        self.pre_state = None
        self.subject = [place for item, place in places if item.how != "surgery"]
        if places and places[-1][0].how != "surgery" and not places[-1][1].relative:
            self.memory.topic = places[-1][1]
        for size in self.pre_sizes:
            self._attach(size)
        self.pre_sizes = []
