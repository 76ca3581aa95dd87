"""What `derive` answers: each number with its unit, formula, inputs and interval."""

from __future__ import annotations

from ..desk.results import ImageAnswer, Provenance, Result


class InputRow(Result):
    """A number that went into a formula; null ends where its interval is not known."""

    name: str
    mask_id: str | None = None
    value: float
    unit: str
    low_90: float | None = None
    high_90: float | None = None


class DerivedRow(Result):
    """A derived number. Nine of ten true values are meant to lie in low_90 to high_90; `uncertainty` says why, or why none."""

    quantity: str
    value: float
    unit: str
    low_90: float | None = None
    high_90: float | None = None
    formula: str
    inputs: list[InputRow]
    uncertainty: str


class DerivedResult(ImageAnswer):
    """Derived numbers, the one asked for first."""

    values: list[DerivedRow]
    warnings: list[str]
    provenance: Provenance
