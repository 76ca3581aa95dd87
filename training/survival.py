"""`ostensor fit prognosis-...`: cross-validation of prognosis heads beside baselines, then the final ensemble."""

from __future__ import annotations

import json
import logging
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..imaging.errors import BadCall
from ..models.ehr import Feature
from ..models.prognosis import Curves, Ensemble, log_odds
from ..models.survival import SurvivalConfig
from .survival_metrics import antolini, brier, harrell
from .survival_objective import Encoding, HeadSchedule, Inputs, Lesson, fitted_encoding, train_ensembles
from .survival_tables import TABLES, Patient, outcomes, with_sentences

log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.signedinteger[Any]]
CONFIGS = Path(__file__).parent / "configs"
_KEYS = {"kind", "name", "title", "cohort", "table", "mode", "stage", "image", "ehr", "network", "text", "head", "schedule", "folds", "repeats", "seed", "final_members", "baselines", "notes"}  # fmt: skip


@dataclass(frozen=True)
class PrognosisConfig:
    """A run as its TOML file says it.

    Attributes:
        mode: "ehr", "image", "fused" or "text"; says which features are used.
        stage: the feature that stands for stage alone, one of `ehr`; None where there is no stage.
        network: whether the table's network features are used beside the measures.
        text: whether a vector of the record's sentence is read: alone in mode "text", else as FiLM on the hidden layer.
        folds, repeats, seed: patients are split into folds so often, each time anew.
        final_members: heads of the exported ensemble, trained on all patients.
        notes: what a reader of the card must know, such as how fields were chosen.
    """

    name: str
    title: str
    cohort: str
    table: str
    mode: str
    stage: Feature | None
    image: tuple[Feature, ...]
    ehr: tuple[Feature, ...]
    network: bool
    head: SurvivalConfig
    schedule: HeadSchedule
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    final_members: int = 40
    baselines: bool = True
    notes: str = ""
    text: bool = False

    def in_mode(self, mode: str) -> PrognosisConfig:
        """The same run with the image's or the record's features only, or both, or the record's sentence alone."""
        image, ehr = mode in ("image", "fused"), mode in ("ehr", "fused")
        return replace(
            self,
            mode=mode,
            image=self.image if image else (),
            ehr=self.ehr if ehr else (),
            network=self.network and image,
            text=mode == "text" or (self.text and mode == "fused"),
        )


def find_prognosis(name_or_path: str | Path) -> Path | None:
    """The file of a prognosis configuration, given by path or bundled name; None when it is another kind."""
    for path in (Path(name_or_path), CONFIGS / f"{name_or_path}.toml"):
        if path.is_file():
            return path if tomllib.loads(path.read_text(encoding="utf-8")).get("kind") == "prognosis" else None
    return None


def read_prognosis(path: Path) -> PrognosisConfig:
    """The run of a TOML file.

    Raises:
        BadCall: unknown keys or tables.
    """
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    if unknown := set(values) - _KEYS:
        raise BadCall(f"Unknown keys {sorted(unknown)} in '{path.name}'. Allowed: {', '.join(sorted(_KEYS))}.")
    if values["table"] not in TABLES:
        raise BadCall(f"Unknown table '{values['table']}'. Known: {', '.join(TABLES)}.")
    del values["kind"]
    features = {part: tuple(_feature(row) for row in values.get(part, [])) for part in ("image", "ehr")}
    stage = values.pop("stage", None)
    made = {
        **values,
        **features,
        "stage": next((f for f in features["ehr"] if f.field == stage), None),
        "network": values.get("network", False),
        "head": SurvivalConfig(image=0, ehr=0, **values["head"]),
        "schedule": HeadSchedule(**values["schedule"]),
    }
    return PrognosisConfig(**made)


def _feature(row: Mapping[str, Any]) -> Feature:
    lists = {key: tuple(row[key]) for key in ("levels", "ordinal") if key in row}
    return Feature(**{**row, **lists})


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


def fit_prognosis(path: Path, *, data: Path, runs: Path) -> Path:
    """Cross-validate, train the final ensemble on everybody, and write both into the run folder."""
    from .survival_export import write_run

    torch.set_num_threads(1)
    plan = read_prognosis(path)
    patients = TABLES[plan.table](data)
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
        checked = replace(checked, scores={**checked.scores, **_ablations(plan, patients)})
    folder = runs / plan.name
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


def _ablations(plan: PrognosisConfig, patients: list[Patient]) -> dict[str, dict[str, list[float]]]:
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
