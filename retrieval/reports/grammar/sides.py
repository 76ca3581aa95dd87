"""Sides: before a noun, behind it, or in place of one left out ("… and 11.4 cm on the left")."""

from __future__ import annotations

from dataclasses import replace

from ..words.kinds import clause_words, describing, into, landmarks, pointing, verbs
from ..words.naming import Item
from .entries import OTHER, Entry
from .halves import Halves
from .structures.clause import COMPARING, JOINTS, SMALL_WORDS

_POLES = (["upper"], ["lower"], ["mid"], ["interpolar"], ["pole"])
_LONG = 5  # words from a side to the structure it is the half of
_HALF = frozenset({"half", "side", "aspect", "part", "portion", "hemi"})
_FEW = 2  # words between two sides that are compared: "greater than"
_CONJUNCTIONS = frozenset({"both", "either", "neither"})


class Sides(Halves):
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
        if side in OTHER and self._more_than_other(k):
            self._put_side("both", (item.first, item.last))  # "effusions, right greater than left"
            return k + 2
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
        if side in OTHER and self._denied_there(k + 1):
            self._put_side(side, (item.first, item.last))
            for entry in self.current:
                entry.denied = True  # "enlarged right node; left side negative"
            return k + 2
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
        if self.before(k)[:1] == ["to"] and self.current and self.current[0].lesion == "midline shift":
            self.current[0].put_side(item.name)
            return True  # "midline shift 3 mm to the left"
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

    def _denied_there(self, k: int) -> bool:
        """Whether "negative" comes next and is said of the lesion named last, and not of a structure."""
        if k >= len(self.items) or not self._direct(k):
            return False
        nodes = bool(self.current) and self.current[0].lesion == "lymphadenopathy" and self.items[k].name == "normal"
        if self.items[k].sort != "state" or not (nodes or self.words[self.items[k].first] == "negative"):
            return False
        return bool(self.current) and bool(self.current[0].lesion) and self.current[0].place is not None

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
        half = self.words[item.last - 1 : nxt.first]
        if (
            nxt.sort == "organ"
            and _HALF & set(half[:2])
            and half[-2:] in (["of", "the"], [half[-2], "of"])
            and len(half) < _LONG
        ):
            self.pre_side = side  # "the right half of the pituitary"
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
        if self.pending:
            return False  # "4.1 cm on the right and 4.0 cm on the left, without lesion"
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

    def _shares_noun(self, k: int) -> bool:
        """ "right and left kidney", "small right and moderate left effusions": two sides before one noun."""
        words = self.before(k + 1)
        if not words or len(words) > 4 or not set(words) & {"and", "or", "/", ","} or set(words) & (verbs() | into()):
            return False
        return k + 2 < len(self.items) and self.items[k + 2].sort in ("organ", "lesion") and self._direct(k + 2)

    def _more_than_other(self, k: int) -> bool:
        """Whether a side is said to have more of the lesion before it than the other side."""
        nxt, told = self.next(k), self.current[0] if self.current else None
        if (
            nxt is None
            or nxt.sort != "side"
            or told is None
            or not told.lesion
            or told.stands
            or told.sentence != self.sentence
        ):
            return False
        return (
            "than" in self.before(k + 1)
            and len(self.before(k + 1)) <= _FEW
            and {self.items[k].name, nxt.name} == {"left", "right"}
        )

    def _greater(self, k: int) -> bool:
        """ "right greater than left" compares and says no side."""
        ahead = self.words[self.items[k].last : self.items[k].last + 3]
        ahead = [] if set(ahead[:1]) & JOINTS else ahead  # "on the left and less than 30 % on the right"
        return "than" in [*ahead, *self.words[max(0, self.items[k].first - 2) : self.items[k].first]] or bool(
            COMPARING & set(self._near_before(k))
        )
