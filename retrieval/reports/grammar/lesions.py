"""Lesions: which structure they are said of, and which of them are one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .clause import always, identities, verbs
from .entries import Entry, Place
from .hosts import usual_place
from .items import Item
from .organs import Organs

_PRONOUNS = frozenset({"it", "they", "this", "these", "both"})


class Lesions(Organs):
    """Reads lesions."""

    def _lesion(self, k: int) -> int:
        item = self.items[k]
        before = self.before(k)
        here = self._lesions_here()
        if identities().find(before) and here:
            for entry in here:
                if entry.group == here[-1].group:
                    entry.lesion, entry.affirmed = item.name, True
            self._reset()
            return k + 1
        nxt = self.items[k + 1] if k + 1 < len(self.items) else None
        if (
            nxt is not None
            and nxt.sort == "lesion"
            and nxt.first == item.last
            and nxt.how == "name"
            and item.how == "name"
        ):
            return k + 1  # "ground-glass nodule": the first only says of what kind
        if item.name in ("uptake", "activity") and "physiological" in self.words[max(0, item.first - 3) : item.first]:
            self.pre_state = ("normal", item.first, item.last)
            return k + 1
        label = self._label_again(item)
        if label is not None:
            label.count = self.pre_count if self.pre_count is not None else label.count
            for size in self.pre_sizes:
                self._attach_to([label], size)
            self._reset()
            self.current = [label]
            return k + 1
        joined = (
            bool(here)
            and bool(set(before) & {",", "and", "or", "/", "nor", "versus", "vs"})
            and not set(before) & (verbs() | {"with", "but"})
        )
        joined = (
            joined
            and not here[-1].sizes
            and (here[-1].open or here[-1].weak or bool(self.compound))
            and not self.pre_sizes
        )
        if not joined:
            self._groups += 1
        group = here[-1].group if joined else self._groups
        self._flush()
        side = self._meant_side(self.pre_side) or (
            self.front_side if not self.compound or not self.compound[0].side else ""
        )
        places: list[Place | None] = list(self.compound)
        weak = False
        usual = usual_place(" ".join(self.words[item.first : item.last]), item.name)
        spoken = here[-1].place if here and here[-1].place is not None and not here[-1].weak else None
        told = " ".join(self.words[item.first : item.last])
        named = usual_place(told, "")
        its_own = " " in told and bool(named) and named != usual_place("", item.name)  # "biliary dilatation"
        if not places and self.subject and item.name not in always() and not its_own:
            places, weak = list(self.subject), True
            if spoken is not None and self.subject[0] in self.memory.label and spoken.organ != self.subject[0].organ:
                places = [replace(spoken, side="")]
            if item.how == "predicate" and "dash" in before:
                self._speak_of_organs(self.subject)
        elif places and self.adjective:
            weak = True
        made = []
        for place in places or [None]:
            if place is not None and side and place.side in ("", "plural"):
                place = replace(place, side=side)
            entry = Entry(
                item.name, place, side if place is None or not place.side else "", item.first, item.last, self.sentence,
                group, item.how, open=place is None, weak=weak, plural=item.plural, order=self.pre_order or self.compound_order, usual=usual, usual_by_name=its_own, leans=self.leans, leans_on_it=self.words[0] in _PRONOUNS, by_adjective=bool(self.compound) and self.adjective,
            )  # fmt: skip
            entry.count = self.pre_count
            made.append(entry)
            if self.split and entry.stands == "both" and entry.order:
                made.append(entry.copy((item.first, item.last), entry.order[1]))
                entry.put_side(entry.order[0])
                entry.order = ()
        if side in ("left", "right"):
            self.last_side = side
        sizes = list(self.pre_sizes)
        self.entries += made
        self.current = made
        self._reset()
        for size in sizes:
            self._attach(size)
        return k + 1

    def _label_again(self, item: Item) -> Entry | None:
        """ "Stone burden: 4 calculi", "index lesion" after "metastases": the same finding named once more."""
        before = self.words[max(0, item.first - 4) : item.first]
        last = self.current[-1] if self.current else None
        if last is None or not last.lesion:
            return None
        if "index" in before:
            return last
        between = self.words[last.last : item.first]
        return last if ":" in between and last.lesion == item.name and not self.compound and not last.sizes else None

    def _speak_of_organs(self, places: Sequence[Place]) -> None:
        """ "Ascending aorta 4.6 cm - aneurysmal": the size told of the structure is that of what it is said to be."""
        for entry in list(self.entries[-len(places) :]):
            if not entry.lesion and entry.place in places and entry.sizes:
                self.pre_sizes += [size for size in entry.sizes if size not in self.pre_sizes]
                self.entries.remove(entry)
