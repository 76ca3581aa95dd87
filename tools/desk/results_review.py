"""Answers of `assess_mask` and `compare_studies`."""

from __future__ import annotations

from .results import ImageAnswer, Provenance, Result


class CheckRow(Result):
    """`passed` null: could not be asked; with a value: asked, but no ground to judge by (a model never measured)."""

    method: str
    check: str
    passed: bool | None
    value: float | None
    allowed: str
    reason: str


class AssessResult(ImageAnswer):
    """`plausible` null: nothing could be asked; `entropy_image_id`: where views of the scan disagree, in nats."""

    mask_id: str
    structure: str
    plausible: bool | None
    checks: list[CheckRow]
    entropy_image_id: str | None = None
    provenance: Provenance


class LesionRow(Result):
    """Before and after are "mask_id#part", parts largest first; `size_is` tells of lesions at the scan's edge.

    State "not in view": the other scan does not show its place, so it is neither new nor gone.
    """

    state: str
    before: str | None
    after: str | None
    before_mm: float | None
    after_mm: float | None
    before_ml: float | None
    after_ml: float | None
    change_percent: float | None
    size_is: str


class StudiesResult(ImageAnswer):
    """RECIST 1.1; `alignment` says how, how well (correlation) and how far the body moved."""

    lesions: list[LesionRow]
    category: str
    reason: str
    sum_before_mm: float
    sum_after_mm: float | None
    change_percent: float | None
    alignment: str
    similarity: float | None
    moved_mm: float | None
    warnings: list[str]
    provenance: Provenance
