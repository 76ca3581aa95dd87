"""What `segment_described`, `write_prompts` and `stress_description` answer."""

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


class PromptRow(Result):
    """A sentence that points at the mask; `checked` says how that was proven."""

    text: str
    kind: Literal["anatomy", "position", "size"]
    sources: list[str]
    checked: bool
    claims: list[str]
    evidence: list[str]


class PromptsResult(Result):
    """Prompts of one mask; fewer than asked for where the mask allows no more."""

    image_id: str = ""
    mask_id: str = ""
    structure: str = ""
    audience: str = ""
    prompts: list[PromptRow] = Field(default_factory=list)
    rejected: dict[str, int] = Field(default_factory=dict)
    reasons: list[str] = Field(default_factory=list)
    paraphraser: str | None = None
    provenance: Provenance | None = None
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0


class StressRow(Result):
    """One changed sentence and what became of the mask."""

    kind: Literal["paraphrase", "side_swap", "location_swap", "negation", "irrelevant"]
    text: str
    expected: str
    verdict: Verdict | Literal["refused"]
    structure: str | None
    dice_to_original: float
    held: bool
    reason: str


class StressResult(ImageAnswer):
    """How stable a description is on a scan; shares are null where no sentence of the kind could be made."""

    image_id: str
    mask_id: str | None = None
    structure: str = ""
    verdict: Literal["stable", "sensitive", "unstable"] | None = None
    reason: str = ""
    paraphrase_dice: float | None = None
    paraphrase_stable: float | None = None
    swaps_followed: float | None = None
    swaps_lost: float | None = None
    negations_refused: float | None = None
    irrelevant_refused: float | None = None
    rows: list[StressRow] = Field(default_factory=list)
    provenance: Provenance | None = None
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0
