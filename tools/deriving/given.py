"""What a derived number is made of: masks with their volumes and doubts, and whether they belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from ...imaging.derived.estimates import Estimate, volume_by_border
from ...imaging.dicom.source import differing_patient
from ...imaging.errors import BadCall
from ...imaging.masks import measures
from ...imaging.region import Region
from ...imaging.volume import Volume
from ...store.records import ImageRecord, MaskRecord
from ..desk.desk import Desk
from ..desk.doubts import grey_unit
from .results import DerivedRow, InputRow

CALIBRATED = "the model's calibrated 90 % interval"
BORDER = "half a voxel of border, which leaves out the error of whoever drew it"
PROPAGATED = "Propagated"  # how an uncertainty begins that follows from those of the inputs
_MOST_WARNINGS = 3  # of one mask


@dataclass(frozen=True)
class Given:
    """A mask that a number is made of."""

    desk: Desk
    record: MaskRecord
    image: ImageRecord

    @property
    def name(self) -> str:
        """What it is called in an answer."""
        return self.record.structure or self.record.mask_id

    @cached_property
    def region(self) -> Region:
        """Its voxels."""
        return self.desk.store.region(self.record.mask_id)

    @cached_property
    def scan(self) -> Volume:
        """The image it lies on."""
        return self.desk.store.volume(self.record.image_id)

    @property
    def unit(self) -> str:
        """Of the image's grey values; "" when nobody knows it."""
        return grey_unit(self.image, self.scan)

    @cached_property
    def volume(self) -> Estimate:
        """In ml, with the calibrated interval where the mask's model has one, else with its border's."""
        by_border = volume_by_border(self.region)
        known = self.record.facts.get("volume_90_ml")
        return by_border if not known else Estimate(by_border.value, float(known[0]), float(known[1]))

    @property
    def interval_is(self) -> str:
        """Where the volume's interval comes from."""
        return CALIBRATED if self.record.facts.get("volume_90_ml") else BORDER

    def as_input(self, name: str, estimate: Estimate, unit: str) -> InputRow:
        """One of its numbers, named."""
        value, low, high = _rounded(estimate)
        return InputRow(name=name, mask_id=self.record.mask_id, value=value, unit=unit, low_90=low, high_90=high)

    @property
    def doubts(self) -> list[str]:
        """What was doubtful when it was made, and where the scan cuts it."""
        facts = self.record.facts
        found = [str(warning) for warning in facts.get("warnings") or ()][:_MOST_WARNINGS]
        if facts.get("verdict") == "unsure":
            found.insert(0, "it is unsure; do not rely on it.")
        faces = measures.truncated_faces(self.region, self.scan)
        if faces:
            found.append(f"the scan cuts it ({', '.join(faces)}): its numbers are of the part inside.")
        return [f"{self.name} ({self.record.mask_id}): {text}" for text in found]


@dataclass(frozen=True)
class Asked:
    """The arguments of a call, checked for what every quantity needs."""

    desk: Desk
    mask_ids: tuple[str, ...]
    image_id: str | None = None
    slice_index: int | None = None
    reference_mm: float | None = None
    days: float | None = None
    dates: tuple[str, ...] = ()
    allow_synthetic: bool = False

    def masks(self, least: int, most: int, needs: str) -> list[Given]:
        """The masks, when there are as many as a quantity takes.

        Raises:
            BadCall: there are not, one is given twice or unknown, or lies on a synthetic image.
        """
        if not least <= len(self.mask_ids) <= most:
            raise BadCall(f"{len(self.mask_ids)} masks were given. This takes {needs}.")
        if len(set(self.mask_ids)) < len(self.mask_ids):
            raise BadCall(f"A mask is given twice. This takes {needs}.")
        for one in self._given:
            self.check_real(one.image)
        return list(self._given)

    @cached_property
    def _given(self) -> tuple[Given, ...]:
        """Looked up once, as each holds what was read of its voxels."""
        records = [self.desk.store.mask_record(mask_id) for mask_id in self.mask_ids]
        return tuple(Given(self.desk, one, self.desk.store.image(one.image_id)) for one in records)

    def check_real(self, image: ImageRecord) -> None:
        """Refuse a synthetic image.

        Raises:
            BadCall: it is one, and that was not allowed.
        """
        if image.synthetic and not self.allow_synthetic:
            raise BadCall(
                f"{image.image_id} is synthetic. Its numbers are nobody's. Set allow_synthetic=true if you mean it."
            )


@dataclass(frozen=True)
class Found:
    """Derived numbers and what to say of them."""

    rows: list[DerivedRow]
    warnings: list[str] = field(default_factory=list)


def row(
    quantity: str, found: Estimate, unit: str, *, formula: str, inputs: Sequence[InputRow], uncertainty: str
) -> DerivedRow:
    """An answer's row, its numbers rounded; without an interval where its inputs' reach what the formula cannot take."""
    value, low, high = _rounded(found)
    if uncertainty.startswith(PROPAGATED) and low is None and high is None:
        uncertainty = "None given: within its error an input may be 0, for which the formula has no value."
    return DerivedRow(
        quantity=quantity,
        value=value,
        unit=unit,
        low_90=low,
        high_90=high,
        formula=formula,
        inputs=list(inputs),
        uncertainty=uncertainty,
    )


def by_intervals(masks: Sequence[Given]) -> str:
    """Where the interval of a number made of volumes comes from."""
    kinds = {one.interval_is: [other.name for other in masks if other.interval_is == one.interval_is] for one in masks}
    told = "; ".join(f"of {', '.join(dict.fromkeys(names))}: {kind}" for kind, names in kinds.items())
    joint = ", errors taken as independent" if len(masks) > 1 else ""
    return f"{PROPAGATED} from volumes{joint} ({told})."


def one_patient(masks: Sequence[Given]) -> list[str]:
    """What to say about whose scans these are; values of the headers are not among it.

    Raises:
        BadCall: their headers name different patients.
    """
    images = list(dict.fromkeys(one.record.image_id for one in masks))
    sources = [masks[0].desk.store.sources.get(image_id) for image_id in images]
    found = []
    for one, other in combinations(sources, 2):
        differing = differing_patient(one, other)
        if differing:
            raise BadCall(
                f"The scans name different patients: they differ in {', '.join(differing)}. Give masks of one patient."
            )
        if differing is None:
            found.append(
                "Whether the scans show one patient was not checked: not all carry a patient's ID or birth date."
            )
    return list(dict.fromkeys(found))


def _rounded(estimate: Estimate) -> tuple[float, float | None, float | None]:
    low, high = (None if end is None else round(end, 4) for end in (estimate.low, estimate.high))
    return round(estimate.value, 4), low, high
