"""`ostensor eval CONFIG`: Dice on held-out patients, beside the copied atlas, with intervals."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from rich.progress import track

from ...imaging.errors import BadCall
from ...imaging.masks.dice import Counts, counts_of, dice_of_counts
from ...imaging.volume import Grid
from ...models.card import Card
from ...models.catalogue import catalogue
from ...models.inference.decisions import Decisions
from ...models.inference.preprocess import Preparation
from ...models.interface import Predictor
from ...models.language.satmini.engine import Segmenter
from ...models.language.satmini.predictor import SatMiniPredictor
from ...models.language.satmini.shelf import card_of
from ...models.load import load_predictor
from ..cases import Case, Dataset
from ..folders import Folders
from ..regimes.table import objective_row
from ..regimes.tuning.adapters import merge_, wrap_
from ..scores import patient_interval
from ..start import averaged_weights
from .atlas import best_atlas, copied, placed
from .config import RunConfig, Source, network_of
from .cutoffs import cutoffs_of

LEAST_DICE = 0.3  # below this a structure is not claimed whatever its rival does; our choice


@dataclass(frozen=True)
class Score:
    """One structure on held-out patients.

    Attributes:
        dice: mean over cases that show the structure.
        low, high: 95 % bootstrap interval of that mean, patients resampled.
        atlas: the copied atlas's mean Dice on the same cases.
        cases: how many.
        false_ml: mean volume wrongly marked in cases without the structure; None when there is none or no voxel size.
        truth_ml: smallest and largest true volume; None without voxel size.
        outside_ml: mean volume marked outside the truth in cases that show the structure; None without voxel size.
    """

    structure: str
    dataset: str
    dice: float
    low: float
    high: float
    atlas: float
    cases: int
    false_ml: float | None
    truth_ml: tuple[float, float] | None
    outside_ml: float | None

    @property
    def may_be_claimed(self) -> bool:
        """It beats the copied atlas, and is more than a rough idea of the place."""
        return self.dice > self.atlas and self.dice >= LEAST_DICE


class Taught(Protocol):
    """What was taught, and how scans are prepared for the copied atlas."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The data sets it learned from."""

    @property
    def structures(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> label values."""

    @property
    def preparation(self) -> Preparation:
        """Of the copied atlas, the trivial rival."""


def trained_model(plan: RunConfig, folders: Folders) -> Segmenter:
    """The averaged weights of a run.

    Raises:
        BadCall: the run taught no structures.
        Unavailable: the run has no checkpoint yet.
    """
    if objective_row(plan.objective).pretext:
        raise BadCall(
            f"'{plan.name}' learned from images alone and knows no structure. Begin another run with it, "
            f'start_run = "{plan.name}", and measure that one.'
        )
    weights = averaged_weights(folders.checkpoint(plan.name), plan.name, "")
    model = network_of(plan)
    if plan.adapters is not None:
        wrap_(model, plan.adapters)
    model.load_state_dict(weights)
    merge_(model)
    return model.eval()


def evaluate(plan: RunConfig, folders: Folders, *, threads: int | None = None) -> list[Score]:
    """Scores of every taught structure that a held-out case shows.

    The run's averaged weights are measured; where there is no run, the bundled ones.
    """
    predictor = predictor_of(plan, folders, threads)
    scores: list[Score] = []
    for dataset in plan.tests:
        scores += evaluate_on(dataset, plan, predictor, folders.data)
    return scores


def predictor_of(plan: RunConfig, folders: Folders, threads: int | None = None) -> SatMiniPredictor:
    """The run's averaged network ready to ask, or the bundled one where there is no run."""
    entry = card_of_run(plan)
    if entry.is_ready and not folders.checkpoint(plan.name).exists():
        loaded = load_predictor(plan.name, threads=threads)
        assert isinstance(loaded, SatMiniPredictor)
        return loaded
    net = trained_model(plan, folders)
    return SatMiniPredictor(net, plan.preparation, entry, threads=threads, decisions=decisions_of(plan, net, folders))


def card_of_run(plan: RunConfig) -> Card:
    """The card of a run's name, or a first one where the catalogue knows none."""
    known = next((one for one in catalogue() if one.name == plan.name), None)
    return known or card_of(
        {
            "name": plan.name,
            "title": plan.title,
            "modality": plan.modality,
            "network": plan.network.to_json(),
            "preparation": plan.preparation.to_json(),
            "licence": "",
            "purpose": "research-only",
            "vocabulary": list(plan.structures),
            "claimed": [],
            "sha256": "",
        },
        Path(),
    )


def decisions_of(plan: RunConfig, net: Segmenter, folders: Folders) -> Decisions:
    """How a run's logits become masks."""
    return Decisions(
        plan.sided,
        cutoffs_of(plan, net, folders),
        frozenset(plan.single),
        plan.views,
        plan.along_mm,
        plan.mirrored_edge,
    )


def evaluate_on(dataset: Dataset, plan: Taught, predictor: Predictor, data: Path) -> list[Score]:
    """Scores of a loaded network on the held-out cases of one data set."""
    structures = [name for name in dataset.structures if name in plan.structures]
    train = [case for source in plan.sources for case in source.dataset.cases(data, "train")]
    train = [case for case in train if case.volume is None or dataset.name in {s.dataset.name for s in plan.sources}]
    atlas = best_atlas(train, plan.preparation, plan.structures)
    ours: dict[str, dict[tuple[str, str], Counts]] = defaultdict(dict)
    theirs: dict[str, dict[tuple[str, str], Counts]] = defaultdict(dict)
    voxel_ml: dict[tuple[str, str], float] = {}
    for case in track(
        dataset.cases(data, "test"), description=dataset.name, disable=not sys.stderr.isatty(), transient=True
    ):
        assert case.volume is not None
        key = (case.patient, "" if case.grid.is_2d else case.name)  # slices of a patient count together
        voxel_ml[key] = case.grid.voxel_ml
        where = complete_region(case.grid, dataset)
        features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
        target = placed(case, plan.preparation)
        copy = copied(atlas, target)
        for found in predictor.decode(features, structures):
            values = dataset.structures[found.structure]
            truth = np.isin(case.labels, values)
            add_counts(ours[found.structure], key, counts_of(found.array & where, truth))
            rival = np.isin(copy, plan.structures[found.structure])
            add_counts(theirs[found.structure], key, _rival_counts(rival, np.isin(target.labels, values), dataset))
    return [_score(name, dataset, ours[name], theirs[name], voxel_ml) for name in structures if _shown(ours[name])]


def _rival_counts(rival: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], dataset: Dataset) -> Counts:
    if dataset.region_mm is not None:
        rows = np.flatnonzero(truth.any(axis=(0, 1)))
        outside = np.ones(truth.shape[2], dtype=bool)
        outside[rows[0] : rows[-1] + 1] = False
        rival = rival.copy()
        rival[:, :, outside] = False
    return counts_of(rival, truth)


def complete_region(grid: Grid, dataset: Dataset) -> npt.NDArray[np.bool_]:
    """Where the data set's labels are complete."""
    if dataset.region_mm is None:
        return np.ones(grid.shape, dtype=np.bool_)
    low, high = dataset.region_mm
    index = np.indices(grid.shape, dtype=np.float32).reshape(3, -1)
    points = grid.affine[:3, :3].astype(np.float32) @ index + grid.affine[:3, 3:].astype(np.float32)
    inside = (points >= np.array(low)[:, None]) & (points <= np.array(high)[:, None])
    return np.asarray(inside.all(axis=0).reshape(grid.shape))


def add_counts(counts: dict[tuple[str, str], Counts], key: tuple[str, str], more: Counts) -> None:
    """Add what was counted in a scan, or a slice, to what its key has."""
    old = counts.get(key, (0, 0, 0))
    counts[key] = (old[0] + more[0], old[1] + more[1], old[2] + more[2])


def _shown(counts: dict[tuple[str, str], Counts]) -> bool:
    return any(truth > 0 for _both, _found, truth in counts.values())


def _score(
    name: str,
    dataset: Dataset,
    ours: dict[tuple[str, str], Counts],
    theirs: dict[tuple[str, str], Counts],
    voxel_ml: dict[tuple[str, str], float],
) -> Score:
    keys = [key for key, (_b, _f, truth) in ours.items() if truth > 0]
    empty = [key for key in ours if key not in keys]
    dice = np.array([dice_of_counts(ours[key]) for key in keys])
    low, high = patient_interval(dice, [patient for patient, _case in keys])
    sizes = [ours[key][2] * voxel_ml[key] for key in keys]
    wrong = [ours[key][1] * voxel_ml[key] for key in empty]
    outside = [(ours[key][1] - ours[key][0]) * voxel_ml[key] for key in keys]
    return Score(
        structure=name,
        dataset=dataset.name,
        dice=float(dice.mean()),
        low=low,
        high=high,
        atlas=float(np.mean([dice_of_counts(theirs[key]) for key in keys])),
        cases=len(keys),
        false_ml=float(np.mean(wrong)) if wrong and dataset.plausible else None,
        truth_ml=(min(sizes), max(sizes)) if dataset.plausible else None,
        outside_ml=float(np.mean(outside)) if dataset.plausible else None,
    )


def write_table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table."""
    lines = ["| structure | tested on | cases | Dice | 95 % interval | copied atlas |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.structure} | {one.dataset} | {one.cases} | {one.dice:.3f} | {one.low:.3f} to {one.high:.3f} | {one.atlas:.3f} |"
        for one in scores
    ]
    return "\n".join(lines)


def train_volumes_ml(cases: Sequence[Case], values: tuple[int, ...]) -> list[float]:
    """True volumes in ml over cases that show the structure."""
    volumes = [float(np.isin(case.labels, values).sum()) * case.grid.voxel_ml for case in cases]
    return [v for v in volumes if v > 0]
