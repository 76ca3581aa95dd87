"""The bundled prognosis models: which there are, their cards, and one patient's answer or refusal. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from ...imaging.errors import Failed
from ..catalogue import WEIGHTS_FOLDER
from .curves import Array, Curves, Ensemble, contributions
from .ehr import Feature, column_names, encode
from .reading import Columns, dictionaries

MAX_MISSING = 0.5  # share of a model's features that may be missing; ours, above it the answer is mostly the cohort's


@dataclass(frozen=True)
class PrognosisModel:
    """A trained ensemble and its card.

    Attributes:
        facts: the whole JSON beside the weights.
    """

    name: str
    cohort: Columns
    ensemble: Ensemble
    image: tuple[Feature, ...]
    ehr: tuple[Feature, ...]
    background: tuple[Array, Array]
    facts: Mapping[str, Any]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Measures of the image, then fields of the record."""
        return (*self.image, *self.ehr)

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """Features that are not known, or of a level the model was never taught."""
        return [feature.field for feature in self.features if feature.is_missing(values.get(feature.field))]

    def rows(self, patients: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        """Patients as rows of image measures and of the record."""
        count = len(patients)
        return (
            np.array([encode(self.image, p) for p in patients]).reshape(count, -1),
            np.array([encode(self.ehr, p) for p in patients]).reshape(count, -1),
        )

    def curves(self, patients: Sequence[Mapping[str, Any]]) -> Curves:
        """Survival of patients, given as fields and measures by name."""
        return self.ensemble.curves(*self.rows(patients))

    def contributions(self, patient: Mapping[str, Any]) -> list[tuple[str, float]]:
        """Known fields by how much they move the patient's risk against the cohort's, largest first."""
        image, ehr = self.rows([patient])
        names = [*column_names(self.image), *column_names(self.ehr)]
        fields = [f.field for f in self.features if f.field not in self.missing(patient)]
        groups = [[n for n, name in enumerate(names) if name == field] for field in fields]
        moved = contributions(self.ensemble, image, ehr, self.background, groups) if groups else np.zeros(0)
        return sorted(zip(fields, map(float, moved), strict=True), key=lambda pair: -abs(pair[1]))

    def group(self, risk: float) -> str:
        """Third of the cohort the risk lies in."""
        low, high = self.facts["risk_tertiles"]
        return "low" if risk <= low else "intermediate" if risk <= high else "high"

    def percentile(self, risk: float) -> float:
        """Share of the cohort with a lower risk, in percent."""
        return float(np.searchsorted(self.facts["risk_percentiles"], risk) / 101 * 100)


@cache
def prognosis_models(folder: Path = WEIGHTS_FOLDER) -> dict[str, PrognosisModel]:
    """Every model in the folder, by name.

    Raises:
        Failed: a weights file is not the one its facts name.
    """
    return {path.stem: load_model(path) for path in sorted(folder.glob("prognosis-*.json"))}


def load_model(path: Path) -> PrognosisModel:
    """The model of a JSON file and the weights beside it."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    content = path.with_suffix(".safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise Failed(f"The weights of '{path.stem}' are damaged: another sha256. Install the package again.")
    tensors = {key: value.astype(np.float64) for key, value in load(content).items()}
    members = tuple(
        {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{m}.")}
        for m in range(facts["members"])
    )
    return PrognosisModel(
        name=facts["name"],
        cohort=dictionaries()[facts["cohort"]],
        ensemble=Ensemble(facts["head"], tuple(facts["edges"]), members, facts["shrink"], tuple(facts["centre"])),
        image=tuple(_feature(row) for row in facts["image"]),
        ehr=tuple(_feature(row) for row in facts["ehr"]),
        background=(tensors["background.image"], tensors["background.ehr"]),
        facts=facts,
    )


def _feature(row: Mapping[str, Any]) -> Feature:
    return Feature(**{**row, "levels": tuple(row["levels"]), "ordinal": tuple(row["ordinal"])})
