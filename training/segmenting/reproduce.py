"""What every bundled network must answer, so that a changed file or engine is noticed: `python -m ostensor.training.segmenting.reproduce DATA models/weights/expected.json [NAME …]`.

Writes `models/weights/expected.json`, in float32, which every processor has: voxels and confidence per structure on a made-up scan that needs no data, and
Dice on the first held-out cases of its data set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice
from ...imaging.volume import Grid, Modality, Volume
from ...models.catalogue import catalogue
from ...models.language.satmini.predictor import SatMiniPredictor
from ...models.load import load_predictor
from ..configuration import read_configuration
from .config import RunConfig, read
from .evaluate import complete_region

FIRST = 2  # held-out cases compared


def bundled() -> list[str]:
    """Names of the networks that ship and take structure names."""
    return [card.name for card in catalogue() if card.weights == "bundled" and card.name.startswith("sat-mini-")]


def plan_of(name: str) -> RunConfig:
    """The bundled configuration of a bundled network."""
    return read(read_configuration(name.removeprefix("sat-mini-")))


def on_phantom(name: str, predictor: SatMiniPredictor) -> dict[str, list[float]]:
    """Structure -> voxels marked and confidence on a scan of noise-free nested ellipsoids."""
    volume = ellipsoids(predictor.how.dims, plan_of(name))
    features = predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    found = predictor.decode(features, predictor.card.claimed)
    return {one.structure: [int(one.array.sum()), round(one.confidence or 0.0, 4)] for one in found}


def ellipsoids(dims: int, plan: RunConfig) -> Volume:
    """Nested ellipsoids without symmetry, bright in MR and PET, of soft tissue, fat and bone in CT."""
    side = 1.0 if plan.preparation.longest else plan.preparation.spacing_mm[0]
    shape = (97, 89, 3 if dims == 2 else 83)
    grid = Grid(shape, np.diag([side, side, side, 1.0]), spacing_known=plan.preparation.longest is None)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    levels = {
        "ct": (-1000.0, -90.0, 45.0, 110.0, 300.0),
        "mr": (0.0, 220.0, 480.0, 700.0, 90.0),
        "pet": (0, 0.4, 1, 4, 9),
    }
    values = np.full(shape, levels[plan.modality][0], dtype=np.float32)
    for number, (radius, shift) in enumerate(((0.9, 0.0), (0.75, 0.03), (0.4, -0.2), (0.18, 0.25)), start=1):
        centre = np.array([shift, 0.5 * shift, 0.0])[:, None, None, None]
        squash = np.array([1.0, 1.2, 1.1])[:, None, None, None]
        values[(((at - centre) * squash) ** 2).sum(axis=0) < radius**2] = levels[plan.modality][number]
    modality: Modality = {"ct": "ct", "mr": "mr", "pet": "pet"}[plan.modality]  # type: ignore[assignment]
    return Volume(values, grid, modality)


def on_data(name: str, predictor: SatMiniPredictor, data: Path) -> dict[str, float]:
    """Structure -> mean Dice over the first held-out cases that show it."""
    plan = plan_of(name)
    dataset = plan.tests[0]
    found: dict[str, list[float]] = {}
    for case in [case for case in dataset.cases(data, "test") if case.labels.any()][:FIRST]:
        assert case.volume is not None
        features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
        shown = [n for n in predictor.card.claimed if np.isin(case.labels, dataset.structures.get(n, ())).any()]
        for one in predictor.decode(features, shown):
            truth = np.isin(case.labels, dataset.structures[one.structure])
            mask = one.array & complete_region(case.grid, dataset)
            found.setdefault(one.structure, []).append(dice(mask, truth))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def write(names: list[str], data: Path, path: Path) -> None:
    """Measure these networks again and put them into the file."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in names:
        predictor = load_predictor(name, threads=1, precision="fp32")
        assert isinstance(predictor, SatMiniPredictor)
        known[name] = {
            "sha256": predictor.card.sha256,
            "phantom": on_phantom(name, predictor),
            "dice": on_data(name, predictor, data),
        }
    text = json.dumps(known, indent=1, sort_keys=True) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


if __name__ == "__main__":
    write(sys.argv[3:] or bundled(), Path(sys.argv[1]), Path(sys.argv[2]))
