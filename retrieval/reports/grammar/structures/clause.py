"""A sentence while it is read: its words and items, what waits for a noun, and what was named last."""

from __future__ import annotations

from collections.abc import Sequence

from ....anatomy.structures import StructureTable
from ...sizes import Size
from ...words.kinds import clause_words, into, landmarks, leaning, verbs, whereabouts
from ...words.naming import Item
from ...words.shorthand import Word
from ..entries import OTHER, Entry, Memory, Place

JOINTS = frozenset({",", "and", "or", "/", "nor", "plus", "(", ")", "with"})
SMALL_WORDS = frozenset(
    {"on", "in", "at", "the", "to", "that", "of", "for", "side", "and", "or", ",", "(", "with", "a", "an", "as"}
)
COMPARING = frozenset({"more", "worse", "greater", "predominantly", "mainly", "especially", "particularly", "mostly", "predominant", "accentuated",
                       "pronounced", "worst", "notably"})  # fmt: skip
_AGAIN = frozenset(
    {"it", "its", "they", "these", "this", "that", "those", "largest", "larger", "smaller", "both", "one", "a"}
)

_WITH_LEVELS = ("spinal cord", "spinal canal", "epidural space", "thecal sac")
_SPINE = ("vertebral column", "vertebra", "bone", "bone marrow", "thoracic spine", "lumbar spine", "cervical spine")


class Clause:
    """The state of the reading; the classes built on it add one kind of word each."""

    def __init__(
        self, words: Sequence[Word], items: Sequence[Item], sentence: int, memory: Memory, table: StructureTable
    ) -> None:
        self.words = [word.text for word in words]
        self.sized = {n: word.size for n, word in enumerate(words) if word.size is not None}
        self.items = list(items)
        self.sentence, self.memory, self.table = sentence, memory, table
        self.entries: list[Entry] = []
        self.leans = self._leans_back()
        self.current: list[Entry] = list(memory.current) if self.leans else []
        self.subject: list[Place] = []
        self.front_side = ""
        self.last_side = memory.side
        self.pending: list[Size] = []
        self.segment = 0
        self.outside: list[Place] = []
        self.label_lesion = memory.label_lesion
        self._groups = 0
        self._reset()

    def _reset(self) -> None:
        """Forget what waited for the next noun."""
        self.pre_side, self.split = "", False
        self.pre_order: tuple[str, ...] = ()
        self.pre_sizes: list[Size] = []
        self.pre_count: int | None = None
        self.pre_state: tuple[str, int, int] | None = None
        self.compound: list[Place] = []
        self.compound_order: tuple[str, ...] = ()
        self.adjective = False

    def next(self, k: int) -> Item | None:
        """The item behind this one."""
        return self.items[k + 1] if k + 1 < len(self.items) else None

    def before(self, k: int) -> list[str]:
        """Words between the item before and this one."""
        return self.words[self.items[k - 1].last if k else 0 : self.items[k].first]

    def after(self, k: int) -> list[str]:
        """Words between this item and the next one."""
        return self.words[self.items[k].last : self.items[k + 1].first if k + 1 < len(self.items) else len(self.words)]

    def _direct(self, k: int) -> bool:
        """Whether only adjectives stand before the item."""
        before = self.before(k)
        return not any(
            word in JOINTS or word in verbs() or word in into() or word in clause_words() or word in (":", "without")
            for word in before
        ) and not landmarks().find(before)

    def _chain(self, k: int, sorts: tuple[str, ...]) -> int | None:
        """The number of the lesion that items from `k` lead up to without a break, or None."""
        while k < len(self.items) and self._direct(k):
            if self.items[k].sort == "lesion":
                return k
            if self.items[k].sort not in sorts:
                return None
            k += 1
        return None

    def _leans_back(self) -> bool:
        """Whether the sentence goes on about the one before: "The larger one …", "It …", "Right: …"."""
        first = next((item for item in self.items if item.sort != "state"), None)
        if first is None:
            return False
        if first.sort == "size" and self.words[first.last : first.last + 1] == ["of"]:
            return False  # "There is 5 mm of anterolisthesis"
        if first.sort in ("size", "count") and first.first == 0 and self._a_noun(first.last):
            return False  # "12 cm segment of …"
        if {"it", "its"} & set(self.words[: first.first]) or self.words[0] in (
            "this",
            "these",
            "they",
            "that",
            "those",
        ):
            return True
        if first.sort == "side" and first.name in ("left", "right"):
            end = self.items[1].first if len(self.items) > 1 else len(self.words)
            unknown = [n for n in range(first.last, end) if self._a_noun(n)]
            if unknown[:1] == [first.last] or (unknown and len(self.items) == 1):
                return False  # "Right tube patent", "on the right a prosthesis"
        if first.sort in ("side", "size", "count") and any(self._a_noun(n) for n in range(first.first)):
            return False  # "Mild changes on the right", "Residual volume 45 ml"
        return first.sort in ("side", "size", "count", "same") or bool(_AGAIN & set(self.words[: first.first][:3]))

    def _a_noun(self, n: int) -> bool:
        """Whether a plain word stands there and no verb, preposition or mark."""
        word = self.words[n] if n < len(self.words) else ""
        plain = verbs() | into() | JOINTS | clause_words() | SMALL_WORDS | _AGAIN | leaning() | whereabouts()
        return word.isalpha() and word not in plain and not self._sorted(n)

    def _sorted(self, n: int) -> bool:
        return any(item.first <= n < item.last for item in self.items)

    def _inside(self, organ: str, whole: str) -> bool:
        """Whether a structure is another or a part of it, or the other a part of it."""
        if organ.startswith("intervertebral dis") and whole.startswith("intervertebral dis"):
            return True
        for inner, outer in ((organ, whole), (whole, organ)):
            row = self.table.get(inner)
            for _step in range(4):
                if row is None:
                    break
                if (
                    outer in (row.name, row.part_of, row.parent)
                    or row.parent == f"part of the {outer.removesuffix('s')}"
                ):
                    return True
                row = self.table.get(row.part_of) if row.part_of else None
        return False

    def _near_before(self, k: int) -> list[str]:
        words = self.before(k)
        while k and self.items[k - 1].sort in ("side", "state") and self._direct(k):
            k -= 1
            words = [*self.before(k), *words]
        cut = max(
            (
                n + 1
                for n, word in enumerate(words)
                if word in (",", "and", ";", ":", "where") or word in clause_words()
            ),
            default=0,
        )
        return words if "between" in words and cut and words[cut - 1] == "and" else words[cut:]

    def _lesions_here(self) -> list[Entry]:
        return [entry for entry in self.entries[self.segment :] if entry.lesion]

    def _meant_side(self, side: str) -> str:
        if side == "same":
            return self.last_side
        if side == "other":
            return OTHER.get(self.last_side, "")
        return side

    def _attach(self, size: Size) -> None:
        self._attach_to(self.current, size)

    def _attach_to(self, entries: Sequence[Entry], size: Size) -> None:
        if entries and entries[0].how == "action":  # the size is that of what acts
            entries = [entry for entry in self.entries if entry.lesion and entry.how != "action"][-1:]
        for entry in entries:
            if entry.how != "surgery":
                (entry.priors if size.is_prior else entry.sizes).append(size)
                entry.seen_now = entry.seen_now or (entry.sentence != self.sentence and not size.is_prior)

    def _flush(self) -> None:
        """Sizes that no side came for belong to what was named last."""
        for size in self.pending:
            self._attach(size)
        self.pending = []

    def _lies_in_spine(self, entry: Entry) -> bool:
        """Whether a level may be the place of a lesion, and not only say how high it lies."""
        if entry.usual in ("spinal cord", "epidural space", "subdural space"):
            return False  # "syrinx at C6"
        if entry.place is not None and entry.place.organ in _WITH_LEVELS:
            return False  # "Cord: lesion at C4"
        organ = entry.place.organ if entry.place is not None else entry.usual if entry.names_place else ""
        return (
            not organ or not (entry.by_adjective or entry.names_place) or organ in _SPINE or "intervertebral" in organ
        )
