"""`ostensor eval CONFIG --robust`: Dice when the scan is turned, cropped, coarser, noisier or of another contrast.

Also whether the text steers: another word must give another mask, a synonym the same, and a word for
something that is not there (almost) nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray
from ...models.language.satmini.predictor import SatMiniPredictor
from ..cases import Case, Dataset
from ..folders import Folders
from ..regimes.by_words import names_of
from ..segmenting.config import RunConfig
from ..segmenting.evaluate import complete_region, predictor_of
from .calibrate import spread
from .changes import changes_for

CASES = 6  # held-out cases looked at, evenly spread; every one under every change


@dataclass(frozen=True)
class Robustness:
    """What `measure` found for one model.

    Attributes:
        dice: change -> mean Dice over structures and cases; "unchanged" is the reference.
        own, other: mean Dice of the mask with the word's own structure, and with the best other structure that
            shares no label with it.
        synonym: mean change of a structure's Dice in a scan when it is asked by a synonym and decided on as by its
            name; None without synonyms. The tools resolve words to names first, so there it is 0.
        false_ml: mean volume marked for words of absent structures, per scan; voxels when `has_ml` is False.
    """

    name: str
    dataset: str
    cases: int
    dice: Mapping[str, float]
    own: float
    other: float
    synonym: float | None
    false_ml: float
    has_ml: bool


def measure(plan: RunConfig, folders: Folders, *, threads: int | None = None, cases: int = CASES) -> Robustness:
    """Robustness of a trained or bundled network on its first test set."""
    predictor = predictor_of(plan, folders, threads)
    dataset = plan.tests[0]
    every = dataset.cases(folders.data, "test")
    every = [case for case in every if np.any(case.labels)] or every
    chosen = spread(every, cases)
    claimed = set(predictor.card.claimed)
    names = [name for name in dataset.structures if name in plan.structures and (not claimed or name in claimed)]
    found: dict[str, list[float]] = {}
    for case in track(chosen, description=plan.name, disable=not sys.stderr.isatty(), transient=True):
        for change, apply in changes_for(case).items():
            changed = apply(case, np.random.default_rng(0))
            found.setdefault(change, []).extend(_dice(predictor, changed, names, dataset).values())
    own, other, synonym, false_ml = _steering(predictor, plan, dataset, chosen, names)
    return Robustness(
        name=plan.name,
        dataset=dataset.name,
        cases=len(chosen),
        dice={change: float(np.mean(values)) for change, values in found.items()},
        own=own,
        other=other,
        synonym=synonym,
        false_ml=false_ml,
        has_ml=dataset.plausible,
    )


def _masks(predictor: SatMiniPredictor, case: Case, words: Sequence[str]) -> dict[str, BoolArray]:
    assert case.volume is not None
    features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
    return {one.structure: one.array for one in predictor.decode(features, words)}


def _dice(predictor: SatMiniPredictor, case: Case, names: Sequence[str], dataset: Dataset) -> dict[str, float]:
    truths = {name: np.isin(case.labels, dataset.structures[name]) for name in names}
    where = complete_region(case.grid, dataset)
    shown = [name for name in names if truths[name].any()]
    return {name: dice(mask & where, truths[name]) for name, mask in _masks(predictor, case, shown).items()}


def _steering(
    predictor: SatMiniPredictor, plan: RunConfig, dataset: Dataset, cases: Sequence[Case], names: Sequence[str]
) -> tuple[float, float, float | None, float]:
    told = predictor.decisions.sided  # answered by their pair's name, so a synonym is never asked
    synonyms = {
        name: sorted(set(terms) - {name}) if name not in told else [] for name, terms in names_of(names).items()
    }
    predictor.decisions = predictor.decisions.under_synonyms(synonyms)
    absent = [name for name in dataset.absent or plan.sources[0].dataset.absent if name not in plan.structures]
    own: list[float] = []
    other: list[float] = []
    changed: list[float] = []
    wrong: list[float] = []
    for case in cases:
        words = [*names, *(term for terms in synonyms.values() for term in terms), *absent]
        masks, where = _masks(predictor, case, words), complete_region(case.grid, dataset)
        truths = {name: np.isin(case.labels, dataset.structures[name]) for name in names}
        for name in (name for name in names if truths[name].any()):
            right = dice(masks[name] & where, truths[name])
            strangers = [n for n in names if not set(dataset.structures[n]) & set(dataset.structures[name])]
            own.append(right)
            other.extend([max(dice(masks[name] & where, truths[n]) for n in strangers)] if strangers else [])
            changed.extend(abs(dice(masks[term] & where, truths[name]) - right) for term in synonyms[name])
        size = case.grid.voxel_ml if dataset.plausible else 1.0
        wrong.extend(float(masks[name].sum()) * size for name in absent)
    return (
        float(np.mean(own)),
        float(np.mean(other)) if other else 0.0,
        float(np.mean(changed)) if changed else None,
        float(np.mean(wrong)) if wrong else 0.0,
    )


def write(found: Robustness, path: Path) -> None:
    """Put a model's section into the report, in place of its old one."""
    head, *sections = (path.read_text(encoding="utf-8") if path.exists() else _HEAD).split("\n## ")
    kept = {part.split("\n", 1)[0]: part.rstrip() for part in sections}
    unit = "ml" if found.has_ml else "voxels"
    rows = "\n".join(f"| {change} | {value:.3f} |" for change, value in found.dice.items())
    synonym = "no synonyms" if found.synonym is None else f"{found.synonym:.3f}"
    kept[found.name] = (
        f"{found.name}\n\n{found.cases} held-out cases of `{found.dataset}`.\n\n| change | mean Dice |\n|---|---|\n{rows}\n\n"
        f"Own word {found.own:.3f}, best other structure under that word {found.other:.3f}; mean change of Dice under a "
        f"synonym: {synonym}; marked for a word that is not there: {found.false_ml:.2f} {unit} per scan and word."
    )
    text = head.rstrip() + "\n" + "".join(f"\n## {kept[name]}\n" for name in sorted(kept))
    write_atomically(path, lambda file: file.write(text.encode()))


_HEAD = """# Robustness of the bundled networks

Written by `ostensor eval CONFIG --robust`, seed 0: mean Dice over the claimed structures of up to six held-out cases when
the scan is changed. Axes are turned and spacing is changed for image and labels together; noise and contrast touch the
image alone. Words of structures that these scans cannot contain must mark nothing.
"""
