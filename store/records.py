"""What the store knows about each image, mask and job, and the tables that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np
import sqlalchemy as sa

from ..imaging.volume import Grid, Modality

Facts = dict[str, Any]
JobState = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
JOB_STATES: tuple[str, ...] = get_args(JobState)
FINAL_STATES = ("done", "failed", "cancelled", "lost")

metadata = sa.MetaData()

# Plain columns only, so that SQLite and PostgreSQL hold the same. A change here needs a revision in `migrations`.
images = sa.Table(
    "images",
    metadata,
    sa.Column("image_id", sa.String(16), primary_key=True),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("source_name", sa.Text, nullable=False),
    sa.Column("modality", sa.String(16), nullable=False),
    sa.Column("synthetic", sa.Boolean, nullable=False),
    sa.Column("grid", sa.JSON, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
)
masks = sa.Table(
    "masks",
    metadata,
    sa.Column("mask_id", sa.String(16), primary_key=True),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("image_id", sa.String(16), sa.ForeignKey("images.image_id", ondelete="CASCADE"), nullable=False),
    sa.Column("structure", sa.Text),
    sa.Column("voxels", sa.BigInteger, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Index("masks_of_image", "image_id"),
)
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.String(24), primary_key=True),
    sa.Column("tool", sa.String(64), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.Text),
    sa.Column("owner", sa.String(128), nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Column("updated", sa.String(32), nullable=False),
)

results = sa.Table(
    "results",
    metadata,
    sa.Column("result_key", sa.String(64), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
)
beats = sa.Table(
    "beats",
    metadata,
    sa.Column("owner", sa.String(128), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
refinements = sa.Table(  # the log of clicks: rows are added, never changed
    "refinements",
    metadata,
    sa.Column("refinement_id", sa.String(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("image_id", sa.String(16), sa.ForeignKey("images.image_id", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("mask_id", sa.String(16)),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Index("refinements_of_image", "image_id"),
)

# Of a catalogue that servers share: calls, requests counted for each caller, and keys; empty in a folder's own.
events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("tool", sa.String(64), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("server", sa.String(128), nullable=False),
)
buckets = sa.Table(
    "buckets",
    metadata,
    sa.Column("caller", sa.String(128), primary_key=True),
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True)
class ImageRecord:
    """An opened image.

    Attributes:
        source_name: file or folder name it came from; stays inside the store, results use the handle.
        facts: what opening found out (warnings, format, and the like), JSON.
        created: UTC time, ISO 8601.
    """

    image_id: str
    content_hash: str
    source_name: str
    modality: Modality
    synthetic: bool
    grid: Grid
    facts: Facts
    created: str


@dataclass(frozen=True)
class MaskRecord:
    """A mask of an image.

    Attributes:
        structure: canonical name, or None for a mask nobody named.
        voxels: how many are inside.
        facts: provenance and verdict, JSON.
    """

    mask_id: str
    content_hash: str
    image_id: str
    structure: str | None
    voxels: int
    facts: Facts
    created: str


@dataclass(frozen=True)
class JobRecord:
    """Work that may outlive the call that started it.

    Attributes:
        progress: 0 to 1.
        owner: machine, process number and its start time; tells whether anyone still works on it.
        result: what the tool answered, JSON; only when `state` is "done".
        error: what went wrong and what to do; only when failed, cancelled or lost.
    """

    job_id: str
    tool: str
    arguments: Facts
    state: JobState
    progress: float
    message: str
    result: Facts | None
    error: str | None
    owner: str
    created: str
    updated: str

    @property
    def is_final(self) -> bool:
        """True once the state can no longer change."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class StepRecord:
    """One line of a refinement's log.

    Attributes:
        number: its place in the log; 0 begins it.
        kind: "begin", "add" or "undo".
        facts: what was pointed at and how it was drawn, or how many steps were taken back, JSON.
        mask_id: the mask as this line leaves it; None for none yet.
    """

    refinement_id: str
    number: int
    image_id: str
    kind: str
    facts: Facts
    mask_id: str | None
    created: str


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def grid_to_json(grid: Grid) -> Facts:
    """Shape, affine and whether the spacing is known, exactly (floats survive JSON unchanged)."""
    facts: Facts = {"shape": list(grid.shape), "affine": grid.affine.tolist(), "spacing_known": grid.spacing_known}
    return {**facts, "thickness_known": grid.thickness_known, "stated": True} if grid.stated else facts


def grid_from_json(facts: Facts) -> Grid:
    """The grid written by `grid_to_json`."""
    x, y, z = facts["shape"]
    return Grid(
        (x, y, z),
        np.array(facts["affine"], dtype=np.float64),
        facts["spacing_known"],
        thickness_known=facts.get("thickness_known", True),
        stated=facts.get("stated", False),
    )
