"""Cross-validation of a prognosis model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.prognosis.curves import Curves
from .metrics import antolini, brier, harrell
from .objective import Encoding, Lesson, fitted_encoding, train_ensembles
from .plan import Array, Index, PrognosisConfig
from .tables import Patient, outcomes


@dataclass(frozen=True)
class CrossValidation:
    """What held-out patients said.

    Attributes:
        scores: method -> metric -> one value per fold.
        held_out: our model's risk of every patient, each from the fold that did not train on them (first repeat).
        curves: the same for S at `days`, (n t).
    """

    scores: Mapping[str, Mapping[str, list[float]]]
    held_out: Array
    days: Array
    curves: Array


def folds_of(died: npt.NDArray[np.bool_], folds: int, seed: int) -> Array:
    """The fold of each patient: deaths and others are dealt out evenly; a patient is one row, so never in two."""
    rng = np.random.default_rng([seed, 99])
    fold = np.zeros(len(died), dtype=np.int64)
    for group in (np.flatnonzero(died), np.flatnonzero(~died)):
        fold[rng.permutation(group)] = (np.arange(len(group)) + (0 if died[group].all() else folds // 2)) % folds
    return fold  # type: ignore[return-value]  # whole numbers


def cross_validate(plan: PrognosisConfig, patients: Sequence[Patient]) -> CrossValidation:
    """Our heads beside Cox, a random survival forest and stage alone, on the same folds."""
    truth = outcomes(list(patients))
    splits = [
        (repeat, np.flatnonzero(fold != held), np.flatnonzero(fold == held))
        for repeat in range(plan.repeats)
        for fold in [folds_of(truth["died"], plan.folds, plan.seed + repeat)]
        for held in range(plan.folds)
    ]
    encodings = [
        fitted_encoding(plan.image, plan.ehr, _chosen(patients, train), network=plan.network, text=plan.text)
        for _repeat, train, _test in splits
    ]
    made = train_ensembles(
        [
            Lesson(encoding.rows(_chosen(patients, train)), truth[train], plan.seed + 100 * number)
            for number, (encoding, (_repeat, train, _test)) in enumerate(zip(encodings, splits, strict=True))
        ],
        plan.head,
        plan.schedule,
        (plan.image, plan.ehr),
    )
    scores: dict[str, dict[str, list[float]]] = {"ours": {}}
    risk = np.zeros(len(patients))
    days = np.array([0.0, *np.quantile(truth["days"][truth["died"]], np.linspace(0.05, 0.9, 12))])
    curves = np.zeros((len(patients), len(days)))
    for (repeat, train, test), encoding, ensemble in zip(splits, encodings, made, strict=True):
        new = encoding.rows(_chosen(patients, test))
        found = ensemble.curves(new.image, new.ehr, new.text)
        _note(scores["ours"], found, truth[train], truth[test])
        if repeat == 0:
            risk[test] = found.risk
            curves[test] = [[found.at(n, day) for day in days] for n in range(len(test))]
        rivals = _baselines(plan, encoding, patients, truth, train, test, repeat) if plan.baselines else {}
        for name, value in rivals.items():
            scores.setdefault(name, {}).setdefault("harrell", []).append(harrell(truth[test], value))
    return CrossValidation(scores, risk, days, curves)


def _chosen(patients: Sequence[Patient], which: Index) -> list[Patient]:
    return [patients[int(n)] for n in which]


def _note(ours: dict[str, list[float]], found: Curves, train: npt.NDArray[Any], test: npt.NDArray[Any]) -> None:
    ours.setdefault("harrell", []).append(harrell(test, found.risk))
    ours.setdefault("antolini", []).append(antolini(test, found))
    score = brier(train, test, found)
    if score is not None:
        ours.setdefault("integrated_brier", []).append(score)


def _baselines(
    plan: PrognosisConfig,
    encoding: Encoding,
    patients: Sequence[Patient],
    truth: npt.NDArray[Any],
    train: Index,
    test: Index,
    seed: int,
) -> dict[str, Array]:
    """Risk of the test patients by Cox, forest and stage, from the same columns as ours."""
    from sksurv.ensemble import RandomSurvivalForest
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    rows = encoding.rows(patients)
    x = np.concatenate([rows.image, rows.ehr] if plan.mode != "text" else [rows.text], axis=1)
    x = x[:, x[train].std(axis=0) > 1e-6]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cox = CoxPHSurvivalAnalysis(alpha=0.1).fit(x[train], truth[train])
        forest = RandomSurvivalForest(100, min_samples_leaf=6, random_state=seed, n_jobs=1).fit(x[train], truth[train])
        found = {"cox": cox.predict(x[test]), "random survival forest": forest.predict(x[test])}
    if plan.stage is not None:
        values = [patients[n].values.get(plan.stage.field) for n in test]
        found["stage alone"] = np.array(
            [-1.0 if plan.stage.is_missing(value) else plan.stage.raw(value) for value in values]
        )
    return found


def ablate(plan: PrognosisConfig, patients: list[Patient]) -> dict[str, dict[str, list[float]]]:
    """For made-up patients: either half alone, the record shuffled, and the true hazard, on the same folds."""
    truth = outcomes(patients)
    rng = np.random.default_rng(plan.seed)
    order, fields = rng.permutation(len(patients)), {feature.field for feature in plan.ehr}
    shuffled = [
        replace(p, values={**p.values, **{f: patients[order[n]].values[f] for f in fields}})
        for n, p in enumerate(patients)
    ]
    found = {
        name: {
            "harrell": list(
                cross_validate(replace(plan.in_mode(mode), baselines=False), rows).scores["ours"]["harrell"]
            )
        }
        for name, mode, rows in (
            ("image only", "image", patients),
            ("record only", "ehr", patients),
            ("fused, record shuffled", "fused", shuffled),
            ("record only, shuffled", "ehr", shuffled),
        )
    }
    hazard = np.array([p.hazard for p in patients])
    folds = [folds_of(truth["died"], plan.folds, plan.seed + repeat) for repeat in range(plan.repeats)]
    found["oracle"] = {
        "harrell": [harrell(truth[fold == held], hazard[fold == held]) for fold in folds for held in range(plan.folds)]
    }
    return found


def summary(checked: CrossValidation) -> dict[str, dict[str, dict[str, float]]]:
    """Method -> metric -> mean and sd over folds."""
    return {
        method: {
            metric: {"mean": round(float(np.mean(v)), 4), "sd": round(float(np.std(v)), 4), "folds": len(v)}
            for metric, v in metrics.items()
        }
        for method, metrics in checked.scores.items()
    }
