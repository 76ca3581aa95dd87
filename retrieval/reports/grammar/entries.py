"""A finding while it is being put together, and what sentences of one paragraph hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..sizes import Size

OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Place:
    """A structure as said: of a pair the pair and its side ("plural": named in the plural without a side).

    Attributes:
        relative: a bare "head" or "wall", understood of what was spoken of and not the next sentence's topic.
    """

    organ: str
    side: str = ""
    said: str = ""
    relative: bool = False


@dataclass
class Entry:
    """A finding in the making.

    Attributes:
        lesion: kind of lesion, or "" when the structure itself is meant.
        place: where, or None as long as nothing says so.
        side: as said for the lesion itself; `place` may have one, too.
        first, last: words that name it.
        open: no structure was named beside it; `weak`: one was, but a closer one may still come.
        usual: where its kind usually is; a structure behind another lesion of a list is then not its own.
        usual_by_name: its very words say where ("pericardial effusion").
        names_place: its words say where, though not otherwise than its kind ("pleural effusion").
        elsewhere: it is denied behind a comma and not said of the structure before it.
        leans: its sentence goes on about the one before; `leans_on_it`: with a pronoun ("It is fatty").
        by_usual: its place is only the usual one. by_adjective: "renal stone" may yet lie in the ureter.
        beside: the side of what it is said to go with ("a stone in the left ureter with hydronephrosis").
        seen_now: a later sentence gives its size of today.
        denied_here: "no" stands right before it.
        words_before: of the few words before it those that say "another" ("additional").
        afresh: its sentence begins with "no".
        from_afar: its place was last spoken of in a sentence before, and is no heading.
        by_label: it stands before a colon with its place ("thyroid nodules: right lobe 8 mm").
        template: others were counted out of it ("stones: two left, one right"), so that it is no finding of its own.
        group: entries joined by "and", "or" or commas share it.
    """

    lesion: str
    place: Place | None
    side: str
    first: int
    last: int
    sentence: int
    group: int
    how: str = "name"
    open: bool = False
    weak: bool = False
    usual: str = ""
    usual_by_name: bool = False
    names_place: bool = False
    elsewhere: bool = False
    leans: bool = False
    leans_on_it: bool = False
    by_usual: bool = False
    by_adjective: bool = False
    by_label: bool = False
    from_afar: bool = False
    afresh: bool = False
    denied_here: bool = False
    words_before: tuple[str, ...] = ()
    beside: str = ""
    template: bool = False
    inherited: bool = False
    denied: bool = False
    affirmed: bool = False
    state: str = ""
    state_at: tuple[int, int] = (0, 0)
    count: int | None = None
    seen_now: bool = False
    is_subject: bool = False
    plural: bool = False
    sizes: list[Size] = field(default_factory=list)
    priors: list[Size] = field(default_factory=list)
    order: tuple[str, ...] = ()

    @property
    def stands(self) -> str:
        """The side it is known to be on: its own or its place's."""
        own = self.side or (self.place.side if self.place else "")
        return "" if own == "plural" else own

    def put_side(self, side: str) -> None:
        """Say where it is; a place of the other side becomes its counterpart."""
        self.side = side
        if self.place is not None and self.place.side:
            self.place = replace(self.place, side=side)

    def copy(self, at: tuple[int, int], side: str = "") -> Entry:
        """Another one of the same kind: no sizes, no count of its own yet."""
        place = replace(self.place, side=side) if self.place is not None and side else self.place
        return Entry(
            self.lesion, place, side or self.side, at[0], at[1], self.sentence, self.group, self.how, weak=True,
            usual=self.usual, usual_by_name=self.usual_by_name, names_place=self.names_place,
            is_subject=self.is_subject, affirmed=self.affirmed,
        )  # fmt: skip


def twin_of(entry: Entry, side: str, entries: list[Entry]) -> Entry | None:
    """The other half of a pair that was split before, as long as it has no size."""
    for other in entries:
        places = [e.place.organ if e.place is not None else "" for e in (other, entry)]
        same = other.lesion == entry.lesion and places[0] == places[1] and other.group == entry.group
        if other is not entry and same and other.stands == side and not other.sizes:
            return other
    return None


def without_denied_halves(entries: list[Entry], now: list[Entry]) -> list[Entry]:
    """The entries but for halves of "both" that `now` denies: "both knees: effusion on the left, none on the right"."""
    denied = [(e.lesion, e.stands, e.place and e.place.organ) for e in now if e.denied]
    return [
        e
        for e in entries
        if e.denied or e.sizes or not e.weak or (e.lesion, e.stands, e.place and e.place.organ) not in denied
    ]


@dataclass
class Memory:
    """What a sentence takes over from the ones before it in the paragraph.

    Attributes:
        sided: structures named with a side and in which sentence, of the whole report.
        regions: joints and parts of limbs named, of the whole report; the first is what was examined.
        seen: what the last sentence saw and did not name ("mass").
        label_lesion: the lesion before a colon, while the sentences behind it only end in semicolons.
        titled: the joint that the report is about by its title.
        goes_on: the sentence before only ended in a semicolon.
        earlier: the topic of the paragraph before; only a bare "left lobe" is understood of it.
    """

    current: list[Entry] = field(default_factory=list)
    label: list[Place] = field(default_factory=list)
    topic: Place | None = None
    side: str = ""
    sided: list[tuple[int, Place]] = field(default_factory=list)
    regions: list[Place] = field(default_factory=list)
    seen: list[Entry] = field(default_factory=list)
    label_lesion: Entry | None = None
    titled: list[Place] = field(default_factory=list)
    goes_on: bool = False
    earlier: Place | None = None

    def end_sentence(self, entries: list[Entry], label_lesion: Entry | None) -> None:
        """What was told of both sides leaves no side for the next sentence.

        Args:
            label_lesion: the lesion before a colon, if the sentence goes on behind a semicolon.
        """
        topic, self.label_lesion = self.topic, label_lesion
        if topic is None or topic.side not in OTHER:
            return
        other = (e for e in entries if e.place is not None and e.place.organ == topic.organ)
        if any(e.stands == OTHER[topic.side] for e in other):
            self.topic = replace(topic, side="")
