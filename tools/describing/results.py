"""What `segment_described` answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..desk.results import ImageAnswer, Provenance, Result, Verdict


class Candidate(Result):
    """Something the description may mean; claims are sorted into matched, failed and unchecked."""

    mask_id: str
    structure: str
    score: float
    verdict: Verdict
    reasons: list[str]
    matched: list[str]
    failed: list[str]
    unchecked: list[str]
    found_by: str
    volume_ml: float | None
    volume_is: Literal["complete", "cut by the edge", "not given"]
    side: str | None
    max_affine_difference: float
    provenance: Provenance


class DescribedResult(ImageAnswer):
    """Candidates, best first; or why there is none; or the job to wait for."""

    image_id: str
    verdict: Verdict | None = None
    reason: str = ""
    candidates: list[Candidate] = Field(default_factory=list)
    ambiguous: bool = False
    target: str = ""
    claims: list[str] = Field(default_factory=list)
    unused_words: list[str] = Field(default_factory=list)
    assumed: list[str] = Field(default_factory=list)
    engine: str = ""
    engine_reason: str = ""
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0
