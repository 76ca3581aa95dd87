"""Pairs of a CT-like and an MR-like picture of one body, for translation, as seg2med makes them from XCAT.

Both come from one label map (HuBMAP Human Reference Atlas, CC BY 4.0) through the intensity priors, so they
lie on each other exactly. The male body teaches, the female body tests. No patient is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...models.synthesis.classical import Variation, classical
from ...models.synthesis.priors import Prior, of_tissue
from ...models.synthesis.scales import Made, to_unit
from ..bodies import hra_phantom
from ..bodies.cores import core_of, without_cores

if TYPE_CHECKING:
    from .run import Slices, SynthesisRun

VARIATIONS = 4  # pictures of the male body, each with its own values and grain
SPREAD = 0.06  # of a structure's value; our choice
# The phantom's own tissue names in the words of `tissues.tsv`.
_TISSUES = {
    "outside": "air", "skin": "skin", "fat": "fat", "muscle": "muscle", "lung": "lung", "bone": "marrow",
    "marrow": "marrow", "medulla": "kidney", "wall": "muscle",
    "vessel": "blood", "cavity": "blood", "liver": "liver", "spleen": "spleen", "kidney": "kidney",
    "pancreas": "pancreas", "bile": "bile", "urine": "water", "bowel": "bowel", "airway": "air",
}  # fmt: skip


def pairs(run: SynthesisRun, part: Literal["train", "test"], data: Path) -> list[Slices]:
    """Slices both ways: source and direction are the condition, the other picture is the target."""
    from ...imaging.geometry import resample
    from .run import Slices, work_grid

    sex = "male" if part == "train" else "female"
    case = next(c for c in hra_phantom.DATASET.load(data / hra_phantom.DATASET.folder) if c.patient == sex)
    grid = work_grid(case.grid, run.spacing_mm, run.longest)
    labels = resample(np.ascontiguousarray(case.labels), case.grid, grid, order=0).astype(np.uint8)
    labels = without_cores(labels, hra_phantom.CORED)
    labels = labels[:, :, :: 2 if part == "train" else 8]
    found = []
    for number in range(VARIATIONS if part == "train" else 1):
        both = {
            made: _picture(labels, made, np.random.default_rng([run.schedule.seed, number])) for made in ("ct", "mr")
        }
        for source, target in (("ct", "mr"), ("mr", "ct")):
            flags = np.zeros((len(both[source]), 2, *both[source].shape[1:]), np.float32)
            flags[:, 0 if target == "ct" else 1] = 1.0
            maps = np.concatenate([both[source][:, None], flags], axis=1)
            stacked = np.ascontiguousarray(labels.transpose(2, 0, 1))
            found.append(Slices(sex, f"{sex} {number} to {target}", both[target], maps, stacked))
    return found


def phantom_priors(modality: Made) -> dict[int, Prior]:
    """Label value of the phantom -> its prior; mixed tissue is painted as the first of the two."""
    look = hra_phantom.APPEARANCE
    table = {**look.tissue_of, **{label: names[0] for label, names in look.mixed.items()}}
    table = {label: table[core_of(label)] if label in hra_phantom.CORED else name for label, name in table.items()}
    layers = look.layers
    assert layers is not None
    shells = {layers.first + n: "skin" if n == 0 else "fat" if n < 6 else "muscle" for n in range(layers.count)}
    return {label: of_tissue(_TISSUES[name], modality) for label, name in {**table, **shells}.items()}


def _picture(labels: np.ndarray, modality: Made, rng: np.random.Generator) -> np.ndarray:
    picture = classical(labels, phantom_priors(modality), modality, rng, variation=Variation(value=SPREAD))
    return np.ascontiguousarray(to_unit(picture, modality).transpose(2, 0, 1))
