"""`ostensor fit prognosis-...`: cross-validation of prognosis heads beside baselines, then the final ensemble."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...models.prognosis.curves import Ensemble, log_odds
from ..folders import Folders
from ..kinds import How
from .cross_validation import CrossValidation, ablate, cross_validate, summary
from .objective import Inputs, Lesson, fitted_encoding, train_ensembles
from .plan import Array, PrognosisConfig
from .tables import TABLES, outcomes, with_sentences

log = logging.getLogger(__name__)


def fit(plan: PrognosisConfig, folders: Folders, how: How) -> Path:
    """Cross-validate, train the final ensemble on everybody, and write both into the run folder.

    The heads are small and trained whole: `how` changes nothing but the processor's threads.
    """
    from .export import write_run

    torch.set_num_threads(how.threads or 1)
    patients = TABLES[plan.table](folders.data)
    plan = plan.in_mode(plan.mode)
    if plan.text:
        patients = with_sentences(patients)
    checked = cross_validate(plan, patients)
    encoding = fitted_encoding(plan.image, plan.ehr, patients, network=plan.network, text=plan.text)
    features = (encoding.image, encoding.ehr)
    schedule = replace(plan.schedule, members=plan.final_members)
    lesson = Lesson(encoding.rows(patients), outcomes(patients), plan.seed + 7)
    made = train_ensembles([lesson], plan.head, schedule, features)[0]
    made = calibrated(made, lesson.rows, checked, outcomes(patients))
    if patients[0].hazard is not None:
        checked = replace(checked, scores={**checked.scores, **ablate(plan, patients)})
    folder = folders.runs / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, plan, patients, checked, encoding, made)
    log.info("%s", json.dumps(summary(checked)))
    return folder


def calibrated(made: Ensemble, rows: Inputs, checked: CrossValidation, truth: npt.NDArray[Any]) -> Ensemble:
    """The ensemble with the shrinkage that makes the held-out curves most likely."""
    centre = log_odds(made.curves(rows.image, rows.ehr, rows.text).mean[:, 1:]).mean(axis=0)
    odds = log_odds(checked.curves[:, 1:])
    middle = odds.mean(axis=0)
    shares = np.linspace(0.05, 1.0, 20)
    costs = []
    for share in shares:
        s = 1 / (1 + np.exp(-(middle + share * (odds - middle))))
        costs.append(_grid_likelihood(s, checked.days, truth))
    return replace(made, shrink=round(float(shares[int(np.argmin(costs))]), 3), centre=tuple(map(float, centre)))


def _grid_likelihood(survival: Array, days: Array, truth: npt.NDArray[Any]) -> float:
    """Negative log likelihood of outcomes under S (n t-1) at `days` (0 first): interval of a death, S of a censored day."""
    full = np.concatenate([np.ones((len(survival), 1)), survival, np.zeros((len(survival), 1))], axis=1)
    cell = np.searchsorted(days, truth["days"], side="left") - 1
    cell = np.clip(cell, 0, full.shape[1] - 2)
    who = np.arange(len(full))
    chance = np.where(truth["died"], full[who, cell] - full[who, cell + 1], full[who, cell])
    return float(-np.log(np.clip(chance, 1e-6, 1)).mean())
