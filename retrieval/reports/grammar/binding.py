"""Binds what a sentence names to findings: which structure, side, size and count belong to which lesion.

A shallow grammar, read once from left to right. A structure right before a lesion is its host ("left renal cyst"), so
is one behind "in" or "of", for every lesion of a list; otherwise the subject of the clause, or the heading before the
colon. A side or a size goes to what was named last; a second side makes another finding of the same kind
("… and 11.4 cm on the left"), which is how nouns left out are filled in.
"""

from __future__ import annotations

from dataclasses import replace

from ..sizes import Size
from ..words.kinds import clause_words, denials, exams, into, seen_things, verbs
from ..words.limbs import is_region, is_trunk, limb_of
from .amounts import Amounts
from .entries import OTHER, Entry

_HEADING = 2  # words of a heading that names no structure known


class Binder(Amounts):
    """Reads one sentence; `entries` are its findings."""

    def read(self) -> list[Entry]:
        """The findings of the sentence, in the order of their words."""
        k = 0
        while k < len(self.items):
            self._boundary(k)
            item = self.items[k]
            step = {
                "organ": self._organ, "lesion": self._lesion, "side": self._side, "size": self._size,
                "state": self._state, "count": self._count, "same": self._same,
            }[item.sort]  # fmt: skip
            k = step(k)
        self._flush()
        self._fill_places()
        self._deny_labels()
        self._respectively()
        if self.current:
            self.memory.current = self.current
        self._title()
        self.memory.side = self.last_side
        seen = [entry for entry in self.entries if entry.lesion in seen_things()]
        self.memory.seen = [entry for entry in seen if entry.group == seen[-1].group]
        return self.entries

    def _title(self) -> None:
        """ "Right shoulder." before everything else says what the report is about, as before a colon."""
        one = self.entries[0] if len(self.entries) == 1 and self.sentence == 0 else None
        if one is None or one.lesion or one.state or one.sizes or one.place is None or set(self.words) & verbs():
            return
        if is_region(one.place.organ, self.table) and limb_of(one.place.organ, self.table) and one.how != "surgery":
            self.memory.label = self.memory.titled = [one.place]

    def _boundary(self, k: int) -> None:
        before = self.before(k)
        if "(" in before:
            self.outside = list(self.subject)
        if ")" in before and self.outside:
            self.subject, self.outside = self.outside, []
        if (
            ":" in before
            or ("dash" in before and k == len(self.entries) == 1)
            or ("dash" in before and self._one_sided_label(k))
        ):
            self._label(k)
        if any(word in clause_words() for word in before) or self._begins_anew(k):
            self._flush()
            self.segment = len(self.entries)
            self.front_side = ""
            if "dash" not in before:
                self.subject = []
            self._reset()

    def _begins_anew(self, k: int) -> bool:
        """Whether a clause begins though only a comma or nothing says so: "there is …", ", the left kidney is …"."""
        before = self.before(k)
        if "there" in before and before[-1:] != ["there"]:
            return bool(self._lesions_here()) or any(entry.state for entry in self.entries[self.segment :])
        if "," not in before or not self.entries[self.segment :]:
            return False
        n = k + 1 if self.items[k].sort == "side" and k + 1 < len(self.items) and self._direct(k + 1) else k
        if self.items[n].sort != "organ" or self.items[n].how == "adjective" or set(before) & (into() | {"and", "or"}):
            return False
        last = self._list_end(n)
        speaks = last + 1 < len(self.items) and self.items[last + 1].sort == "state" and not self.before(last + 1)
        return bool(set(self.after(last)[:2]) & verbs()) or speaks

    def _one_sided_label(self, k: int) -> bool:
        """ "Right kidney - 9.8 cm": one structure and its side before the dash."""
        return len(self.entries) == 1 and not self.entries[0].sizes and not self.entries[0].lesion

    def _label(self, k: int) -> None:
        """What stands before a colon is what the rest is about."""
        if k == 0 and self.words[0].isalpha() and self.words.index(":") <= _HEADING:
            self.memory.topic, self.memory.label = None, []  # "Vessels: no aneurysm" speaks of something else
        organs = [e for e in self.entries if not e.lesion]
        if organs and len(organs) == len(self.entries):
            places = [e.place for e in organs if e.place is not None]
            titled = exams() & set(self.words[: self.items[k].first])
            if titled and all(is_trunk(p.organ, self.table) for p in places):
                places, self.current = [], []  # "CTA head and neck: stenosis of …"
            self.subject = places
            self.memory.label = places
            self.memory.topic = places[-1] if places else self.memory.topic
        elif self.entries and self.entries[-1].lesion and (len(self.entries) == 1 or self.entries[-1].open):
            self.label_lesion = self.entries[-1]
            self.label_lesion.by_label = self.label_lesion.place is not None

    def _fill_places(self) -> None:
        """ "Two cysts in the right and one in the left lobe": the structure is only named with the second side."""
        for n, entry in enumerate(self.entries):
            if entry.lesion and entry.place is None and entry.side in OTHER:
                later = (e.place for e in self.entries[n + 1 :] if e.lesion == entry.lesion and e.place is not None)
                place = next((p for p in later if p.side == OTHER[entry.side]), None)
                entry.place = replace(place, side=entry.side) if place is not None else None

    def _deny_labels(self) -> None:
        """ "Liver mass: none", "Stones - nil": what stands before the colon is denied."""
        said = denials()
        for n, word in enumerate(self.words):
            if word in ("nil", "neg") and n + 1 == len(self.words) and self.entries and self.entries[-1].last == n:
                self.entries[-1].denied = True  # "LNs nil"
            if word not in (":", "dash"):
                continue
            rest = self.words[n + 1 :]
            match = next((m for m in said.find(rest) if m.first == 0), None)
            if match is None or (
                match.last < len(rest)
                and rest[match.last] not in (",", ";", "dash", "(")
                and rest[: match.last] == ["no"]
            ):
                continue
            named = [entry for entry in self.entries if entry.last <= n]
            for entry in named:
                if entry.group == named[-1].group:
                    entry.denied = True

    def _respectively(self) -> None:
        """Sizes of a list go to the things of a list, one each: "right and left …, 32 and 18 mm"."""
        if "respectively" not in self.words and not any(entry.order for entry in self.entries):
            return
        for entry in list(self.entries):
            parts = [(size, part) for size in entry.sizes for part in (size.parts or ((),))]
            if entry.order and len(parts) == len(entry.order) and len(parts) > 1:
                twin = entry.copy((entry.first, entry.last), entry.order[1])
                entry.put_side(entry.order[0])
                if entry.place is not None:
                    entry.place = replace(entry.place, side=entry.order[0])
                twin.affirmed, twin.state, twin.state_at = entry.affirmed, entry.state, entry.state_at
                entry.sizes, twin.sizes = ([_only(size, part)] for size, part in parts)
                self.entries.insert(self.entries.index(entry) + 1, twin)
        groups: dict[int, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.group, []).append(entry)
        for group in groups.values():
            shared = [(size, part) for size in group[0].sizes for part in (size.parts or ((),))]
            if (
                "respectively" in self.words
                and len(group) > 1
                and len(shared) == len(group)
                and all(e.sizes == group[0].sizes for e in group)
            ):
                for entry, (size, part) in zip(group, shared, strict=True):
                    entry.sizes = [_only(size, part)]


def _only(size: Size, part: tuple[float, ...]) -> Size:
    return replace(size, mm=part, parts=(part,)) if part else size
