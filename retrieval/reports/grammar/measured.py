"""What a size is the size of: a lesion or an organ, what stands behind it, or nothing that is known."""

from __future__ import annotations

from ..words.naming import Item
from .entries import Entry, Place
from .sides import Sides
from .structures.clause import SMALL_WORDS

_STRETCH = frozenset(
    {
        "segment",
        "length",
        "stretch",
        "area",
        "region",
        "portion",
        "zone",
        "diameter",
        "long",
        "thick",
        "wide",
        "deep",
        "short",
        "gap",
    }
)


class Measured(Sides):
    """Tells what a size belongs to."""

    def _measure_organ(self, item: Item, told: Entry) -> None:
        """ "Fatty liver, 19.5 cm": the size is that of the liver."""
        assert item.size is not None
        place = told.place or (Place(told.usual) if told.usual else None)
        if place is not None:
            self._groups += 1
            organ = Entry("", place, "", item.first, item.last, self.sentence, self._groups)
            self.entries, self.current = [*self.entries, organ], [organ]
        self._attach(item.size)

    def _of_left_out(self, k: int) -> bool:
        """Whether the size stands between an article and a noun that is no finding."""
        item = self.items[k]
        article = self.words[item.first - 1] in ("a", "an") if item.first else False
        named = self._chain(k + 1, ("side", "organ", "state", "count")) is not None and self._direct(k + 1)
        ahead = self.next(k)
        near = ahead is not None and self._direct(k + 1) and ahead.sort in ("organ", "lesion")
        noun = self.words[item.last] if item.last < len(self.words) else ""
        return article and self._a_noun(item.last) and not named and not near and noun not in _STRETCH

    def _of_which(self, k: int) -> bool:
        """ "AAA 56 mm, extending into the iliac artery, which measures 21 mm": not the size of what is measured already."""
        told = self.current[0] if self.current else None
        n = k - 1
        while n > 0 and self.items[n].sort == "state":
            n -= 1
        words = self.words[self.items[n].last : self.items[k].first] if n >= 0 else []
        behind = n >= 0 and self.items[n].sort == "organ" and "which" in words[:2]
        return behind and told is not None and bool(told.lesion) and bool(told.sizes)

    def _of_lesion(self, k: int) -> bool:
        """ "5 mm of anterolisthesis", "9 mm of leftward midline shift"."""
        nxt = self.next(k)
        if nxt is None or self.before(k + 1)[:1] != ["of"]:
            return False
        return nxt.sort == "lesion" or (
            nxt.sort in ("organ", "side") and self._chain(k + 2, ("organ", "side")) is not None
        )

    def _is_of_nothing(self, item: Item) -> bool:
        """Whether a size stands behind a noun that is no structure, and before none."""
        behind = any(self._a_noun(n) for n in range(item.first))
        nxt = self.next(0)
        ahead = nxt is not None and nxt.sort in ("organ", "lesion", "count") and self._direct(1)
        return behind and not ahead and self._chain(1, ("side", "organ", "state", "count")) is None

    def _side_follows(self, k: int) -> bool:
        nxt = self.next(k)
        return nxt is not None and nxt.sort == "side" and set(self.before(k + 1)) <= (SMALL_WORDS - {",", "and", "or"})
