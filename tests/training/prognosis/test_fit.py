"""Training of prognosis heads: folds, forgetting, all three kinds, and the cohort on which fusion must pay."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.prognosis.ehr import Outcome
from ostensor.models.prognosis.heads import Kind
from ostensor.training.configuration import bundled
from ostensor.training.prognosis.cross_validation import cross_validate, folds_of
from ostensor.training.prognosis.metrics import harrell
from ostensor.training.prognosis.objective import (
    HeadSchedule,
    Lesson,
    _forget,
    breslow,
    fitted_encoding,
    train_ensembles,
)
from ostensor.training.prognosis.plan import PrognosisConfig
from ostensor.training.prognosis.synthetic_cohort import made_patients, synthetic_table_rows
from ostensor.training.prognosis.tables import TABLES, Patient, outcomes, with_sentences
from ostensor.training.runs import read_run


@pytest.fixture(scope="module")
def plan() -> PrognosisConfig:
    made = read_run("prognosis-synthetic")[1]
    schedule = HeadSchedule(steps=60, learning_rate=0.03, members=1, forget=0.0)
    return replace(made, network=False, schedule=schedule, head=replace(made.head, hidden=8, ehr_hidden=8, l2=0.01))


@pytest.fixture(scope="module")
def cohort() -> list[Patient]:
    """Measures of the mask only; the trunk's features are in the slow test."""
    rows = synthetic_table_rows(300, seed=23, network=False)
    return [Patient(str(n), row.values, row.outcome, row.image, row.hazard) for n, row in enumerate(rows)]


def held_out_c(plan: PrognosisConfig, train: list[Patient], test: list[Patient], seed: int = 1) -> float:
    encoding = fitted_encoding(plan.image, plan.ehr, train, network=plan.network, text=plan.text)
    lesson = Lesson(encoding.rows(train), outcomes(train), seed)
    made = train_ensembles([lesson], plan.head, plan.schedule, (encoding.image, encoding.ehr))[0]
    new = encoding.rows(test)
    return harrell(outcomes(test), made.curves(new.image, new.ehr, new.text).risk)


def oracle_c(test: list[Patient]) -> float:
    return harrell(outcomes(test), np.array([p.hazard for p in test]))


def shuffled_ehr(patients: list[Patient], fields: set[str]) -> list[Patient]:
    order = np.random.default_rng(5).permutation(len(patients))
    return [
        replace(p, values={**p.values, **{f: patients[order[n]].values[f] for f in fields}})
        for n, p in enumerate(patients)
    ]


def test_fusion_beats_either_half_and_nears_the_oracle(plan: PrognosisConfig, cohort: list[Patient]) -> None:
    """Issue point 5, on held-out patients; the oracle is the true hazard the generator used.

    Smaller cohort than the benchmark's, so the distance to the oracle gets 0.04 here; the slow test asks for 0.03.
    """
    train, test = cohort[:180], cohort[180:]
    fused, image, ehr = (held_out_c(plan.in_mode(mode), train, test) for mode in ("fused", "image", "ehr"))
    assert fused >= max(image, ehr) + 0.05
    assert fused >= oracle_c(test) - 0.04
    fields = {feature.field for feature in plan.ehr}
    lost = held_out_c(plan, shuffled_ehr(train, fields), shuffled_ehr(test, fields))
    assert lost <= image + 0.03
    assert lost <= fused - 0.05


def test_ehr_only_falls_to_chance_when_its_columns_are_shuffled(plan: PrognosisConfig, cohort: list[Patient]) -> None:
    """Spec §13.9."""
    fields = {feature.field for feature in plan.ehr}
    found = held_out_c(plan.in_mode("ehr"), cohort[:180], shuffled_ehr(cohort[180:], fields))
    assert abs(found - 0.5) < 0.1


@pytest.mark.parametrize("kind", ["deephit", "cox"])
def test_the_other_heads_rank_held_out_patients_too(plan: PrognosisConfig, cohort: list[Patient], kind: Kind) -> None:
    made = replace(plan, head=replace(plan.head, kind=kind))
    assert held_out_c(made, cohort[:180], cohort[180:]) > 0.68


class _Words:
    """Knows numbers only: the age and the performance status that a sentence names."""

    name, size = "numbers", 3

    def encode(self, terms: Sequence[str]) -> np.ndarray:
        found = []
        for term in terms:
            age, status = re.search(r"(\d+)-year", term), re.search(r"performance status (\d)", term)
            found.append([(float(age[1]) - 66) / 9 if age else 0.0, float(status[1]) - 1.5 if status else 0.0, 0.3])
        return np.array(found, dtype=np.float32)


def test_text_alone_ranks_and_text_beside_the_record_modulates_it(plan: PrognosisConfig, cohort: list[Patient]) -> None:
    """The sentence holds two of the record's three factors, so it ranks, but below fused; shuffled it ranks nothing."""
    told = with_sentences(cohort, _Words())
    lost = [replace(p, text=told[(n + 7) % len(told)].text) for n, p in enumerate(told)]
    found = held_out_c(plan.in_mode("text"), told[:180], told[180:])
    assert 0.6 < found < held_out_c(replace(plan, text=True), told[:180], told[180:])
    assert held_out_c(plan.in_mode("text"), lost[:180], lost[180:]) < 0.57


def test_training_is_the_same_for_the_same_seed(plan: PrognosisConfig, cohort: list[Patient]) -> None:
    encoding = fitted_encoding(plan.image, plan.ehr, cohort[:60], network=False)
    schedule = replace(plan.schedule, steps=5, members=2)
    lesson = Lesson(encoding.rows(cohort[:60]), outcomes(cohort[:60]), 3)
    a, b = (train_ensembles([lesson], plan.head, schedule, (plan.image, plan.ehr))[0] for _ in range(2))
    for one, other in zip(a.members, b.members, strict=True):
        assert all((one[name] == other[name]).all() for name in one)
    assert any((a.members[0][name] != a.members[1][name]).any() for name in a.members[0])


def test_folds_deal_out_deaths_evenly_and_every_patient_once() -> None:
    died = np.array([True] * 17 + [False] * 36)
    fold = folds_of(died, 5, seed=3)
    assert set(fold) == set(range(5))
    assert np.ptp(np.bincount(fold[died])) <= 1
    assert np.ptp(np.bincount(fold)) <= 2
    assert (folds_of(died, 5, seed=4) != fold).any()


def test_forgotten_fields_look_like_missing_ones(plan: PrognosisConfig) -> None:
    """Everything forgotten equals the encoding of a patient of whom nothing is known."""
    nobody = Patient("x", {}, Outcome(1, True))
    known = Patient("y", {"age_years": 70.0, "performance_status": 2.0, "smoking": "never"}, Outcome(2, False))
    encoding = fitted_encoding(
        (), plan.ehr, [known, replace(known, values={**known.values, "age_years": 50.0})], network=False
    )
    rows = torch.tensor(encoding.rows([known]).ehr)[None].float()
    assert _forget(rows, encoding.ehr, 1.0)[0, 0].tolist() == encoding.rows([nobody]).ehr[0].tolist()
    assert _forget(rows, encoding.ehr, 0.0) is rows


def test_breslow_equals_the_sum_by_hand() -> None:
    """Equal risks: deaths over the number at risk, 1/4 + 1/2."""
    truth = np.array([(True, 1.0), (False, 2.0), (True, 3.0), (False, 4.0)], dtype=[("died", bool), ("days", float)])
    assert breslow(np.zeros(4), truth, [0.5, 1.0, 3.5]).tolist() == pytest.approx([0, 0.25, 0.75])


def test_the_generator_is_a_function_of_its_seed_and_censors_about_a_third() -> None:
    first, again = (next(made_patients(1, seed=9)) for _ in range(2))
    assert first.volume.content_hash == again.volume.content_hash
    assert first.volume.synthetic
    assert first.outcome == again.outcome
    made = synthetic_table_rows(200, seed=31, network=False)
    assert 0.2 < 1 - np.mean([row.outcome.died for row in made]) < 0.45


def test_every_bundled_prognosis_configuration_is_read() -> None:
    names = bundled("prognosis")
    assert {"prognosis-kidney-ehr", "prognosis-lung-ehr", "prognosis-synthetic"} <= set(names)
    for name in names:
        assert read_run(name)[1].name == name


def test_unknown_keys_and_tables_are_refused(tmp_path: Path) -> None:
    text = bundled()["prognosis-lung-ehr"].read_text(encoding="utf-8")
    path = tmp_path / "x.toml"
    path.write_text("speed = 3\n" + text, encoding="utf-8")
    with pytest.raises(BadCall, match="'speed' of 'x' is not known"):
        read_run(path)
    path.write_text(text.replace("lung1_clinical", "titanic"), encoding="utf-8")
    with pytest.raises(BadCall, match="Unknown table 'titanic'"):
        read_run(path)


@pytest.mark.slow
def test_the_benchmark_cohort_with_trunk_features_meets_the_goal() -> None:
    """Issue point 5 on held-out patients, mean of five folds: 0.05 above either half, within 0.03 of the oracle.

    One fold of 96 patients differs from the next by 0.02 (sd), so a single split can tell nothing.
    """
    made = replace(read_run("prognosis-synthetic")[1], baselines=False)
    patients = TABLES["synthetic"](Path())

    def mean_c(mode: str) -> float:
        return float(np.mean(cross_validate(made.in_mode(mode), patients).scores["ours"]["harrell"]))

    fused, image, ehr = (mean_c(mode) for mode in ("fused", "image", "ehr"))
    folds = folds_of(outcomes(patients)["died"], made.folds, made.seed)
    oracle = np.mean([oracle_c([p for p, f in zip(patients, folds, strict=True) if f == n]) for n in range(made.folds)])
    assert fused >= max(image, ehr) + 0.05
    assert fused >= oracle - 0.03
