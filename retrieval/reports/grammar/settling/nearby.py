"""What stands near a lesion whose place is not said: the structure before it, the joint, what was seen or removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....anatomy.structures import StructureTable
from ...words.kinds import seen_things
from ...words.limbs import is_region, limb_of
from ..entries import OTHER, Entry, Memory, Place
from ..hosts import pairs, values


class Nearby:
    """Finds the places that the entry may take over.

    Args:
        earlier: the entries of the paragraph before it.
        hedged: the lesion is only what something seen may be, and so lies where that was seen.
    """

    def __init__(
        self, entry: Entry, earlier: Sequence[Entry], memory: Memory, table: StructureTable, *, hedged: bool
    ) -> None:
        self.entry, self.earlier, self.memory, self.table, self.hedged = entry, earlier, memory, table, hedged
        self.here = [e for e in earlier if e.sentence == entry.sentence and e.place is not None]

    def _before(self) -> Place | None:
        """The structure of the lesion named before in the sentence, of the heading, of the sentences before."""
        entry, memory = self.entry, self.memory
        here = [e for e in self.here if e.first < entry.first and not (e.lesion and e.by_usual)]
        if here:
            return max(here, key=lambda e: e.first).place
        usual = [e for e in self.here if e.by_usual]
        if usual and usual[-1].group == entry.group and not memory.label and not self._vague():
            return usual[-1].place  # "no pneumatosis or perforation"
        if usual and usual[-1].place is not None and usual[-1].lesion.split()[-1] in usual[-1].place.organ:
            return usual[-1].place  # "horseshoe kidney with a stone"
        if self.hedged and usual and usual[-1].lesion in seen_things():
            return usual[-1].place  # "Hepatic lesions, suspicious for metastases"
        if memory.label and not (entry.leans_on_it and memory.topic is not None):
            return memory.label[-1]
        alike = [e for e in self.earlier if e.lesion == entry.lesion and e.place is not None]
        if alike and self._vague() and entry.side in OTHER and alike[-1].stands == OTHER[entry.side]:
            return alike[-1].place  # "… inguinal hernia on the right. No hernia on the left."
        if alike and entry.words_before and not entry.side and alike[-1].sentence >= entry.sentence - 1:
            return alike[-1].place  # "Additional metastases are stable."
        if memory.topic is None and alike and not self._vague():
            return alike[-1].place
        return memory.topic or (usual[-1].place if usual and not self._vague() else None)

    def _is_near(self, before: Place | None) -> bool:
        """Whether the structure before was named in the same sentence, or in the one that this goes on about."""
        entry = self.entry
        row = self.table.get(before.organ) if before is not None else None
        vessel = row is not None and row.parent in ("artery", "vein")
        leans = (
            entry.leans and not (entry.usual_by_name and vessel) and not (entry.names_place and not entry.leans_on_it)
        )
        return any(e.place is before for e in self.here) or leans or entry.lesion == "collapse"

    def _removed(self) -> Place | None:
        """The half of a pair that was removed, or that the paragraph is about."""
        gone = next((e.place for e in reversed(self.earlier) if e.how == "surgery" and e.place), None)
        topic = self.memory.topic if self.memory.topic is not None and self.memory.topic.side in OTHER else None
        place = gone or topic
        return place if place is not None and pairs(self.table, place.organ) else None

    def _seen_before(self) -> Place | None:
        """Where a thing without a name was seen in the sentence before, if the usual place is in that part of the body."""
        entry = self.entry
        before = [e for e in self.earlier if e.sentence == entry.sentence - 1 and e.lesion and not e.denied]
        if self.here or not before or before[-1].lesion not in seen_things() or before[-1].place is None:
            return None
        here, usual = self.table.get(before[-1].place.organ), self.table.get(entry.usual)
        alike = here is not None and (usual is None or set(here.regions) & set(usual.regions))
        side = before[-1].stands
        return replace(before[-1].place, side=side) if alike else None

    def _vague(self) -> bool:
        return self.entry.lesion in values("nowhere")

    def _of_bone(self, before: Place) -> bool:
        """Whether marrow oedema or a collapse is that of the bone spoken of."""
        row = self.table.get(before.organ)
        if row is None or not (self.entry.usual == "bone marrow" or self.entry.lesion in ("collapse", "height loss")):
            return False
        return "bone" in (row.parent, row.is_a) or "vertebra" in row.name or bool(limb_of(row.name, self.table))

    def _joint(self) -> Place | None:
        """The limb or joint that the paragraph is about, or None when it is about the trunk."""
        memory = self.memory
        topic = memory.label[-1] if memory.label else memory.topic
        if topic is None or not limb_of(topic.organ, self.table):
            return None
        named = {place.organ for place in memory.regions}
        for place in (topic, *(place for _sentence, place in reversed(memory.sided)), *memory.regions):
            row = self.table.get(place.organ)
            inner = row is not None and row.part_of in named  # the patellofemoral joint, in an MRI of the knee
            if is_region(place.organ, self.table) and limb_of(place.organ, self.table) and not inner:
                return place
        return Place("")
