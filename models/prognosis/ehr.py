"""A patient's record as prognosis models take it: typed, with units in the names, everything optional. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...imaging.errors import BadCall

Disease = Literal["kidney tumour", "lung cancer", "head and neck cancer"]
DISEASES: tuple[str, ...] = get_args(Disease)


def _number(value: Any) -> Any:
    """Numbers must come as numbers: '63' is refused, so that a shifted column is not read as an age."""
    if isinstance(value, (str, bool)):
        raise ValueError("must be a number, not text or true/false")
    return value


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _notation(value: Any, letter: str = "T") -> Any:
    """A stage of one letter of TNM as it is usually written: 'cT2a', 'pT3', 'Tx' (not known); and numbers as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return value
    found = re.fullmatch(rf"\s*(?:y?r?[cpau]?{letter})?\s*([0-4][a-d]?|[xX]|is)\s*", value, re.I)
    if found is None:
        return value
    stage = found[1].lower()
    if stage[1:] in ("c", "d") or stage[:1] in ("3", "4"):  # finer than any cohort here parts it
        return stage[:1]
    return None if stage == "x" else stage


def _coarser(value: Any, letter: str) -> Any:
    """N and M without the letters that part them: 2b is 2."""
    stage = _notation(value, letter)
    return stage.rstrip("abcd") if isinstance(stage, str) and re.fullmatch(r"\d[a-d]", stage) else stage


def _overall(value: Any) -> Any:
    """'stage IIIA' and '3a' as 'IIIa'."""
    if not isinstance(value, str):
        return {1: "I", 2: "II", 3: "III", 4: "IV"}.get(value, value) if isinstance(value, int) else value
    found = re.fullmatch(r"\s*(?:stage\s*)?(IV|I{1,3}|[1-4])\s*([a-c]?)\d?\s*", value, re.I)
    if found is None:
        return value
    number = {"1": "I", "2": "II", "3": "III", "4": "IV"}.get(found[1], found[1].upper())
    letter = found[2].lower()
    return number + (letter if number == "III" and letter in ("a", "b") else "")


def _sex(value: Any) -> Any:
    """'m', 'F', 'Male', 'woman'."""
    words = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "woman": "female"}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_truth)] | None
_T = Literal["0", "1", "1a", "1b", "2", "2a", "2b", "3", "4"]
TStage = Annotated[_T | None, BeforeValidator(_notation)]
NStage = Annotated[Literal["0", "1", "2", "3"] | None, BeforeValidator(partial(_coarser, letter="N"))]
MStage = Annotated[Literal["0", "1"] | None, BeforeValidator(partial(_coarser, letter="M"))]
OverallStage = Annotated[Literal["I", "II", "III", "IIIa", "IIIb", "IV"] | None, BeforeValidator(_overall)]
Sex = Annotated[Literal["female", "male"] | None, BeforeValidator(_sex)]

# Ranges are what a living adult or child can have, not what is healthy; they catch wrong units and columns.
_AGE = Annotated[float, BeforeValidator(_number), Field(ge=0, le=120)] | None
_WEIGHT = Annotated[float, BeforeValidator(_number), Field(ge=2, le=400)] | None
_HEIGHT = Annotated[float, BeforeValidator(_number), Field(ge=40, le=250)] | None
_BMI = Annotated[float, BeforeValidator(_number), Field(ge=8, le=90)] | None
_PACK_YEARS = Annotated[float, BeforeValidator(_number), Field(ge=0, le=250)] | None
_EGFR = Annotated[float, BeforeValidator(_number), Field(ge=1, le=200)] | None
_SIZE = Annotated[float, BeforeValidator(_number), Field(ge=0, le=40)] | None
_SCORE = Annotated[float, BeforeValidator(_number), Field(ge=0, le=4)] | None
_GRADE = Annotated[float, BeforeValidator(_number), Field(ge=1, le=4)] | None


class EhrRecord(BaseModel):
    """What is known of a patient; None is not known. Unknown keys and impossible values are refused.

    Stages are of the TNM system: clinical where the cohort's are, else of the pathologist.
    `t_stage` "1" is used where a cohort does not part 1a and 1b.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    disease: Disease | None = None
    age_years: _AGE = None
    sex: Sex = None
    weight_kg: _WEIGHT = None
    height_cm: _HEIGHT = None
    bmi_kg_m2: _BMI = None
    smoking: Literal["never", "former", "current", "ever"] | None = None
    pack_years: _PACK_YEARS = None
    alcohol: Literal["none", "moderate", "heavy", "any"] | None = None
    performance_status: _SCORE = None
    hpv_positive: Flag = None
    diabetes: Flag = None
    chronic_kidney_disease: Flag = None
    heart_disease: Flag = None
    vascular_disease: Flag = None
    chronic_lung_disease: Flag = None
    liver_disease: Flag = None
    other_cancer: Flag = None
    metastatic_cancer: Flag = None
    egfr_ml_min: _EGFR = None
    tumour_size_cm: _SIZE = None
    histology: (
        Literal[
            "clear cell",
            "papillary",
            "chromophobe",
            "benign",
            "other kidney cancer",
            "adenocarcinoma",
            "squamous cell",
            "large cell",
            "not otherwise specified",
        ]
        | None
    ) = None
    grade: _GRADE = None
    necrosis: Flag = None
    t_stage: TStage = None
    n_stage: NStage = None
    m_stage: MStage = None
    overall_stage: OverallStage = None
    surgery: Literal["none", "partial", "radical", "other"] | None = None
    chemotherapy: Flag = None

    @property
    def known(self) -> dict[str, Any]:
        """Fields that are given."""
        return {name: value for name, value in self if value is not None}


FIELDS: tuple[str, ...] = tuple(EhrRecord.model_fields)


@dataclass(frozen=True)
class Outcome:
    """What became of a patient: days since the cohort's starting point, and whether it was death.

    Raises:
        BadCall: negative or missing time.
    """

    days: float
    died: bool

    @classmethod
    def of(cls, days: object, died: bool | None) -> Outcome:
        """The outcome of raw values.

        Raises:
            BadCall: an event without a time, a time without an event, or a negative time.
        """
        if days is None or isinstance(days, (str, bool)) or days != days:
            raise BadCall(
                f"The event ({died}) has no time. A survival outcome needs days of follow-up. Give both or neither."
            )
        if died is None:
            raise BadCall(f"The time ({days} days) has no event status. Say whether it ended in death. Give both.")
        if not 0 <= float(days) < 40_000:  # type: ignore[arg-type]  # a number, by the check above
            raise BadCall(f"A follow-up of {days} days is impossible. Give days from 0 to 40000.")
        return cls(float(days), died)  # type: ignore[arg-type]  # as above


def record_of(values: Mapping[str, Any]) -> EhrRecord:
    """The record of plain values under our field names.

    Raises:
        BadCall: empty, an unknown key, or an impossible value; each named, at most five.
    """
    if not values:
        raise BadCall(f"The record is empty. Give at least one field, e.g. age_years. Fields: {', '.join(FIELDS)}.")
    try:
        made = EhrRecord.model_validate(dict(values))
    except ValidationError as error:
        raise BadCall(" ".join(_faults(error))) from None
    if set(made.known) <= {"disease"}:
        raise BadCall(
            "The record knows nothing of the patient: every field is null. Give at least one, e.g. age_years."
        )
    return made


def _faults(error: ValidationError) -> list[str]:
    lines, unknown = [], False
    for fault in error.errors(include_url=False, include_context=False)[:5]:
        name = str(fault["loc"][0])[:60]
        if fault["type"] == "extra_forbidden":
            lines.append(f"Unknown field '{name}'.")
            unknown = True
        else:
            said = fault["msg"].removeprefix("Value error, ")[:220]
            lines.append(f"'{name}' is {str(fault['input'])[:30]!r}: {said}.")
    if unknown:
        lines.append(f"Fields: {', '.join(FIELDS)}.")
    return lines


@dataclass(frozen=True)
class Feature:
    """One field as a model sees it.

    Attributes:
        field: of the record, or an image measure such as `tumour_volume_ml`.
        kind: "number" (z-scored, missing 0), "flag" (0 or 1) or "level" (one column per level).
        levels: of a "level" feature, each with the number of its column; several may share one.
        ordinal: values of levels that have an order; then the feature is one z-scored number.
        mean, sd: of the training patients.
        log: take log(1 + value) first.
    """

    field: str
    kind: Literal["number", "flag", "level"]
    levels: tuple[str, ...] = ()
    ordinal: tuple[float, ...] = ()
    mean: float = 0.0
    sd: float = 1.0
    log: bool = False

    @property
    def columns(self) -> int:
        """Values it puts into the vector, the missing indicator left out."""
        return len(self.levels) if self.kind == "level" and not self.ordinal else 1

    def raw(self, value: Any) -> float:
        """A single number for a value that is known; for `level` features only when ordered."""
        if self.kind == "level":
            return self.ordinal[self.levels.index(value)]
        number = float(value)
        if self.log:
            return math.log1p(number)
        return number

    def encode(self, value: Any) -> list[float]:
        """Columns of a value; a missing one, or a level never seen in training, is all zeros."""
        if self.is_missing(value):
            return [0.0] * self.columns
        if self.kind == "level" and not self.ordinal:
            return [1.0 if level == value else 0.0 for level in self.levels]
        return [(self.raw(value) - self.mean) / self.sd]

    def is_missing(self, value: Any) -> bool:
        """None, or a level the model was never taught."""
        return value is None or (self.kind == "level" and value not in self.levels)


def encode(features: Sequence[Feature], values: Mapping[str, Any]) -> list[float]:
    """The vector of a patient: all columns, then one missing indicator per feature."""
    columns = [number for feature in features for number in feature.encode(values.get(feature.field))]
    return columns + [float(feature.is_missing(values.get(feature.field))) for feature in features]


def column_names(features: Sequence[Feature]) -> list[str]:
    """The field behind every entry of `encode`."""
    names = [feature.field for feature in features for _ in range(feature.columns)]
    return names + [feature.field for feature in features]
