"""Sizes, counts, states and words like "the larger": each goes to what was named last, or waits for its noun."""

from __future__ import annotations

from dataclasses import replace

from ..words.kinds import hedges, into, verbs
from .entries import Entry
from .measured import Measured
from .structures.clause import JOINTS

_NODES = 7  # words from "enlarged" to "nodes"
_OF_ORGAN = frozenset({"scarring", "steatosis", "cirrhosis", "malrotation", "ectopia", "congestion"})
_NOW = frozenset({"now", "today", "currently", "presently"})


class Amounts(Measured):
    """Reads sizes, counts and states."""

    def _size(self, k: int) -> int:
        item = self.items[k]
        assert item.size is not None
        if _NOW & set(self.words[max(0, item.first - 4) : item.first]) and not item.size.is_prior:
            for entry in self.current:
                entry.priors, entry.sizes = [*entry.priors, *entry.sizes], []  # "the 14 mm nodule now measures 18 mm"
        if not self.entries and not self.leans and k == 0 and self._is_of_nothing(item):
            self.current = [self._nothing(item)]
            return k + 1  # "Parenchymal thickness 14 mm": of nothing that is known
        if self.after(k)[:1] == ["of"] and self._a_noun(item.last + 1):
            return k + 1  # "after 100 ml of iohexol"
        if self._of_left_out(k):
            self.current = [self._nothing(item)]
            return k + 1  # "with a 3 cm cavity"
        if self._of_which(k):
            self.current = [self._nothing(item)]
            return k + 1
        nxt = self.next(k)
        measured = bool(self.current) and bool(self.current[0].lesion) and not self.current[0].sizes
        of_next = nxt is not None and nxt.sort == "organ" and not self.before(k + 1) and not measured
        alone = nxt is not None and nxt.sort == "organ" and not self.before(k + 1) and self.before(k)[-2:-1] == ["with"]
        of_next = of_next or alone or self._of_lesion(k) or self._sizes_come_first(k)
        if (
            (
                self._chain(k + 1, ("side", "organ", "state", "count")) is not None
                and self._direct(k + 1)
                and not (self.current and set(self.before(k + 1)) & hedges())
            )
            or not self.current
            or of_next
        ):
            self.pre_sizes.append(item.size)
        elif self.current[0].sizes and not item.size.is_prior and self._side_follows(k):
            self.pending.append(item.size)
        elif self.current[0].lesion in _OF_ORGAN and not item.size.is_prior and not self._low_tonsils():
            self._measure_organ(item, self.current[0])
        else:
            self._attach(item.size)
        return k + 1

    def _state(self, k: int) -> int:
        item = self.items[k]
        ahead = self.words[item.last : item.last + _NODES]
        until = next((n for n, word in enumerate(ahead) if word in ("node", "nodes")), -1)
        of_nodes = until >= 0 and not set(ahead[:until]) & (verbs() | {",", "with"})
        if item.name in ("enlarged", "small") and (
            of_nodes or self._chain(k + 1, ("side", "organ", "size", "count")) is not None
        ):
            return k + 1  # "neck: enlarged right cervical nodes", "no enlarged intraparotid or cervical nodes"
        at = (item.name, item.first, item.last)
        nxt = self.next(k)
        if (
            nxt is not None
            and self._direct(k + 1)
            and (
                nxt.sort == "organ"
                or (nxt.sort == "side" and k + 2 < len(self.items) and self.items[k + 2].sort == "organ")
            )
        ):
            after_organ = (
                bool(self.current)
                and not self.current[0].lesion
                and (self._direct(k) or set(self.before(k)) <= verbs())
                and not set(self.before(k)) & JOINTS
            )
            apart = bool(self.entries) and "the" in self.before(k + 1)
            if not after_organ and not apart and item.name != "present":
                self.pre_state = at
                return k + 1
        if not self.entries and nxt is not None and nxt.sort in ("organ", "side") and item.name == "normal":
            self.pre_state = at  # "physiological activity in the brain"
            return k + 1
        for entry in self.current:
            if not entry.lesion and entry.sentence == self.sentence and entry.state in ("", "present"):
                entry.state, entry.state_at = item.name, (item.first, item.last)
        return k + 1

    def _count(self, k: int) -> int:
        item = self.items[k]
        if item.name == "one" and {"a", "an", "the"} & set(self.words[max(0, item.first - 3) : item.first]):
            item = self.items[k] = replace(item, count=None)  # "a submucosal one"
        near = self.words[max(0, item.first - 2) : item.first]
        if (
            self._chain(k + 1, ("side", "organ", "size", "state")) is not None
            and self._direct(k + 1)
            and item.name != "none"
        ):
            self.pre_count = item.count if "second" not in near else None
            return k + 1
        if item.name == "none" and set(self.words[item.last : item.last + 1]) & {
            "larger",
            "bigger",
            "greater",
            "exceeding",
        }:
            return k + 1  # "polyps, none larger than 6 mm"
        if item.name == "none" and self.after(k)[:1] and self.after(k)[0].endswith("ing"):
            return k + 1  # "lesions, none enhancing"
        before = self.memory.current if self.leans else []
        base = [e for e in self.current if e.lesion] or [e for e in before if e.lesion]
        if not base or set(near) & {"larger", "largest", "smaller", "smallest", "bigger", "biggest"}:
            return k + 1
        if item.name == "none" and k and self.items[k - 1].sort == "side" and base[0].first == self.items[k - 1].first:
            base[0].group = self._groups = self._groups + 1
            base[0].denied = True  # "the right kidney holds three stones, the left none"
            return k + 1
        if self.before(k)[-1:] == ["("] and item.count is not None:
            base[0].count = item.count  # "polyps of the gallbladder (two, 3 and 5 mm)"
            return k + 1
        if self._counts_known(k, base, near):
            return k + 1
        copies = [entry.copy((item.first, item.last)) for entry in base[:1]]
        for entry in copies:
            entry.sentence, entry.count = (
                self.sentence,
                None if set(near) & {"second", "similar", "another", "further"} else item.count,
            )
            entry.denied = item.name == "none"
            entry.group = self._groups = self._groups + 1
            if self._side_named_next(k):
                entry.side = ""
                entry.place = replace(entry.place, side="") if entry.place is not None else None
        self._flush()
        base[0].template = base[0].template or (self._counted_out(k) and base[0].sentence == self.sentence)
        self.entries += copies
        self.current = copies
        return k + 1

    def _low_tonsils(self) -> bool:
        """ "Cerebellar ectopia of 7 mm": the size is how low they lie."""
        place = self.current[0].place
        return place is not None and "cerebell" in place.organ

    def _counted_out(self, k: int) -> bool:
        """ "Stones: 2 on the right …": a total is dealt out over what follows."""
        base = [e for e in self.current if e.lesion]
        whole = bool(base) and base[0].stands in ("both", "") and not base[0].sizes and base[0].count is None
        sided = k + 1 < len(self.items) and self.items[k + 1].sort == "side"
        listed = ":" in self.before(k) or (sided and whole and "," in self.before(k) and base[0].plural)
        return listed and self.items[k].name != "none" and self._noun_left_out(k)

    def _counts_known(self, k: int, base: list[Entry], near: list[str]) -> bool:
        """Whether the count is one of what was named last, which takes it, or of nothing that is named anew."""
        item, before = self.items[k], self.before(k)
        if ":" in before and item.name != "none" and not self._counted_out(k):
            base[0].count = item.count
            return True
        trailing = before == [","] and (self.after(k)[:1] == [","] or (not self.after(k) and k + 1 == len(self.items)))
        if set(near) & {"least", "fewer", "than", "x", "n"} or trailing:
            base[0].count = item.count
            return True
        if item.name.isdigit() and base[0].sizes and base[0].count is None:
            if self._side_follows(k) and set(before) & {"and", ","}:
                last = base[0].sizes[-1]
                mm = (float(item.name),)
                self.pending.append(replace(last, mm=mm, parts=(mm,)))
            return True
        if item.name.isdigit() and not self._noun_left_out(k):
            return True
        if item.name == "none" and ":" in before:
            return True
        several = (base[0].count or 0) > 1 or base[0].plural
        if item.name == "one" and several and not self._noun_left_out(k) and not self._side_named_next(k):
            self.current = base
            return True  # "One measures 2 cm, the other 4 cm."
        return False

    def _noun_left_out(self, k: int) -> bool:
        nxt = self.next(k)
        return nxt is not None and nxt.sort in ("side", "organ") and bool(set(self.before(k + 1)) & into())

    def _side_named_next(self, k: int) -> bool:
        return any(item.sort in ("side", "organ") for item in self.items[k + 1 : k + 3])

    def _same(self, k: int) -> int:
        """ "the former", "the latter": the first and the last of a list."""
        item = self.items[k]
        if item.name in ("former", "latter"):
            named = [*self.memory.current, *self.entries]
            group = [e for e in named if self.current and e.group == self.current[0].group]
            if group:
                one = group[0] if item.name == "former" else group[-1]
                self.current = [one]
                self.subject = [replace(one.place, side=one.stands)] if one.place is not None else self.subject
        return k + 1
