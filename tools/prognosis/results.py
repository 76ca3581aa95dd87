"""What `predict_prognosis` answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..desk.results import ImageAnswer, Provenance, Result

Reason = Literal["age", "disease", "modality", "missing_fields", "synthetic_image", "no_evidence", "horizon"]


class SurvivalPoint(Result):
    """Share alive on a day, with the interval."""

    day: float
    probability: float
    low: float
    high: float


class Contribution(Result):
    """How much a field moves the risk score against the cohort; above 0 is worse."""

    field: str
    effect: float


class CohortCard(Result):
    """Whom the model learned from, and how well it ranked held-out patients of the same cohort."""

    name: str
    disease: str
    patients: int
    deaths: int
    age_range: list[float]
    day_0: str
    horizon_days: float
    c_index: float
    c_index_low: float
    c_index_high: float
    stage_alone_c_index: float | None
    licence: str
    purpose: str


class PrognosisResult(ImageAnswer):
    """A survival curve, or the reason there is none (`refused`; then numbers are null)."""

    refused: str | None = None
    reason: Reason | None = None
    mode: str = ""
    risk: float | None = None
    risk_group: Literal["low", "intermediate", "high"] | None = None
    risk_percentile: float | None = None
    survival: list[SurvivalPoint] = Field(default_factory=list)
    at_horizon: SurvivalPoint | None = None
    median_survival_days: float | None = None
    median_is: Literal["reached", "not reached", "not given"] = "not given"
    interval: str = ""
    contributions: list[Contribution] = Field(default_factory=list)
    contributions_by: str = ""
    missing: list[str] = Field(default_factory=list)
    missing_handling: str = ""
    ignored: list[str] = Field(default_factory=list)
    measured: dict[str, float] = Field(default_factory=dict)
    cohort: CohortCard | None = None
    warnings: list[str] = Field(default_factory=list)
    provenance: Provenance
