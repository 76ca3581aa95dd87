"""Every figure that is kept: its name as Prometheus reads it, what it counts, and by what.

A label's values are few and ours: names of tools, devices, states. Whatever else comes is counted as "other", so that no
handle, file or patient can become one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
QUICK_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Upper ends of the bins of every histogram, in seconds; our choice: a call takes milliseconds, a whole body minutes."""
MOST = 200  # values of labels together, of one figure; there are some 60 tools
OTHER = "other"
_DEVICE = r"cpu|cuda(:\d{1,2})?"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        help: one sentence.
        labels: name -> what its values look like, as a regular expression.
    """

    kind: Kind
    help: str
    labels: Mapping[str, str]


_TOOL = {"tool": r"[a-z][a-z0-9_]{2,39}"}
_KIND = {"kind": "people|batch"}
_ON = {"device": _DEVICE}

FIGURES: Mapping[str, Figure] = {
    "ostensor_calls_total": Figure(
        "counter",
        "Calls of tools that ended.",
        {**_TOOL, "outcome": "ok|bad_call|unavailable|failed|cancelled"},
    ),
    "ostensor_call_seconds": Figure("histogram", "Seconds from a call to its answer.", _TOOL),
    "ostensor_calls_running": Figure("gauge", "Calls under way.", {}),
    "ostensor_queue_length": Figure("gauge", "Requests that wait for a worker.", _KIND),
    "ostensor_queue_seconds": Figure("histogram", "Seconds a request waited until a worker took it.", _KIND),
    "ostensor_stage_seconds": Figure(
        "histogram",
        "Seconds of each part of a worker's request.",
        {"stage": "load|open|preprocess|network|post"},
    ),
    "ostensor_windows_total": Figure("counter", "Steps of networks that were reported: windows, slices, layers.", {}),
    "ostensor_cache_lookups_total": Figure(
        "counter",
        "Looks into what is kept: answers in the store, features in a worker, and workers that have an image already.",
        {"cache": "answers|features|home", "outcome": "hit|miss"},
    ),
    "ostensor_refusals_total": Figure(
        "counter",
        "What was refused: no room for the caller, too many requests, no place in line, not enough memory.",
        {"reason": "quota|rate|queue|memory"},
    ),
    "ostensor_worker_starts_total": Figure("counter", "Worker processes that were started.", _ON),
    "ostensor_worker_restarts_total": Figure("counter", "Workers started again after they ended.", _ON),
    "ostensor_fallbacks_total": Figure(
        "counter",
        "Requests done in another way than asked, because a device was out of memory.",
        {"way": "cleared|half|cpu"},
    ),
    "ostensor_jobs_running": Figure("gauge", "Jobs under way.", {}),
    "ostensor_jobs_ended_total": Figure("counter", "Jobs by how they ended.", {"state": "done|failed|cancelled|lost"}),
    "ostensor_memory_bytes": Figure(
        "gauge", "Resident memory of processes.", {"process": "server|worker", "device": _DEVICE}
    ),
    "ostensor_device_budget_bytes": Figure("gauge", "What one request may need on a device; absent: no limit.", _ON),
    "ostensor_worker_cache_bytes": Figure(
        "gauge", "What a worker keeps, by estimate.", {**_ON, "cache": "models|features"}
    ),
    "ostensor_worker_cache_budget_bytes": Figure(
        "gauge", "What a worker may keep.", {**_ON, "cache": "models|features"}
    ),
}


def labelled(name: str, given: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a figure's labels, in their order; one that is none of ours becomes "other".

    Raises:
        KeyError: no such figure, or a label is missing.
    """
    return tuple([_fitting(form, given[label]) for label, form in FIGURES[name].labels.items()])


@lru_cache(maxsize=1024)
def _fitting(form: str, value: str) -> str:
    return value if re.fullmatch(form, value) else OTHER
