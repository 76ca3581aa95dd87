"""Looking for structures on one image, every one once, and measuring them as candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...imaging.masks import relations
from ...imaging.masks.areas import Area
from ...imaging.masks.relations import only_slice
from ...imaging.volume import Mask, Volume
from ...models import catalogue
from ...retrieval.descriptions.description import Reference
from ..desk.desk import Desk, allowed_use
from ..desk.job import Job
from ..desk.results import MaskRow, Provenance, Verdict
from ..segmenting.able import extent_mm
from ..segmenting.planning import plan
from ..segmenting.segmentation import look
from ..segmenting.verdicts import SIDE_FIELD_MM
from .things import Thing

MOST_PARTS = 12  # of one mask that are candidates of their own, the largest
_SIDE_FIELD_VOXELS = 64  # narrower pictures of unknown voxel size show no sides


@dataclass(frozen=True)
class Found:
    """A candidate before it is judged.

    Attributes:
        verdict: of the thing itself, before the sentence is compared with it.
        row: the answer of `segment` it comes from; None when it was cut or computed.
        how: how it was found, for people.
        maker: name of the model that segmented it, or "".
    """

    thing: Thing
    verdict: Verdict
    how: str
    row: MaskRow | None = None
    maker: str = ""


@dataclass(frozen=True)
class Nothing:
    """Why there is no candidate."""

    verdict: Verdict
    reason: str


@dataclass
class Finder:
    """Looks for things on one image, every structure once.

    Attributes:
        slice_index: axial slice from the feet when only that slice is looked at.
        made_by: the network that read the sentence, once one was asked.
    """

    job: Job
    image_id: str
    slice_index: int | None = None
    made_by: Provenance | None = None
    _rows: dict[str, tuple[MaskRow, ...]] = field(default_factory=dict)
    _masks: dict[str, Mask] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        """Where it works."""
        return self.job.desk

    @property
    def image(self) -> Volume:
        """The scan."""
        return self.desk.store.volume(self.image_id)

    def ask(self, names: Iterable[str]) -> None:
        """Segment these structures in one go, those nobody asked for before."""
        wanted = []
        for name in dict.fromkeys(name for name in names if name and name not in self._rows):
            known = self.desk.seen.rows(self.image_id, name)
            if known is not None:
                self._rows[name] = known
            else:
                wanted.append(name)
        planned = {name: plan(self.desk, self.image_id, [name], "auto") for name in wanted}
        wishes = {wish.structure: wish for one in planned.values() for wish in one}
        if wishes:
            found = look(self.job, self.image_id, list(wishes.values()))
            rows = {row.structure: row for row in found.masks}
            for name in wanted:
                self._rows[name] = tuple(rows[wish.structure] for wish in planned[name])
                self.desk.seen.keep_rows(self.image_id, name, self._rows[name])

    def rows(self, name: str) -> tuple[MaskRow, ...]:
        """What was found for a structure: itself, or its parts when only those are known."""
        self.ask([name])
        return self._rows[name]

    def mask_of(self, row: MaskRow) -> Mask | None:
        """The mask of a row, cut to the slice; None when there is none."""
        if row.mask_id is None:
            return None
        if row.mask_id not in self._masks:
            mask = self.desk.store.mask(row.mask_id)
            self._masks[row.mask_id] = mask if self.slice_index is None else only_slice(mask, self.slice_index)
        mask = self._masks[row.mask_id]
        return mask if mask.array.any() else None

    def union(self, name: str) -> Mask | None:
        """Everything found for a structure in one mask."""
        masks = [mask for row in self.rows(name) if (mask := self.mask_of(row)) is not None]
        if not masks:
            return None
        return Mask(np.logical_or.reduce([mask.array for mask in masks]), masks[0].grid)

    def lobe(self, side: str) -> relations.Lobe | None:
        """The liver's lobe of a side; None when the liver was not found."""
        self.ask(["liver", "gallbladder", "inferior vena cava"])
        liver = self.union("liver")
        if liver is None:
            return None
        marks = {"gallbladder": self.union("gallbladder"), "cava": self.union("inferior vena cava")}
        return relations.liver_lobe(liver, side, **marks)

    def reference(self, reference: Reference) -> Mask | None:
        """The mask of what a claim refers to; None when it was not found."""
        if not reference.structure:
            return None
        if reference.lobe:
            lobe = self.lobe(reference.lobe)
            return lobe.mask if lobe is not None else None
        return self.union(reference.structure)

    def missing(self, name: str) -> Nothing:
        """Why a structure gave no mask."""
        rows = self.rows(name)
        found = [row for row in rows if row.mask_id is not None]
        if found and self.slice_index is not None:
            return Nothing("absent", f"The {name} is on this scan, but not in slice {self.slice_index}.")
        order: tuple[Verdict, ...] = ("absent", "outside_view", "unsupported")
        row = min(rows, key=lambda one: order.index(one.verdict) if one.verdict in order else 0)
        return Nothing(row.verdict, row.reason)

    def thing(
        self,
        name: str,
        mask: Mask,
        certainty: float,
        region: Area | None = None,
        *,
        mask_id: str | None = None,
        dice: float | None = None,
    ) -> Thing | None:
        """Measure a mask as a candidate; None when it is empty.

        Args:
            mask_id: of a whole mask of the store; it is measured once.
            dice: how well the mask is expected to fit the truth.
        """
        known = self.desk.seen.place(mask_id) if mask_id is not None else None
        where = relations.place(mask) if known is None else known[0]
        if where is None:
            return None
        grey = float(np.median(self.image.array[mask.array])) if known is None else known[1]
        if mask_id is not None:
            self.desk.seen.keep_place(mask_id, where, grey)
        wide = where.field[0] >= (SIDE_FIELD_MM if where.unit == "mm" else _SIDE_FIELD_VOXELS)
        row = self.desk.table.get(name)
        side = row.side if row is not None and row.side in ("left", "right") and not wide else ""
        return Thing(
            name=name,
            mask=mask,
            place=where,
            certainty=certainty,
            grey=grey,
            side=relations.side_of(where) if wide else side,
            contrast=region.contrast if region is not None else None,
            ancestors=self.desk.table.above(name),
            dice=dice,
            is_tube=self.desk.table.is_tube(name),
        )

    def structures(self, names: Sequence[str]) -> list[Found]:
        """Candidates that are whole structures."""
        self.ask(names)
        made = []
        for row in (row for name in names for row in self.rows(name)):
            mask = self.mask_of(row)
            whole = row if self.slice_index is None else None
            mask_id = whole.mask_id if whole is not None else None
            sure, dice = row.sureness, _expected_dice(row)
            thing = self.thing(row.structure, mask, sure, mask_id=mask_id, dice=dice) if mask is not None else None
            if thing is not None:
                made.append(
                    Found(thing, row.verdict, f"segmented by {row.provenance.model}", whole, row.provenance.model or "")
                )
        return made

    def pool(self) -> list[str]:
        """Every structure a model here may look for on this image; pairs by their halves."""
        image = self.desk.store.image(self.image_id)
        dims = 2 if image.grid.is_2d else 3
        names = {name for card in catalogue.segmenters() if card.is_ready for name in card.claimed}
        able = {
            name
            for name in names
            if catalogue.models_for(
                name, image.modality, dims, extent_mm=extent_mm(image), purpose=allowed_use(self.desk)
            )
        }
        return sorted(name for name in able if not set(self.desk.table.expand(name)) - {name} & able)


def _expected_dice(row: MaskRow) -> float | None:
    """The mask's calibrated Dice where its network is calibrated, else the network's on held-out scans; None without either."""
    if row.confidence is not None:
        return row.confidence
    card = catalogue.card(row.provenance.model) if row.provenance.model else None
    measured = card.measured.get(row.structure) if card is not None else None
    return measured.dice if measured is not None else None
