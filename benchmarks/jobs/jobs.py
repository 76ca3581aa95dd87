"""The sixteen jobs, and what each may cost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from . import bringing, following, measuring, showing
from .assistant import Assistant, Check, assistant


@dataclass(frozen=True)
class Job:
    """A story that an assistant is told, and its telling in a few words."""

    title: str
    story: Callable[[Assistant], None]

    @property
    def name(self) -> str:
        """Of the story."""
        return self.story.__name__


JOBS: tuple[Job, ...] = (
    Job("find what is in a folder and open the right series", bringing.open_the_right_series),
    Job("liver and kidneys: which is larger, beyond the error?", measuring.liver_and_kidneys),
    Job("a colleague's label file beside our mask", bringing.masks_of_a_colleague),
    Job("a TotalSegmentator folder, added up", bringing.total_of_a_folder),
    Job("DICOM SEG and RTSTRUCT in, DICOM SEG out", bringing.dicom_objects_in_and_out),
    Job("PET: SUVmax, MTV, TLG in a 41 % contour", measuring.uptake_of_a_lesion),
    Job("ejection fraction from two phases", measuring.ejection_fraction),
    Job("a cohort: table, outlier, broken file", following.cohort_with_an_outlier),
    Job("follow-up of a lesion", following.follow_up_of_a_lesion),
    Job("a report checked", following.report_held_against_the_scan),
    Job("a PNG measured once its pixel size is stated", bringing.picture_with_a_stated_size),
    Job("the aorta's width across its centre line", measuring.aorta_across),
    Job("pictures for a talk", showing.pictures_for_a_talk),
    Job("an STL for printing", showing.liver_to_print),
    Job("fat and muscle at a vertebra", measuring.tissue_at_a_vertebra),
    Job("go on tomorrow: find, edit, export", following.go_on_tomorrow),
)


@dataclass(frozen=True)
class Cost:
    """What a job takes: calls, and tokens of what the assistant reads.

    Attributes:
        lacks: what of the job's results could not be had.
    """

    calls: int
    tokens: int
    lacks: str = ""


@dataclass(frozen=True)
class Done:
    """A job that was done."""

    job: Job
    checks: tuple[Check, ...]
    cost: Cost

    @property
    def is_right(self) -> bool:
        """Whether every result agrees with its truth."""
        return all(check.holds for check in self.checks)


@cache
def budgets() -> Mapping[str, Cost]:
    """What each job may cost at most."""
    return {name: Cost(**row) for name, row in _read("budgets.json").items() if row is not None}


@cache
def costs_before() -> Mapping[str, Cost]:
    """What each cost before there were tools for it; jobs that could not be done are left out."""
    return {name: Cost(**row) for name, row in _read("before.json").items() if row is not None}


def _read(name: str) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = json.loads(
        resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    )
    return found


def do(job: Job) -> Done:
    """Do a job in an empty folder at a server of its own.

    Raises:
        Failed: a tool refused what the story asks.
    """
    with tempfile.TemporaryDirectory() as folder, assistant(Path(folder)) as someone:
        job.story(someone)
        return Done(job, tuple(someone.checks), Cost(someone.calls, someone.tokens))
