"""Survival tables: the patients, what is known of them, and what became of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...imaging.errors import Unavailable
from ...imaging.formats.nifti import read_nifti
from ...models.prognosis.ehr import Outcome
from ...models.prognosis.reading import dictionaries, flattened, outcome_of, read_record
from ...models.prognosis.sentence import record_sentence
from ...models.prognosis.tumour_measures import tumour_measures
from ...models.text.encoders import MiniLmEncoder, TextEncoder
from .synthetic_cohort import synthetic_table_rows


@dataclass(frozen=True)
class Patient:
    """One row.

    Attributes:
        values: fields of the record and image measures by name; None where not known.
        image: further image features, such as a network's; may be empty.
        hazard: the true log hazard, where the patient is made up; None for people.
        text: vector of the record's sentence; empty until `with_sentences`.
    """

    name: str
    values: Mapping[str, Any]
    outcome: Outcome
    image: tuple[float, ...] = ()
    hazard: float | None = None
    text: tuple[float, ...] = ()


def with_sentences(patients: Sequence[Patient], encoder: TextEncoder | None = None) -> list[Patient]:
    """The patients with the vector of their record as one sentence, scaled to a mean square of 1.

    Args:
        encoder: MiniLM unless given.
    """
    words = encoder or MiniLmEncoder()
    vectors = words.encode([record_sentence(p.values) for p in patients])
    vectors = vectors / np.sqrt(np.mean(vectors**2, axis=1, keepdims=True))
    return [replace(p, text=tuple(map(float, row))) for p, row in zip(patients, vectors, strict=True)]


def kits(data: Path) -> list[Patient]:
    """KiTS19: record, outcome, and measures of the expert's masks."""
    folder = data / "kits_ehr"
    rows = json.loads(_text(folder / "clinical.json"))
    native = dictionaries()["kidney_tumour"]
    found = []
    for row in rows:
        case = row["case_id"]
        raw = read_nifti(folder / "masks" / f"{case}.nii.gz")
        measures = tumour_measures(raw.array == 2, raw.array == 1, raw.grid)
        values = {**read_record(row).record.known, **measures}
        found.append(Patient(case, values, outcome_of(flattened(row), native)))
    return found


def lung1(data: Path) -> list[Patient]:
    """NSCLC-Radiomics: the clinical table."""
    native = dictionaries()["lung_cancer"]
    rows = csv.DictReader(_text(data / "lung1_clinical" / "lung1_clinical.csv").splitlines())
    return [Patient(row["PatientID"], read_record(row).record.known, outcome_of(row, native)) for row in rows]


def synthetic(data: Path) -> list[Patient]:
    """Made-up patients whose hazard is known in closed form; needs no data."""
    del data
    return [
        Patient(f"made-{n}", row.values, row.outcome, row.image, row.hazard)
        for n, row in enumerate(synthetic_table_rows())
    ]


TABLES: Mapping[str, Callable[[Path], list[Patient]]] = {
    "kits_ehr": kits,
    "lung1_clinical": lung1,
    "synthetic": synthetic,
}


def _text(path: Path) -> str:
    if not path.is_file():
        raise Unavailable(f"The table '{path.name}' is not here. Set OSTENSOR_DATA to the folder of the data sets.")
    return path.read_text(encoding="utf-8")


def outcomes(patients: list[Patient]) -> np.ndarray[Any, np.dtype[Any]]:
    """(n) with fields `died` and `days`, as scikit-survival takes them; day 0 counts as half a day."""
    rows = [(p.outcome.died, max(p.outcome.days, 0.5)) for p in patients]
    return np.array(rows, dtype=[("died", bool), ("days", float)])
