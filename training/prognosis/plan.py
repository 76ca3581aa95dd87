"""A prognosis run as its TOML file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ...models.prognosis.ehr import Feature
from ...models.prognosis.heads import SurvivalConfig
from ..configuration import Configuration
from .objective import HeadSchedule
from .tables import TABLES

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.signedinteger[Any]]
_KEYS = {"name", "title", "cohort", "table", "mode", "stage", "image", "ehr", "network", "text", "head", "schedule", "folds", "repeats", "seed", "final_members", "baselines", "notes"}  # fmt: skip


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


def read(given: Configuration) -> PrognosisConfig:
    """The run of a configuration.

    Raises:
        BadCall: unknown keys or tables.
    """
    given.refuse_unknown(_KEYS)
    values = dict(given.values)
    if values["table"] not in TABLES:
        raise BadCall(f"Unknown table '{values['table']}'. Known: {', '.join(TABLES)}.")
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
