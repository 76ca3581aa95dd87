"""A prognosis run as its TOML file says it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ...models.prognosis.ehr import Feature
from ...models.prognosis.heads import SurvivalConfig
from .objective import HeadSchedule
from .tables import TABLES

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.signedinteger[Any]]
CONFIGS = Path(__file__).parents[1] / "configs"
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
