"""Sides put to what was named: its own, the half of a pair, the counterpart, or another one there."""

from __future__ import annotations

from dataclasses import replace

from ..words.naming import Item
from .entries import OTHER, Entry, twin_of, without_denied_halves
from .lesions import Lesions

_WAYS = frozenset({"displacement", "deviation", "shift"})


class Halves(Lesions):
    """Gives sides to entries."""

    def _points(self, item: Item) -> None:
        """ "The stalk is displaced to the left": of a midline structure the direction is the side."""
        for entry in self.current:
            row = self.table.get(entry.place.organ) if entry.place is not None else None
            unpaired = row is not None and row.side == "" and self.table.get(f"left {row.name}") is None
            if unpaired and entry.lesion in _WAYS and not entry.stands:
                entry.put_side(item.name)

    def _counterpart(self, side: str, item: Item) -> bool:
        """ "adenoma on the right, left normal": a structure again, not another adenoma."""
        base = next(
            (
                e
                for e in self.current
                if e.lesion and e.place is not None and e.stands != side and (e.stands or e.sentence != self.sentence)
            ),
            None,
        )
        if base is None or base.place is None:
            return False
        self._groups += 1
        entry = Entry(
            "", replace(base.place, side=side), "", item.first, item.last, self.sentence, self._groups, is_subject=True
        )
        self.entries.append(entry)
        self.current = [entry]
        return True

    def _lean_on(self, side: str) -> None:
        """ "Left: no lucency" after "Right hip: …", "the right is aneurysmal": the counterpart becomes the subject."""
        base = self.subject or [e.place for e in self.current if e.place is not None] or self.memory.label
        if not base and self.memory.topic is not None:
            base = [self.memory.topic]
        self.subject = [replace(place, side=side) for place in base[:1]]

    def _put_side(self, side: str, at: tuple[int, int]) -> None:
        base = self.current
        if side in OTHER and base and base[0].lesion and self._other_half_measured(base[0], side, at):
            self._groups += 1
            place = replace(base[0].place, side=side) if base[0].place is not None else None
            self.current = [Entry("", place, "", at[0], at[1], self.sentence, self._groups)]
            self.entries += self.current
            return
        whole = base[0].place if base and not base[0].lesion and base[0].sentence != self.sentence else None
        if side in OTHER and whole is not None and not self._has_halves(whole.organ):
            self.current, base = [], []
            self.subject = []
        if not base:
            self.front_side = side
            self._lean_on(side)
            if self.subject and side in OTHER and not self._has_halves(self.subject[0].organ):
                self.subject = []  # "The corpus callosum is present. Right side normal."
            if self.subject:
                self._groups += 1
                entry = Entry("", self.subject[0], "", at[0], at[1], self.sentence, self._groups)
                self.entries, self.current = [*self.entries, entry], [entry]
            return
        group = [e for e in self.entries if e.group == base[0].group and e.lesion and not e.sizes]
        if len(group) > len(base) and base[0].lesion and all(not e.stands for e in group):
            base = group  # "no stone, hydronephrosis or mass on either side"
        self.current = [self._on_side(entry, side, at) for entry in base]
        self.entries = without_denied_halves(self.entries, self.current)
        self.memory.sided += [
            (self.sentence, replace(e.place, side=e.stands))
            for e in self.current
            if e.place is not None and e.stands in OTHER
        ]
        self._flush()

    def _other_half_measured(self, base: Entry, side: str, at: tuple[int, int]) -> bool:
        """ "Right 10.6 cm with a 12 mm cyst, left 11.1 cm": the size is that of the other half, not of another cyst."""
        organ = base.place.organ if base.place is not None else ""
        sized = any(
            not e.lesion and e.sizes and e.place and e.place.organ == organ and e.stands == OTHER[side]
            for e in self.entries
        )
        if not base.sizes and base.stands == OTHER[side] and self._size_of_half(at) and organ:
            return any(
                place.organ == organ for place in self.memory.label
            )  # "Kidneys: right hydronephrosis, left 11 cm"
        return bool(base.sizes) and base.stands == OTHER[side] and sized

    def _size_of_half(self, at: tuple[int, int]) -> bool:
        """Whether a size stands right behind a side that stands behind a comma."""
        return self.words[at[0] - 1 : at[0]] == [","] and self.words[at[1] : at[1] + 1] == ["<size>"]

    def _has_halves(self, organ: str) -> bool:
        """Whether a structure is one of a pair, or has a left and a right part of its own name."""
        row = self.table.get(organ)
        return row is None or row.side != "" or self.table.get(f"left {row.name}") is not None or "lobe" in row.name

    def _on_side(self, entry: Entry, side: str, at: tuple[int, int]) -> Entry:
        """The entry with its side; the half of it on that side; or another one there."""
        here = entry.stands
        told_before = entry.sentence != self.sentence and (entry.sizes or not entry.lesion)
        if side == "both" or here == side:
            if not here:
                entry.put_side("both")
            return entry
        if not here and not (self.pending and entry.sizes) and not told_before:
            entry.put_side(side)
            return entry
        labelled = entry.place in self.memory.label and "," not in self.words[entry.last : at[0]]
        if here == "both" and entry.lesion and labelled and entry.sentence == self.sentence:
            entry.put_side(side)  # "both hips: osteoarthritis on the right"
            return entry
        if here == "both" and side in OTHER:
            rest = entry.copy((entry.first, entry.last), OTHER[side])
            rest.sentence, rest.state, rest.state_at = entry.sentence, entry.state, entry.state_at
            self.entries.append(rest)
            entry.put_side(side)
            return entry
        twin = twin_of(entry, side, [*self.entries, *self.memory.current])
        if twin is None:
            twin = entry.copy(at, side)
            twin.sentence = self.sentence
            if entry.lesion and self._a_noun(at[1]):
                twin.place = None  # "left convexity 22 mm, right olfactory groove 13 mm": another place
            self.entries.append(twin)
        return twin
