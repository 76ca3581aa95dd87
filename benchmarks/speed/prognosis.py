"""Prediction from the record: one patient at a time through the tool, and 1,000 in one batch against one by one."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ...models.prognosis.predictor import PrognosisModel, prognosis_models
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import described

PATIENTS = 1000


def run(*, rounds: int = 20) -> str:
    """A Markdown table; patients are drawn, seed 0."""
    model = next(model for model in prognosis_models().values() if model.cohort.disease == "lung cancer")
    patients = _patients()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(store=Path(folder) / "store", roots=(Path(folder),))
        with Desk(settings) as desk:
            use(desk, "predict_prognosis", ehr=patients[0])
            whole = [_seconds(partial(use, desk, "predict_prognosis", ehr=one)) for one in patients[:rounds]]
    head = [_seconds(partial(model.curves, [one])) for one in patients[:rounds]]
    batch = min(_seconds(lambda: model.curves(patients)) for _ in range(3))
    single = _seconds(lambda: [model.curves([patient]) for patient in patients])
    gap = _largest_difference(model, patients[:50])
    rows = [
        ("`predict_prognosis`, record only, warm, with picture (median)", f"{1000 * statistics.median(whole):.1f} ms"),
        ("the ensemble alone, one patient (median)", f"{1000 * statistics.median(head):.2f} ms"),
        (f"{PATIENTS} patients in one batch", f"{1000 * batch:.1f} ms"),
        (f"{PATIENTS} patients one by one", f"{1000 * single:.1f} ms"),
        ("one by one / one batch", f"{single / batch:.1f}"),
    ]
    lines = ["| what | processor time |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    return "\n".join(
        [*lines, "", f"Largest difference of S, batch to single: {gap:.1e}. {model.name}, seed 0. {described()}."]
    )


def _patients() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    stages = ("I", "II", "IIIa", "IIIb")
    return [
        {
            "disease": "lung cancer",
            "age_years": round(float(rng.uniform(45, 85)), 1),
            "sex": str(rng.choice(["female", "male"])),
            "t_stage": str(rng.integers(1, 5)),
            "n_stage": str(rng.integers(0, 4)),
            "overall_stage": stages[int(rng.integers(4))],
        }
        for _ in range(PATIENTS)
    ]


def _largest_difference(model: PrognosisModel, patients: list[dict[str, object]]) -> float:
    together = model.curves(patients).mean
    apart = np.concatenate([model.curves([patient]).mean for patient in patients])
    return float(np.abs(together - apart).max())


def _seconds(action: Callable[[], object]) -> float:
    """Processor time, which other work on the machine does not lengthen."""
    started = time.process_time()
    action()
    return time.process_time() - started
