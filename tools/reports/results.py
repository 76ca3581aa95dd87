"""What `check_report` answers. Field names are relied on by outside programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..desk.results import Across, ImageAnswer, Lengths, Provenance, Result

Judgement = Literal["supported", "contradicted", "cannot_tell"]


class Evidence(Result):
    """What a judgement rests on: a tool's verdict and numbers about one mask; its lengths, and of several parts each one's."""

    tool: str
    structure: str
    verdict: str
    mask_id: str | None = None
    confidence: float | None = None
    side: str | None = None
    volume_ml: float | None = None
    longest_axial_mm: float | None = None
    longest_3d_mm: float | None = None
    perpendicular_mm: float | None = None
    craniocaudal_mm: float | None = None
    transverse_mm: float | None = None
    anteroposterior_mm: float | None = None
    parts: list[Lengths] = Field(default_factory=list)
    across: Across | None = None
    is_tube: bool = False
    no_length: list[str] = Field(default_factory=list)
    is_cut: bool = False
    slice_index: int | None = None
    model: str | None = None


class ReportFinding(Result):
    """One claim of the report; start and end are characters of the report."""

    sentence: str
    sentence_number: int
    section: str
    start: int
    end: int
    structure: str
    lesion: str
    side: str
    presence: str
    status: str
    size_mm: float | None
    volume_ml: float | None = None
    count: int | None
    location: list[str]
    change: str
    judgement: Judgement
    reasons: list[str]
    evidence: list[Evidence]


class Unmentioned(Result):
    """A structure the report does not speak about."""

    structure: str
    mask_id: str | None
    verdict: str
    implausible: bool
    reasons: list[str]


class NotChecked(Result):
    """A sentence nothing was checked about."""

    sentence: str
    reason: str


class ReportResult(ImageAnswer):
    """Every finding judged, or the job to wait for."""

    image_id: str
    findings: list[ReportFinding] = Field(default_factory=list)
    contradictions: list[str] = Field(default_factory=list)
    unmentioned: list[Unmentioned] = Field(default_factory=list)
    not_checked: list[NotChecked] = Field(default_factory=list)
    summary: str = ""
    language: str = ""
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0
    provenance: Provenance
