"""Sides: before a noun, behind it, or in place of one left out ("… and 11.4 cm on the left")."""

from __future__ import annotations

from dataclasses import replace

from ..words.kinds import clause_words, describing, into, landmarks, pointing, verbs
from ..words.naming import Item
from .entries import OTHER, Entry, twin_of, without_denied_halves
from .lesions import Lesions
from .structures.clause import COMPARING, JOINTS, SMALL_WORDS

_POLES = (["upper"], ["lower"], ["mid"], ["interpolar"], ["pole"])
_WAYS = frozenset({"displacement", "deviation", "shift"})
_CONJUNCTIONS = frozenset({"both", "either", "neither"})


class Sides(Lesions):
    """Reads sides; a second side makes another finding of the same kind."""

    def _side(self, k: int) -> int:
        item, nxt = self.items[k], self.next(k)
        side = self._meant_side(item.name)
        if self._is_no_side(k) or self._waits_for_next(k, side):
            return k + 1
        at_both = self.before(k)[-1:] in (["at"], ["in"], ["on"]) and bool(self._lesions_here())
        if side == "both" and at_both and self._a_noun(item.last) and (nxt is None or not self._direct(k + 1)):
            self._put_side("both", (item.first, item.last))  # "plaque at both bifurcations, stenosis on the left"
            return k + 1
        if self._greater(k) or (self.words[item.first : item.last] in (["both"], ["neither"])):
            return k + 1
        if side in OTHER and self._is_other_one(k):
            self._speak_of_one(k, side)
            return k + 2
        if self._opens(k, side):
            return k + 1
        if item.name in OTHER and not (self.current and self.current[0].lesion) and self._a_noun(item.last):
            self._speak_of_unknown(item, side)
            return k + 1
        says_otherwise = nxt is not None and nxt.sort == "state" and nxt.name != "present" and side in OTHER
        if not (says_otherwise and self._counterpart(side, item)):
            self._put_side(side, (item.first, item.last))
        self.last_side = side if side in OTHER else self.last_side
        return k + 1

    def _is_no_side(self, k: int) -> bool:
        """Whether the word points, compares, or only describes what is on both sides."""
        item, nxt = self.items[k], self.next(k)
        if self.before(k)[-2:] == ["to", "the"] and pointing() & set(self.words[max(0, item.first - 6) : item.first]):
            self._points(item)
            return True  # "displaced to the right"
        told = self.items[k - 1] if k else item
        if told.sort == "side" and self.words[item.first - 1 : item.first] == ["than"]:
            ahead = nxt is not None and nxt.sort in ("organ", "lesion") and self._direct(k + 1)
            self.pre_side = "both" if ahead else ""
            return True  # "right greater than left effusions"
        if self._a_noun(item.last) and landmarks().find(self._near_before(k)) and self._lesions_here():
            return True  # "thrombus extending into the right branch"
        of_both = bool(self.current) and self.current[0].stands == "both"
        if (
            of_both
            and self._after_largest(k)
            and told.sort == "size"
            and self.words[item.last : item.last + 1] in _POLES
        ):
            return True  # "bilateral cysts, the largest 5.2 cm at the right upper pole"
        if told.name in ("larger", "smaller", "bigger") and of_both and (nxt is None or nxt.sort != "size"):
            return True  # "bilateral effusions, larger on the right"
        describes = told.sort == "lesion" and told.how == "predicate" and told.name in describing()
        return describes and of_both and bool(self.current[0].lesion)  # "plaques bilaterally, calcified on the right"

    def _points(self, item: Item) -> None:
        """ "The stalk is displaced to the left": of a midline structure the direction is the side."""
        for entry in self.current:
            row = self.table.get(entry.place.organ) if entry.place is not None else None
            unpaired = row is not None and row.side == "" and self.table.get(f"left {row.name}") is None
            if unpaired and entry.lesion in _WAYS and not entry.stands:
                entry.put_side(item.name)

    def _is_other_one(self, k: int) -> bool:
        """ "The right one contains a stone", "the contralateral one is normal"."""
        nxt = self.next(k)
        if nxt is None or nxt.name != "one" or not self._direct(k + 1):
            return False
        return bool(set(self.after(k + 1)) & verbs()) or self._speaks(k + 2)

    def _speak_of_one(self, k: int, side: str) -> None:
        item = self.items[k]
        self._lean_on(side)
        self.current, self.last_side = [], side
        if self._speaks(k + 2) and self.subject:
            self._groups += 1
            self.current = [Entry("", self.subject[0], "", item.first, item.last, self.sentence, self._groups)]
            self.entries += self.current

    def _speak_of_unknown(self, item: Item, side: str) -> None:
        """ "Right tube patent": no structure that is known, so that nothing before is meant either."""
        self.current, self.subject, self.front_side = [], [], side
        self.last_side = side
        if item.first == 0 and not self.memory.label:
            self.memory.topic = None

    def _speaks(self, k: int) -> bool:
        """Whether a state with its verb comes next ("… is normal")."""
        return k < len(self.items) and self.items[k].sort == "state" and not self.before(k)

    def _waits_for_next(self, k: int, side: str) -> bool:
        """Whether the side is that of the next noun, or half of "right and left"."""
        item, nxt = self.items[k], self.next(k)
        if nxt is None:
            return False
        if nxt.sort == "side" and self._shares_noun(k) and {side, nxt.name} == {"left", "right"}:
            split = len(self.before(k + 1)) > 2 or self.before(k + 1)[-1] not in (*JOINTS, "the")
            self.items[k + 1] = replace(
                nxt, name="both", both_named=(side, nxt.name), first=item.first, how="split" if split else "name"
            )
            return True
        if not self._direct(k + 1):
            return False
        nor = self.words[item.first] == "neither" and "nor" in self.words[item.last :]
        if nxt.sort == "lesion" and (nor or (self.words[item.first] in _CONJUNCTIONS and not nxt.plural)):
            return True  # "both a haemangioma and a cyst", "neither haemorrhage nor infarct"
        if nxt.sort in ("organ", "lesion"):
            self.pre_side, self.pre_order, self.split = side, item.both_named, item.how == "split"
            return True
        if nxt.sort in ("size", "count") and self._chain(k + 1, ("size", "count", "organ")) is not None:
            self.pre_side, self.pre_order = side, item.both_named
            return True
        return False

    def _opens(self, k: int, side: str) -> bool:
        """Whether the side stands in front of what is said of it: "Right: …", "On the left there is a cyst"."""
        nxt, between = self.next(k), self.after(k)
        labels = (
            between[:1] == [":"]
            and nxt is not None
            and (
                nxt.sort not in ("size", "count")
                or (nxt.sort == "count" and self._chain(k + 2, ("size", "state")) is not None)
            )
        )
        behind = bool(self._lesions_here()) and self.before(k)[:1] in ([], ["on"])  # "Torsion on the left: no flow"
        if behind or (not labels and not self._leads(k, between)):
            return False
        self.front_side = side
        self._lean_on(side)
        self.memory.sided += [(self.sentence, place) for place in self.subject if place.side in OTHER]
        if labels:
            self.current = []
        self.last_side = side if side in OTHER else self.last_side
        return True

    def _leads(self, k: int, between: list[str]) -> bool:
        """Whether a clause begins with the side and goes on to a lesion."""
        nxt = self.next(k)
        measured = (
            nxt is not None and nxt.sort in ("size", "count") and self._chain(k + 2, ("size", "state")) is not None
        )
        if (
            nxt is None
            or (nxt.sort != "lesion" and not measured)
            or ";" in between
            or not set(self._near_before(k)) <= SMALL_WORDS
        ):
            return False
        before = self.before(k)
        behind = (
            bool(self.current) and bool(self.current[0].lesion) and bool(before) and not set(before) & clause_words()
        )
        if behind and k and (self.items[k - 1].sort == "lesion" or before == [","]):
            return False
        return ":" in between or ("," in between and not measured) or bool(set(between) & verbs())

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

    def _shares_noun(self, k: int) -> bool:
        """ "right and left kidney", "small right and moderate left effusions": two sides before one noun."""
        words = self.before(k + 1)
        if not words or len(words) > 4 or not set(words) & {"and", "or", "/", ","} or set(words) & (verbs() | into()):
            return False
        return k + 2 < len(self.items) and self.items[k + 2].sort in ("organ", "lesion") and self._direct(k + 2)

    def _greater(self, k: int) -> bool:
        """ "right greater than left" compares and says no side."""
        ahead = self.words[self.items[k].last : self.items[k].last + 3]
        ahead = [] if set(ahead[:1]) & JOINTS else ahead  # "on the left and less than 30 % on the right"
        return "than" in [*ahead, *self.words[max(0, self.items[k].first - 2) : self.items[k].first]] or bool(
            COMPARING & set(self._near_before(k))
        )

    def _lean_on(self, side: str) -> None:
        """ "Left: no lucency" after "Right hip: …", "the right is aneurysmal": the counterpart becomes the subject."""
        base = self.subject or [e.place for e in self.current if e.place is not None] or self.memory.label
        if not base and self.memory.topic is not None:
            base = [self.memory.topic]
        self.subject = [replace(place, side=side) for place in base[:1]]

    def _put_side(self, side: str, at: tuple[int, int]) -> None:
        base = self.current
        if side in OTHER and base and base[0].lesion and self._other_half_measured(base[0], side):
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

    def _other_half_measured(self, base: Entry, side: str) -> bool:
        """ "Right 10.6 cm with a 12 mm cyst, left 11.1 cm": the size is that of the other half, not of another cyst."""
        organ = base.place.organ if base.place is not None else ""
        sized = any(
            not e.lesion and e.sizes and e.place and e.place.organ == organ and e.stands == OTHER[side]
            for e in self.entries
        )
        return bool(base.sizes) and base.stands == OTHER[side] and sized

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
