"""Structures, alone or as a list: host of the lesion behind them, of those before them, or what the clause is about."""

from __future__ import annotations

from collections.abc import Sequence

from ..words.naming import Item
from .belonging import Belonging
from .clause import verbs
from .entries import OTHER, Entry, Place

_EXAMS = frozenset({"mri", "ct", "mr", "ultrasound", "radiograph", "radiographs", "x", "film", "views", "view", "scan", "study", "examination", "sonography",
                    "doppler", "protocol", "sequence", "sequences", "series", "imaging", "mra", "cta", "pet", "us", "usg"})  # fmt: skip


class Organs(Belonging):
    """Reads structures."""

    def _organ(self, k: int) -> int:
        nxt = self.next(k)
        after = self.after(k)
        if (
            self.items[k].how == "part"
            and nxt is not None
            and nxt.sort in ("organ", "side")
            and (("of" in after and not set(after) & verbs()) or (not after and nxt.sort == "organ"))
        ):
            return k + 1  # "the inferior wall of the left ventricle"
        if (
            self.items[k].how == "part"
            and self._lesions_here()
            and self.words[self.items[k].first - 1] != "the"
            and self.items[k].name == "neck"
        ):
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
            self.current = [
                Entry("", None, "", item.first, item.last, self.sentence, 0)
            ]  # "wall thickness 12 mm" of a ventricle
            return last + 1
        if lesion is None and last == k and self._belongs_to_noun(k):
            if only[0].side in OTHER and self.current and self.current[0].lesion and not self.current[0].stands:
                self.current[0].put_side(
                    only[0].side
                )  # "renal function", "pleural catheter", "in the left cranial fossa"
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
            self._new_organs(
                places,
                order,
                subject=True,
                verb=bool(set(self.after(last)) & verbs()) and not set(self.after(last)[:2]) & _EXAMS,
            )
        return last + 1

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
