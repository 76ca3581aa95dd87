"""What `run_batch` answers: counts, what stands out, and where the table lies."""

from __future__ import annotations

from pydantic import Field

from ..desk.results import Result


class StructureSpread(Result):
    """One structure over the cohort, of masks that are present and whole: ml."""

    structure: str
    scans: int
    median_ml: float
    p5_ml: float
    p95_ml: float


class FlaggedRow(Result):
    """A mask to look at; `scan` is the number in the table's first column, which has its path."""

    scan: int
    image_id: str
    structure: str
    mask_id: str | None
    volume_ml: float | None
    score: float | None
    flags: list[str]


class FailedRow(Result):
    """A scan without numbers, and why."""

    scan: int
    error: str


class Cohort(Result):
    """Counts over the scans; `reused` were done by an earlier call, image_warnings are the commonest, with their scans."""

    scans: int
    done: int
    failed: int
    reused: int
    verdicts: dict[str, int]
    structures: list[StructureSpread]
    flagged_in_all: int
    image_warnings: dict[str, int]


class BatchResult(Result):
    """The cohort in short, or the job to wait for. Flagged rows lead with outliers; `files` hold all."""

    summary: str = ""
    cohort: Cohort | None = None
    flagged: list[FlaggedRow] = Field(default_factory=list)
    errors: list[FailedRow] = Field(default_factory=list)
    files: list[str] = Field(default_factory=list)
    job_id: str | None = None
    state: str = "done"
    progress: float = 1.0
