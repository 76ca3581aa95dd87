"""`ostensor eval CONFIG --calibrate`: from a network's signs of doubt to the Dice to expect, and what that is worth.

Half of the held-out patients fit the regression and its two limits, the other half are reported on; no patient is
on both sides, and none was trained on. Scans are taken as they are, spoilt in several ways, and of another kind.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy import optimize, stats

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice
from ...models.catalogue import card
from ...models.inference.calibration import SIGNS, Calibration, expected_calibration_error, path_of, way_of
from ...models.inference.presence import TRACES, Presence
from ...models.language.satmini.predictor import SatMiniPredictor
from ...models.load import load_predictor
from ..cases import Case, Dataset
from ..folders import Folders
from ..segmenting.config import RunConfig
from .changes import (
    SCREEN_HU,
    Change,
    any_resized,
    bent,
    blurred_by_motion,
    cropped,
    halved,
    inverted,
    low_dose,
    noisy,
    on_screen,
)
from .limits import HONEST, Row, coverage, limits, spread_of_sizes
from .wrong_scans import wrong_scans

MOST_CASES, MOST_SLICES = 12, 60  # per side; evenly spread; slices that come one by one are quickly asked
RIDGE = 1.0  # of the regression of Dice, on centred and scaled signs
RIDGE_OF_PRESENCE = 3.0  # our choice; from 1 to 10 little changes


@dataclass(frozen=True)
class Quality:
    """What an expected Dice is worth on patients it was not fitted on; `raw` is the mean sigmoid's.

    Attributes:
        ece, brier: error and mean squared error of expected against true Dice.
        spearman: rank correlation with the true Dice; None where all are alike.
    """

    masks: int
    ece_raw: float
    ece: float
    brier_raw: float
    brier: float
    spearman_raw: float | None
    spearman: float | None


CHANGES: Mapping[str, Change] = {
    "none": lambda case, rng: case,
    "noise": noisy(0.1),
    "low dose": low_dose,
    "motion": blurred_by_motion,
    "crop": cropped,
    "half": halved,
    "window": lambda case, rng: on_screen(str(rng.choice(list(SCREEN_HU))))(case, rng),
    "contrast": lambda case, rng: bent(float(rng.choice([0.7, 1.4])))(case, rng),
    "larger": any_resized(3.0),
    "smaller": any_resized(0.5),
    "wrong modality": inverted,
}


def halves(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Cases to fit on and cases to report on: every second patient each; a single patient fits nothing."""
    patients = sorted({case.patient for case in cases})
    mine = set(patients[1::2])
    return [c for c in cases if c.patient in mine], [c for c in cases if c.patient not in mine]


def rows_of(
    predictor: SatMiniPredictor, cases: Sequence[Case], dataset: Dataset, names: Sequence[str]
) -> Iterator[Row]:
    """Every claimed structure in every case under every change."""
    for case in track(list(cases), description=predictor.card.name, disable=not sys.stderr.isatty(), transient=True):
        for number, (change, apply) in enumerate(CHANGES.items()):
            if change == "window" and predictor.card.modalities != ("ct",):
                continue  # a CT's windows
            rng = np.random.default_rng([zlib.crc32(case.name.encode()), number])
            yield from _asked(predictor, apply(case, rng), dataset.structures, names, change)


def _asked(
    predictor: SatMiniPredictor, case: Case, truths: Mapping[str, tuple[int, ...]], names: Sequence[str], change: str
) -> Iterator[Row]:
    assert case.volume is not None
    features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
    for found in predictor.decode(features, names):
        truth = np.isin(case.labels, truths.get(found.structure, ()))
        right = dice(found.array, truth) if found.signs else 0.0
        sizes = int(truth.sum()), int(found.array.sum())
        yield Row(case.patient, found.structure, change, found.signs, right, *sizes, found.traces)


def fit(rows: Sequence[Row], weights_sha256: str, way: str) -> Calibration:
    """The regressions of Dice on signs, over masks that are not empty, and of presence on traces, with their limits.

    Both minimise cross-entropy against the true values plus a ridge; structures may have offsets of their own. What is there and
    what is not weigh alike in the regression of presence, so that a chance does not rest on how often the data show a structure.
    """
    marked = [row for row in rows if row.signs]
    if len(marked) < 10 * len(SIGNS):
        raise BadCall(f"{len(marked)} masks are too few to calibrate on. At least {10 * len(SIGNS)} are needed.")
    honest = [row for row in rows if row.change in HONEST]
    telling = [row for row in honest if row.tells]
    presence = None
    if len(telling) >= 10 * len(TRACES):
        found = [float(row.voxels > 0) for row in telling]
        names = [row.structure for row in telling]
        there = float(np.mean(found))
        alike = [0.5 / there if one else 0.5 / (1 - there) for one in found] if 0 < there < 1 else None
        law = regress([row.traces for row in telling], found, names, ridge=RIDGE_OF_PRESENCE, weights=alike)
        presence = Presence(**law)
    dice_law = regress([row.signs for row in marked], [row.dice for row in marked], [row.structure for row in marked])
    made = Calibration(weights_sha256=weights_sha256, way=way, sure_from=1.0, presence=presence, **dice_law)
    made = limits(made, honest)
    return replace(made, spread=spread_of_sizes(made, honest))


def regress(
    signs: Sequence[Sequence[float]],
    truth: Sequence[float],
    names: Sequence[str],
    *,
    ridge: float = RIDGE,
    weights: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Logistic regression of values of 0 to 1 on signs: centre, scale, weights, bias and an offset for every name.

    Args:
        weights: of every value; all count alike without.
    """
    x, y = np.array(signs), np.array(truth)
    heavy = np.ones(len(x)) if weights is None else np.array(weights)
    centre, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    every = sorted(set(names))
    own = np.array([[name == one for one in every] for name in names], dtype=float)
    design = np.hstack([(x - centre) / scale, own, np.ones((len(x), 1))])
    penalty = np.array([ridge] * (design.shape[1] - 1) + [0.0])

    def loss(w: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z = design @ w
        value = heavy @ (np.logaddexp(0, z) - y * z) + 0.5 * penalty @ w**2
        return float(value), design.T @ (heavy * (1 / (1 + np.exp(-z)) - y)) + penalty * w

    w = optimize.minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x
    count = x.shape[1]
    return {
        "centre": tuple(centre.tolist()),
        "scale": tuple(scale.tolist()),
        "weights": tuple(w[:count].tolist()),
        "bias": float(w[-1]),
        "offsets": dict(zip(every, w[count:-1].tolist(), strict=True)),
    }


def quality(made: Calibration, rows: Sequence[Row]) -> Quality:
    """How good the expected Dice is, beside the mean sigmoid's."""
    marked = [row for row in rows if row.signs]
    raw = [row.signs[SIGNS.index("mean sigmoid")] for row in marked]
    said = [made.expected_dice(row.structure, row.signs) for row in marked]
    true = [row.dice for row in marked]
    return Quality(
        masks=len(marked),
        ece_raw=expected_calibration_error(raw, true),
        ece=expected_calibration_error(said, true),
        brier_raw=float(np.mean(np.subtract(raw, true) ** 2)),
        brier=float(np.mean(np.subtract(said, true) ** 2)),
        spearman_raw=spearman(raw, true),
        spearman=spearman(said, true),
    )


def spearman(said: Sequence[float], true: Sequence[float]) -> float | None:
    """Rank correlation; None where one side has fewer than three values."""
    if len(set(true)) < 3 or len(set(said)) < 3:
        return None
    return float(stats.spearmanr(said, true).statistic)


def calibrate(plan: RunConfig, folders: Folders, *, threads: int | None = None) -> dict[str, Quality]:
    """Calibrate the bundled weights of a configuration; writes the file beside them and the section of the report.

    Returns:
        change ("all" for every one) -> quality on the patients reported on.

    Raises:
        BadCall: fewer than two held-out patients with expert labels.
    """
    folder = folders.weights
    entry = card(plan.name, folder=folder)
    predictor = load_predictor(plan.name, threads=threads, folder=folder)
    assert isinstance(predictor, SatMiniPredictor)
    dataset = plan.tests[0]
    mine, theirs = halves(dataset.cases(folders.data, "test"))
    if not mine:
        raise BadCall(
            f"'{plan.name}' has one held-out patient. At least two are needed, to fit on one and report on another."
        )
    names = [name for name in dataset.structures if name in entry.claimed]
    rows = {}
    for label, cases in (("fit", mine), ("report", theirs)):
        chosen = spread(cases, MOST_SLICES if all(case.grid.is_2d for case in cases) else MOST_CASES)
        rows[label] = list(rows_of(predictor, chosen, dataset, names))
        for wrong in wrong_scans(folders.data, dataset.name, part=label):
            rows[label] += _asked(predictor, wrong, {}, names, "wrong kind")
    made = fit(rows["fit"], entry.sha256, way_of(entry.facts))
    found = {"all": quality(made, rows["report"])}
    for change in (*CHANGES, "wrong kind"):
        some = [row for row in rows["report"] if row.change == change]
        if any(row.signs for row in some):
            found[change] = quality(made, some)
    honest = [row for row in rows["report"] if row.change in HONEST]
    record: dict[str, Any] = {
        "sizes": dict(zip(("masks", "covered", "width"), coverage(made, honest), strict=True)),
        "dataset": dataset.name,
        "fitted_on": sorted({case.patient for case in mine}),
        "reported_on": len({row.patient for row in rows["report"] if row.change == "none"}),
        "seed": 0,
        **{change: vars(one) for change, one in found.items()},
    }
    made = replace(made, record=record)
    text = json.dumps(made.to_json(), indent=1) + "\n"
    write_atomically(path_of(entry, folder), lambda file: file.write(text.encode()))
    return found


def spread(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many cases, evenly spread."""
    return [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int))]
