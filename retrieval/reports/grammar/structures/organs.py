"""Structures, alone or as a list: host of the lesion behind them, of those before them, or what the clause is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...words.kinds import exams, sized, verbs
from ...words.limbs import is_region
from ...words.naming import Item
from ..entries import OTHER, Entry, Place
from ..hosts import LARGE
from .belonging import Belonging


class Organs(Belonging):
    """Reads structures."""

    def _organ(self, k: int) -> int:
        if self._is_no_structure(k) or self._is_segment_again(k) or self._is_where_it_is(k):
            return k + 1
        last, order = self._list_end(k), self.pre_order
        places = self._places(k, last)
        only = [place for _item, place in places]
        self.pre_side, self.pre_order = "", ()
        self.memory.sided += [(self.sentence, place) for place in only if place.side in OTHER]
        self.memory.regions += [place for place in only if is_region(place.organ, self.table)]
        self.last_side = next((p.side for p in reversed(only) if p.side in OTHER), self.last_side)
        item, lesion = self.items[k], self._chain(last + 1, ("size", "count"))
        operated = item.how in ("surgery", "megaly")
        measured = lesion is None and only[0].relative and self._sized_next(last) and not self._follows_lesion(k)
        if lesion is None and last == k and self._sized_next(k) and self._measures_lesion(k, only[0]):
            return k + 1  # "acute appendicitis, appendix 11 mm", "LV dilated, LVEDD 59 mm"
        if self._denied_there_too(last, only):
            self._another(k, only)
            for entry in self.current:
                entry.denied = True
            return last + 2
        if measured and only[0].organ in self._spoken():
            self.current = [self._nothing(item)]  # "wall thickness 12 mm" of a ventricle
        elif lesion is None and last == k and self._belongs_to_noun(k):
            self._side_of_noun(only[0])
            if self._sized_next(last) and not self.current:
                self.current, self.subject = [self._nothing(item)], []  # "renal cortical thickness 8 mm"
        elif lesion is not None and not operated and self.items[lesion].how != "predicate":
            if self._host_words(k) and "with" not in self._near_before(k) and self._open_group():
                self._put_hosts(only, k)
            else:
                self.compound, self.compound_order = only, order
                self.adjective = item.how == "adjective"
        elif not operated and self._part_of_place(k, only[0]):
            self.current[0].place = replace(
                only[0], side=only[0].side or self.current[0].stands
            )  # "pancreatic cyst tail 9 mm"
        elif not operated and self._that_in(k) and self._last_lesion() is not None:
            self._another(k, only)  # "the segment 7 metastasis has grown; that in segment 2 is unchanged"
        elif self._says_where(k, last, only) and not operated:
            pass
        elif self._host_words(k) and not operated:
            self._host(k, places, order)
        elif self._elided(last) or self._listed_under_lesion(k, last) or self._measured_again(k, last):
            self._another(k, only)
            return last + 1 + self._elided(last)
        elif not operated and (self._is_apposition(k, last) or self._completes_count(k) or self._ends_predicate(k)):
            self._put_hosts(only, k)
        else:
            speaks = bool(set(self.after(last)) & verbs()) and not set(self.after(last)[:2]) & exams()
            self._new_organs(places, order, subject=True, verb=speaks)
        return last + 1

    def _is_no_structure(self, k: int) -> bool:
        """ "The inferior wall of the left ventricle" is left to what follows; the neck of a hernia is none."""
        item, nxt, after = self.items[k], self.next(k), self.after(k)
        if item.how != "part":
            return False
        if nxt is not None and nxt.sort in ("organ", "side"):
            lead = set(after[: after.index("of")]) if "of" in after else {","}
            if not lead & {"with", "and", "or", "in", ","} and not set(after) & verbs():
                return True
            if not after and nxt.sort == "organ":
                return True
        named = self.words[item.first - 1] == "the" or (k > 0 and self.items[k - 1].sort == "side")
        return item.name == "neck" and bool(self._lesions_here()) and not named

    def _measures_lesion(self, k: int, place: Place) -> bool:
        """Whether a structure is named again only to tell the size of what was said to be wrong with it."""
        told = self.current[0] if self.current else None
        if told is None or not told.lesion or told.sizes or told.sentence != self.sentence or self.before(k) != [","]:
            return False
        mine = told.place.organ if told.place is not None else told.usual
        whole = told.lesion in sized() or told.usual == place.organ
        return whole and mine == place.organ and place.side in ("", told.stands) and place.organ not in LARGE

    def _part_of_place(self, k: int, place: Place) -> bool:
        """Whether a bare part stands right behind a lesion of its whole."""
        told = self.current[0] if self.current else None
        if (
            told is None
            or not told.lesion
            or told.place is None
            or self.items[k].how != "part"
            or not self._follows_lesion(k)
        ):
            return False
        return place.organ != told.place.organ and self._inside(place.organ, told.place.organ)

    def _denied_there_too(self, last: int, places: Sequence[Place]) -> bool:
        """ "Oedema in the calcaneus, in the talus none", "two nodes in the left axilla. Right axilla negative."."""
        nxt, told = self.next(last), self._last_lesion()
        if nxt is None or self.before(last + 1) or told is None or told.place is None or told.denied:
            return False
        nodes = told.lesion == "lymphadenopathy"
        counterpart = nodes and told.place.organ == places[0].organ and places[0].side == OTHER.get(told.stands, "none")
        return nxt.name == "none" or (self.words[nxt.first] == "negative" and counterpart)

    def _is_whole_neck(self, k: int, organ: str) -> bool:
        """ "Right side of the neck: …" speaks of the neck itself."""
        return organ == "neck" and self.before(k)[-2:] == ["of", "the"]

    def _that_in(self, k: int) -> bool:
        before = [word for word in self._near_before(k) if word != "the"]
        return before[-2:] in (["that", "in"], ["those", "in"], ["that", "of"])

    def _is_where_it_is(self, k: int) -> bool:
        """ "Liver lesion segment 6 now 9 mm": the organ of the lesion right before it again."""
        told = self.current[0] if self.current else None
        if told is None or not told.lesion or told.place is None or self.before(k):
            return False
        return told.place.organ == self.items[k].name == "liver" and k > 0 and self.items[k - 1].sort == "lesion"

    def _is_segment_again(self, k: int) -> bool:
        """ "Two liver lesions, segment 3 9 mm and segment 7 14 mm": the sizes are theirs and not the liver's."""
        told, before = self.current[0] if self.current else None, self.before(k)
        if told is None or told.place is None or self.items[k].name != "liver" or not self._sized_next(k):
            return False
        several = told.plural or (told.count or 0) > 1
        return (
            bool(told.lesion) and several and told.place.organ == "liver" and before in ([","], ["and"], [",", "and"])
        )

    def _places(self, k: int, last: int) -> list[tuple[Item, Place]]:
        """The structures of a list with their sides."""
        places: list[tuple[Item, Place]] = []
        side = self.pre_side
        for n in range(k, last + 1):
            item = self.items[n]
            if item.sort == "side":
                side = item.name
                continue
            if item.how == "part" and n < last and self.before(n + 1)[:1] == ["of"]:
                continue
            listed = side if n == k or self.items[n - 1].sort == "side" or self._is_pair(item) else ""
            own = self._own_side(n, listed, alone=last == k)
            said = " ".join(self.words[item.first : item.last])
            bare = "hilum" if self._is_bare_hilum(item) else item.name if item.how == "part" else ""
            part = self._part(bare, self._meant_side(own)) if bare else None
            organ = part.organ if part is not None else self._in_context(item.name, said)
            own = own or (part.side if part is not None else "")
            row = self.table.get(organ)
            if part is not None and own == "both" and row is not None and row.side == "":
                own = ""  # "lesions in both lobes" of the liver
            places.append(
                (
                    item,
                    Place(organ, self._meant_side(own), said, part is not None and not self._is_whole_neck(n, organ)),
                )
            )
            if n > k and "the" in self.before(n) and self.items[n - 1].sort != "side":
                side = ""
        return places

    def _own_side(self, n: int, listed: str, *, alone: bool) -> str:
        """The side said before a structure or in its name, or carried over; `alone`: it is no list."""
        item = self.items[n]
        near = set(self.words[max(0, item.first - 2) : item.first])
        joins = bool({"neither", "either", "both"} & near) or not alone
        pair = self._is_pair(item) and (alone or "either" in near)
        said = self.words[self.items[n - 1].first] if n and self.items[n - 1].sort == "side" else ""
        if listed == "both" and said != "bilateral" and joins and not pair and not item.plural and item.how != "part":
            listed = ""  # "neither the stomach nor the liver", "both ACL and PCL"
        carried = self._carried_side(n, item)
        return listed or (carried if item.side == "plural" else "") or item.side or carried

    def _side_of_noun(self, place: Place) -> None:
        """ "In the left cranial fossa": the structure is not known, its side is."""
        here = self.current[0] if self.current and self.current[0].sentence == self.sentence else None
        if place.side in OTHER and here is not None and here.lesion and not here.stands:
            here.put_side(place.side)

    def _says_where(self, k: int, last: int, places: Sequence[Place]) -> bool:
        """Whether the structure is a landmark, lends its side, or only says more of a lesion that has its place."""
        if self._is_landmark(k, last):
            return True
        hosts = self._host_words(k)
        if (hosts or self._sized_next(last)) and self._after_largest(k):
            at = [e for e in self.current if e.lesion and e.place is not None and e.place.organ == places[0].organ]
            sided = [e for e in at if e.stands == places[0].side]
            if len(self.current) > 1 and (sided or at):
                self.current = (sided or at)[:1]  # "in T7, T11 and L3, the largest in L3, 28 mm"
            return True
        return not hosts and (self._lends_side(k, places[0]) or self._only_says_where(k, last))

    def _host(self, k: int, places: Sequence[tuple[Item, Place]], order: tuple[str, ...]) -> None:
        """A structure behind "in" or "of": of the lesions before it, else what the sentence is about."""
        only = [place for _item, place in places]
        if self._is_whole_of(k, only) or self._put_hosts(only, k) or self._lesions_here():
            return
        if self._is_spoken_of(k, only):
            self._new_organs(places, order, subject=False)
        elif not only[-1].relative:
            self.subject, self.memory.topic = only, only[-1]

    def _nothing(self, item: Item) -> Entry:
        """An entry for what is said of nothing that is known; it is no finding."""
        return Entry("", None, "", item.first, item.last, self.sentence, 0)

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
