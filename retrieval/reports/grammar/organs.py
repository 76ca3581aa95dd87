"""Structures, alone or as a list: host of the lesion behind them, of those before them, or what the clause is about."""

from __future__ import annotations

from collections.abc import Sequence

from .clause import clause_words, into, landmarks, verbs
from .entries import OTHER, Entry, Place
from .hosting import Hosting
from .items import WALL, Item

_LIST = frozenset({",", "and", "or", "/", "nor", "the", "both", "as", "well", "in", "of", "left", "right", "heights", "height", "size",
                   "bodies", "signal", "structures", "contours", "region", "visualised", "visualized"})  # fmt: skip


class Organs(Hosting):
    """Reads structures."""

    def _organ(self, k: int) -> int:
        last = self._list_end(k)
        places, side = [], self.pre_side
        order = self.pre_order
        for n in range(k, last + 1):
            item = self.items[n]
            if item.sort == "side":
                side = item.name
                continue
            listed = side if n == k or self.items[n - 1].sort == "side" or self._is_pair(item) else ""
            if (
                listed == "both"
                and not self._is_pair(item)
                and self.words[self.items[n - 1].first] in ("neither", "either")
            ):
                listed = ""  # "neither the stomach nor the liver"
            own = listed or item.side or self._carried_side(n, item)
            said = " ".join(self.words[item.first : item.last])
            name = item.name if item.name != WALL else self._wall()
            places.append((item, Place(name, self._meant_side(own), said)))
            if n > k and "the" in self.before(n):
                side = "" if self.items[n - 1].sort != "side" else side
        self.pre_side, self.pre_order = "", ()
        only = [place for _item, place in places]
        self.last_side = next((p.side for p in reversed(only) if p.side in ("left", "right")), self.last_side)
        lesion = self._chain(last + 1, ("size", "count"))
        item = self.items[k]
        if lesion is not None and item.how not in ("surgery", "megaly") and self.items[lesion].how != "predicate":
            if self._host_words(k) and self._open_group():
                self._put_hosts(only)
            else:
                self.compound, self.compound_order = only, order
                self.adjective = item.how == "adjective"
                return last + 1
        elif (self._is_landmark(k, last) and item.how not in ("surgery", "megaly")) or (
            self._host_words(k) and self._after_largest(k)
        ):
            pass
        elif self._host_words(k) and item.how not in ("surgery", "megaly"):
            if self._is_whole_of(k, only):
                pass
            elif not self._put_hosts(only) and not self._lesions_here():
                self._new_organs(places, order, subject=False)
        elif item.how not in ("surgery", "megaly") and (self._is_apposition(k, last) or self._completes_count(k)):
            self._put_hosts(only)
        else:
            self._new_organs(places, order, subject=True, verb=bool(set(self.after(last)) & verbs()))
        return last + 1

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
            end = n + 1 if self.items[n].sort == "side" and n + 1 < len(self.items) and self._direct(n + 1) else n
            item, words = self.items[end], self.before(n)
            joined = bool(set(words) & {",", "and", "or", "/", "nor"}) and (
                set(words) <= _LIST or self._only_adjectives(words)
            )
            if not joined or item.sort != "organ" or item.how in ("surgery", "megaly"):
                break
            follows = self.items[end + 1] if end + 1 < len(self.items) else None
            speaks = bool(set(self.after(end)[:2]) & verbs()) or (
                follows is not None and self._direct(end + 1) and follows.sort in ("state", "size", "lesion")
            )
            if hosted and speaks:
                break
            if words == [","] and not self._list_goes_on(end):
                break
            sized = follows is not None and follows.sort == "size" and self._direct(end + 1)
            if "," in words and sized:
                break
            last, n = end, end + 1
        return last

    def _only_adjectives(self, words: Sequence[str]) -> bool:
        """Whether nothing but a few adjectives stands between the members of a list."""
        stops = verbs() | into() | clause_words() | {"no", "without", "with", ":", "(", ")", "a", "an", "<other>"}
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

    def _wall(self) -> str:
        """The wall of what the sentence is about, or "" when the table has no such row."""
        organ = next((e.place.organ for e in reversed(self.entries) if e.place), "") or (
            self.memory.topic.organ if self.memory.topic else ""
        )
        organ = organ or next((e.usual for e in reversed(self.entries) if e.usual), "")
        row = self.table.get(f"{organ} wall") if organ else None
        return row.name if row is not None else ""

    def _is_pair(self, item: Item) -> bool:
        row = self.table.get(item.name)
        return row is not None and row.side == "both"

    def _carried_side(self, n: int, item: Item) -> str:
        """ "… on the right, where a stone sits in the ureter", "that elbow", and all of one radiograph of a limb."""
        row = self.table.get(item.name)
        if row is None or row.side != "both" or item.plural:
            return ""
        near = self._near_before(n)
        if "where" in self.words[: item.first] or {"that", "same", "this", "underlying"} & set(near):
            return self.last_side
        label = self.memory.label[-1] if self.memory.label else None
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
        if places and places[-1][0].how != "surgery":
            self.memory.topic = places[-1][1]
        for size in self.pre_sizes:
            self._attach(size)
        self.pre_sizes = []
