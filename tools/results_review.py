"""Answers of `assess_mask` and `compare_studies`."""

from __future__ import annotations

from .results import Provenance, Result


class CheckRow(Result):
    """One question put to the mask; `passed` null when it could not be asked."""

    method: str
    check: str
    passed: bool | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    source: str = ""


class AssessResult(Result):
    """`plausible` false: something speaks against the mask; null: nothing could be asked."""

    mask_id: str
    structure: str | None
    plausible: bool | None
    checks: list[CheckRow]
    provenance: Provenance


class LesionRow(Result):
    """One lesion in both studies; `part` counts within its mask, largest first."""

    state: str
    before_mask_id: str | None = None
    before_part: int | None = None
    after_mask_id: str | None = None
    after_part: int | None = None
    before_mm: float | None = None
    after_mm: float | None = None
    change_percent: float | None = None
    before_ml: float | None = None
    after_ml: float | None = None
    distance_mm: float | None = None
    truncated: bool = False


class StudiesResult(Result):
    """Lesions matched, sums of target diameters, RECIST 1.1 category."""

    lesions: list[LesionRow]
    category: str
    reason: str
    targets: int
    sum_before_mm: float
    sum_after_mm: float
    change_percent: float | None
    alignment: str
    similarity_before: float
    similarity_after: float
    moved_mm: float
    warnings: list[str]
    provenance: Provenance
