"""Lesions: which structure they are said of, and which of them are one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..words.kinds import (
    describing,
    hedges,
    identities,
    renamed,
    seen_things,
    verbs,
)
from ..words.naming import Item
from .entries import Entry, Place
from .hosts import usual_place
from .lesion_places import LesionPlaces

_DEGREES = frozenset(
    {
        "mildly",
        "moderately",
        "severely",
        "markedly",
        "slightly",
        "minimally",
        "partially",
        "partly",
        "predominantly",
        "mixed",
    }
)
_ANOTHER = frozenset({"additional", "other", "further", "remaining", "smaller", "more"})
_STATES = frozenset({"uptake", "enhancement", "activity"})
_NEAR_STATE = 4  # words from "normal" to "uptake"
_MEASURES = frozenset({"focus", "observation"})
_PRONOUNS = frozenset({"it", "they", "this", "these", "both"})


class Lesions(LesionPlaces):
    """Reads lesions."""

    def _lesion(self, k: int) -> int:
        if self._is_no_other_lesion(k):
            return k + 1
        item, here = self.items[k], self._lesions_here()
        group = self._group_of(k, here)
        self._flush()
        side = self._meant_side(self.pre_side) or (
            self.front_side if not self.compound or not self.compound[0].side else ""
        )
        told = " ".join(self.words[item.first : item.last])
        usual, named = usual_place(told, item.name), usual_place(told, "")
        its_own = " " in told and bool(named)  # "biliary dilatation", "pleural effusion"
        places, weak = self._places_of(k, here, its_own=its_own)
        made = []
        for place in places or [None]:
            if place is not None and side and place.side in ("", "plural"):
                place = replace(place, side=side)
            entry = Entry(
                item.name, place, side if place is None or not place.side else "", item.first, item.last, self.sentence,
                group, item.how, open=place is None, weak=weak, plural=item.plural, order=self.pre_order or self.compound_order, usual=usual, usual_by_name=its_own and named != usual_place("", item.name), leans=self.leans, leans_on_it=self.words[0] in _PRONOUNS, by_adjective=bool(self.compound) and self.adjective,
            )  # fmt: skip
            acting = here[-1].stands if item.how == "action" and here else ""
            entry.count, entry.beside = self.pre_count, acting or self._beside(k, here)
            entry.names_place, entry.afresh = its_own, self.words[0] == "no"
            entry.words_before = tuple(word for word in self.before(k) if word in _ANOTHER)
            entry.denied_here = bool({"no", "without", "nil"} & set(self.before(k)))
            entry.elsewhere = place is None and self._elsewhere(k)
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

    def _is_no_other_lesion(self, k: int) -> bool:
        """Whether the noun says more of a lesion that is named already, or of one that comes; it is then taken in."""
        item, nxt, here = self.items[k], self.next(k), self._lesions_here()
        if item.how == "action" and not self._acts(k, here):
            return True
        here = [entry for entry in here if entry.how != "action"]
        if here and self._is_verb(k) and item.how != "action":
            return True
        if here and identities().find(self.words[here[-1].last : item.first]):
            seen = [entry for entry in here if entry.group == self._told(here).group]
            if any(entry.lesion in seen_things() or entry.lesion in renamed() for entry in seen):
                for entry in seen:
                    entry.lesion, entry.affirmed = item.name, True
                    self._take_place(entry, k)
                self._reset()
                return True
            if self._explains(item, here):
                self._take_signs(k, here)
                return True
            if not self.compound and here[-1].place is not None:
                self.compound = [here[-1].place]  # "reticulation and bronchiectasis, typical of interstitial pneumonia"
            return False
        if self._names_seen(k, here) or self._is_sign(k, here):
            return True
        near = self.words[max(0, item.first - _NEAR_STATE) : item.first]
        if item.name in _STATES and k and "normal" in near and not {"no", "without"} & set(near):
            return True  # "spleen normal in size and uptake"
        if item.name in ("uptake", "enhancement") and nxt is not None and self._next_lesion(k):
            return True  # "uptake in a 15 mm mesenteric nodule"
        ahead = (
            self._chain(k + 2, ("organ", "side", "size", "count"))
            if nxt is not None and nxt.sort in ("organ", "side")
            else None
        )
        if (
            item.name == "enlargement"
            and self.after(k)[:1] == ["of"]
            and ahead is not None
            and self.items[ahead].name == "lymphadenopathy"
        ):
            return True  # "enlargement of the para-aortic nodes"
        if nxt is not None and nxt.sort == "lesion" and self.after(k) == ["of"] and item.name in _MEASURES:
            return True  # "a focus of restricted diffusion"
        if item.how == "predicate" and (self._before_lesion(k + 1) or self._describes_lesion(k)):
            return True
        touches = nxt is not None and nxt.sort == "lesion" and nxt.first == item.last
        if nxt is not None and touches and nxt.how == item.how == "name" and not self._is_verb(k + 1):
            place = usual_place(" ".join(self.words[item.first : item.last]), "")
            if place and not self.compound and item.last - item.first > 1:
                self.compound = [Place(place, self._meant_side(self.pre_side))]  # "right ovarian cyst rupture"
            return True  # "ground-glass nodule": the first only says of what kind
        if (
            item.name in ("uptake", "activity")
            and "physiological" in self.words[max(0, item.first - 3) : item.last + 2]
        ):
            if self.compound:  # "gastric uptake, physiological"
                self._groups += 1
                made = Entry(
                    "", self.compound[0], "", item.first, item.last, self.sentence, self._groups, state="normal"
                )
                made.state_at = (item.first, item.last)
                self.entries, self.current = [*self.entries, made], [made]
                self._reset()
                return True
            self.pre_state = ("normal", item.first, item.last)
            return True
        label = self._label_again(item)
        if label is None:
            return False
        label.count = self.pre_count if self.pre_count is not None else label.count
        for size in self.pre_sizes:
            self._attach_to([label], size)
        self._reset()
        self.current = [label]
        return True

    def _is_verb(self, k: int) -> bool:
        """ "… complex flattening the cord": what a lesion does, and no other lesion."""
        return self.words[self.items[k].last - 1].endswith("ing") and self.after(k)[:1] == ["the"]

    def _before_lesion(self, k: int) -> bool:
        """ "Lytic or sclerotic lesion", "calcified pleural plaque": the word before only says of what kind."""
        while k < len(self.items):
            item, before = self.items[k], set(self.before(k))
            if item.sort == "lesion" and item.how == "predicate" and before <= {"or", "and", ",", "/"} | _DEGREES:
                k += 1
                continue
            lesion = (
                self._chain(k, ("organ", "side", "size", "count", "state")) if not before & {"without", "no"} else None
            )
            return lesion is not None and self.items[lesion].how == "name"
        return False

    def _describes_lesion(self, k: int) -> bool:
        """ "Fracture, dorsally angulated", "it is rim calcified": more of the lesion named before."""
        nxt, named = self.next(k), self.current[-1] if self.current else None
        if nxt is not None and nxt.sort in ("organ", "side") and self._direct(k + 1):
            return False
        more = named is not None and named.how == "predicate" and self.before(k) == ["and"]  # "unfolded and calcified"
        return named is not None and bool(named.lesion) and self.items[k].name in describing() and not more

    def _group_of(self, k: int, here: Sequence[Entry]) -> int:
        """The group of the list the lesion goes on with, else a new one."""
        before = set(self.before(k))
        joined = bool(here) and bool(before & {",", "and", "or", "/", "nor", "versus", "vs", "than", "over"})
        joined = (
            joined and not before & (verbs() | {"with", "but"} | hedges()) and not here[-1].sizes and not self.pre_sizes
        )
        if joined and (here[-1].open or here[-1].weak or self.compound):
            return here[-1].group
        self._groups += 1
        return self._groups

    def _label_again(self, item: Item) -> Entry | None:
        """ "Stone burden: 4 calculi", "index lesion" after "metastases": the same finding named once more."""
        before = self.words[max(0, item.first - 4) : item.first]
        last = self.current[-1] if self.current else None
        if last is None or not last.lesion or (last.sentence != self.sentence and last is not self.label_lesion):
            return None
        if "index" in before and (last.lesion == item.name or last.sentence == self.sentence):
            return last
        between = self.words[last.last : item.first]
        return last if ":" in between and last.lesion == item.name and not self.compound and not last.sizes else None
