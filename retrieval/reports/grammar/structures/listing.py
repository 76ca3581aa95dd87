"""Lists of structures, and lists of where the lesions of one kind are ("nodes: subcarinal 14 mm, right hilar 11 mm")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...words.kinds import clause_words, into, landmarks, verbs, whereabouts
from ..entries import Entry, Place
from .hosting import LONG, Hosting

_CHANGED = frozenset(
    {
        "unchanged",
        "stable",
        "larger",
        "smaller",
        "bigger",
        "resolved",
        "increased",
        "decreased",
        "improved",
        "progressed",
        "new",
        "gone",
    }
)
_BEFORE = frozenset({"was", "previously", "formerly", "prior"})
ADJECTIVE = ("bony", "al", "ic", "ar", "ous", "ary", "ac", "ine")
_LIST = frozenset({",", "and", "or", "/", "nor", "the", "both", "as", "well", "in", "of", "left", "right", "heights", "height", "size",
                   "bodies", "signal", "structures", "contours", "region", "visualised", "visualized"})  # fmt: skip


class Listing(Hosting):
    """Where a list of structures ends, and further lesions at the structures of a list."""

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
            long = bool(self._lesions_here()) and self._lesions_here()[-1].lesion in LONG
            joined = joined or ((hosted or long) and self._runs_to(last, end, words))
            if not joined or item.sort != "organ" or item.how in ("surgery", "megaly", "part"):
                break
            follows = self.items[end + 1] if end + 1 < len(self.items) else None
            speaks = bool(set(self.after(end)[:2]) & verbs()) or (
                follows is not None and self._direct(end + 1) and follows.sort in ("state", "size", "lesion")
            )
            if hosted and speaks and not self._one_plural(last, end):
                break
            commas = "," in words and not {"and", "or", "nor", "/"} & set(words)
            if commas and not self._list_goes_on(end) and not self._all_normal(last, end):
                break
            sized = follows is not None and follows.sort == "size" and self._direct(end + 1)
            if "," in words and sized:
                break
            last, n = end, end + 1
        return last

    def _runs_to(self, k: int, n: int, words: Sequence[str]) -> bool:
        """ "From the femoral to the popliteal vein": a thrombus is in both."""
        rows = [self.table.get(self.items[m].name) for m in (k, n)]
        vessels = all(row is not None and row.parent in ("artery", "vein") for row in rows)
        return vessels and tuple(word for word in words if word != "the") in (("to",), ("into",), ("through", "to"))

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
        stops = (
            verbs()
            | into()
            | clause_words()
            | {
                "no",
                "without",
                "with",
                ":",
                "(",
                ")",
                "a",
                "an",
                "<other>",
                "increased",
                "decreased",
                "reduced",
                "normal",
                "abnormal",
                "new",
            }
        )
        return len(words) <= 4 and not set(words) & stops and not landmarks().find(words)

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
        return n + 1 < len(self.items) and self.items[n + 1].sort == "state" and not self.before(n + 1)

    def _all_normal(self, k: int, n: int) -> bool:
        """ "Unremarkable kidneys, adrenals, pancreas": one word at an end of the sentence is said of them all."""
        states = [m for m, item in enumerate(self.items) if item.sort == "state"]
        alone = all(item.sort in ("organ", "side", "state") for item in self.items)
        ends = states in ([0], [len(self.items) - 1]) and self.items[states[0]].name == "normal"
        return alone and ends and not self._inside(self.items[n].name, self.items[k].name)

    def _elided(self, last: int) -> bool:
        """ "Pleural effusions and a pericardial one": the noun is left out behind the adjective."""
        nxt = self.next(last)
        return nxt is not None and nxt.name == "one" and not self.before(last + 1) and self._last_lesion() is not None

    def _listed_under_lesion(self, k: int, last: int) -> bool:
        """ "Nodes: subcarinal 14 mm, right hilar 11 mm": each structure is where one of what stands before the colon is."""
        label, nxt = self.label_lesion, self.next(last)
        sided = k > 0 and self.items[k - 1].sort == "side" and set(self.before(k)) <= whereabouts()
        before = self.before(k - 1 if sided else k)
        before = before[before.index(":") :] if ":" in before else before
        counted = nxt is not None and nxt.sort == "count" and self.before(last + 1) == ["("] and label is not None
        if counted and set(before) <= {",", "and", ")", ":"}:
            return True  # "metastases: liver (3), lung (2)"
        changed = set(self.after(last)[:2]) & _CHANGED and label is not None and label.template
        if changed and set(before) <= {",", "and", ";", ":"}:
            return True  # "spinal metastases: T4 deposit larger, L1 unchanged"
        if (
            label is not None
            and label.names_place
            and label.usual
            and not self._inside(self.items[k].name, label.usual)
        ):
            return False  # "Portal hypertension: spleen 16.8 cm"
        if (
            nxt is None
            or nxt.sort != "size"
            or not set(before) <= {",", "and", "(", ")", ";", ":", "plus", "<other>", *_CHANGED, *_BEFORE}
        ):
            return False
        if label is None:  # "protrusions at L3/4 (3 mm), L4/5 (5 mm)"
            told = self.current[0] if self.current else None
            if told is None or not told.lesion or not told.sizes or told.open:
                return False
            if (
                self.items[k].name == "liver"
                and told.place is not None
                and told.place.organ == "liver"
                and "," in before
            ):
                return not told.plural  # "liver metastasis segment 6 3 cm, segment 8 1.5 cm"
            item = self.items[k]  # "hilar nodes 14 mm, subcarinal 17 mm"
            listed = "," in before or (bool(before) and told.plural and told.lesion == "lymphadenopathy")
            adjective = item.how == "adjective" and self.words[item.last - 1].endswith(ADJECTIVE) and listed
            return (self.before(last + 1) == ["("] and ")" in before) or (adjective and not self.before(last + 1))
        return set(self.before(last + 1)) <= {",", "(", ":", "dash", "from"}

    def _measured_again(self, k: int, last: int) -> bool:
        """ "Nodules, 14 mm RLL and 9 mm LUL": the size stands before the place of another one."""
        told, n = self.current[0] if self.current else None, k
        while n and self.items[n - 1].sort == "side" and not self.before(n):
            n -= 1
        if n < 2 or not self.pre_sizes or self.items[n - 1].sort != "size" or self.before(n):
            return False
        if told is None or not told.lesion or not told.sizes or told.place is None or set(self.after(last)) & verbs():
            return False
        rows = [self.table.get(organ) for organ in (told.place.organ, self.items[k].name)]
        alike = rows[0] is not None and rows[1] is not None and rows[0].parent == rows[1].parent
        return alike and bool(self.before(n - 1)) and set(self.before(n - 1)) <= {",", "and", "plus"}

    def _sizes_come_first(self, k: int) -> bool:
        """ "12 mm left frontal lobe, 8 mm right parietal lobe": each size stands right before its structure."""
        if not self.before(k) or not set(self.before(k)) <= {",", "and", "plus"}:
            return False
        if not all(self._names_next(n) for n in (k, self._size_before(k))):
            return False
        return bool(self.current) and bool(self.current[0].lesion)

    def _size_before(self, k: int) -> int:
        return next((n for n in range(k - 1, -1, -1) if self.items[n].sort not in ("side", "organ")), -1)

    def _names_next(self, n: int) -> bool:
        """Whether the item is a size with nothing but a side between it and a structure."""
        if n < 0 or self.items[n].sort != "size":
            return False
        n += 1
        while n < len(self.items) and self.items[n].sort == "side" and not self.before(n):
            n += 1
        return n < len(self.items) and self.items[n].sort == "organ" and not self.before(n)

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
            entry.place, entry.side, entry.weak, entry.sentence, entry.group = (
                place,
                "",
                False,
                self.sentence,
                self._groups,
            )
            entry.is_subject = False
            made.append(entry)
        self.entries += made
        self.current = made
        for size in self.pre_sizes:
            self._attach(size)
        self._reset()
