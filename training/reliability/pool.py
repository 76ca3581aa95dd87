"""`ostensor eval CONFIG --pool A,B,C`: per scan the member of least uncertainty (DAUGS), against the rest of the pool.

Members are runs (`ostensor fit CONFIG --seed N`) or the bundled network. Every member answers by the mean of overlapping
patches, so that only the choice differs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from ...imaging.errors import BadCall, Unavailable
from ...imaging.masks.dice import dice
from ...models.catalogue import card
from ...models.inference.decisions import Decisions
from ...models.inference.preprocess import Prepared, prepare, restore
from ...models.language.satmini.predictor import SatMiniPredictor
from ...models.load import load_predictor
from ...models.uncertainty.selecting import OverlapMaps, choose, overlap_maps, u_pp
from ..cases import Case
from ..folders import Folders
from ..report_sections import write_section
from ..segmenting.config import RunConfig, network_of
from .adapting import SPOILT
from .calibrate import spread

FAILED = 0.5  # Dice below which a mask is a failure; our choice
SHARE = 0.65  # of a side that a patch covers; DAUGS: half
STEPS = 3  # patches per axis, about


@dataclass(frozen=True)
class Picked:
    """One scan: mean Dice over its structures, of every member, of their mean, and who was chosen.

    Attributes:
        scores: member -> U_pp.
        chosen: None where every member marked nothing; then the mean of all is taken.
    """

    change: str
    dice: Mapping[str, float]
    ensemble: float
    scores: Mapping[str, float]
    chosen: str | None

    @property
    def selected(self) -> float:
        """Dice of the chosen member."""
        return self.ensemble if self.chosen is None else self.dice[self.chosen]


def member(plan: RunConfig, name: str, *, runs: Path, threads: int | None = None) -> SatMiniPredictor:
    """A run's averaged network, or the bundled one of that name.

    Raises:
        Unavailable: no such run, or it is of another network.
    """
    path = runs / name / "checkpoint.pt"
    if not path.exists():
        if name != plan.name:
            raise Unavailable(
                f"There is no run '{name}'. Train it with `ostensor fit CONFIG --seed N`, or name '{plan.name}'."
            )
        loaded = load_predictor(name, threads=threads)
        assert isinstance(loaded, SatMiniPredictor)
        return loaded
    net = network_of(plan)
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["average"])
    except RuntimeError as error:
        raise Unavailable(f"The run '{name}' is of another network than '{plan.name}'. Train it again.") from error
    decisions = Decisions(plan.sided, {}, frozenset(plan.single), plan.views, plan.along_mm, plan.mirrored_edge)
    return SatMiniPredictor(net, plan.preparation, card(plan.name), threads=threads, decisions=decisions)


def measure(
    plan: RunConfig, members: Sequence[str], folders: Folders, *, most: int = 8, threads: int | None = None
) -> list[Picked]:
    """What is chosen on held-out cases, as they are and spoilt.

    Raises:
        BadCall: fewer than two members.
    """
    if len(set(members)) < 2:
        raise BadCall(f"A pool of {len(set(members))} leaves no choice. Name at least two runs, separated by commas.")
    pool = {name: member(plan, name, runs=folders.runs, threads=threads) for name in members}
    dataset = plan.tests[0]
    claimed = card(plan.name).claimed
    names = {name: values for name, values in dataset.structures.items() if not claimed or name in claimed}
    found: list[Picked] = []
    cases = spread(dataset.cases(folders.data, "test"), most)
    for case in track(cases, description="pool", disable=not sys.stderr.isatty(), transient=True):
        found += picks_of(pool, case, names)
    return found


def picks_of(
    pool: Mapping[str, SatMiniPredictor], case: Case, structures: Mapping[str, tuple[int, ...]]
) -> Iterator[Picked]:
    """One choice per change of a case; none where it shows none of the structures, as nothing could be measured."""
    truths = {name: np.isin(case.labels, values) for name, values in structures.items()}
    shown = [name for name, truth in truths.items() if truth.any()]
    if not shown:
        return
    for change, apply in SPOILT.items():
        volume = apply(case, np.random.default_rng(0)).volume
        assert volume is not None
        maps: dict[str, OverlapMaps] = {}
        dice: dict[str, float] = {}
        for name, predictor in pool.items():
            prepared = prepare(volume, predictor.how)
            maps[name] = _maps(predictor, prepared, shown)
            dice[name] = _dice(maps[name].mean, prepared, shown, truths)
        scores = {name: u_pp(one) for name, one in maps.items()}
        together = np.mean([one.mean for one in maps.values()], axis=0)
        yield Picked(change, dice, _dice(together, prepared, shown, truths), scores, choose(scores).member)


def _maps(predictor: SatMiniPredictor, prepared: Prepared, names: Sequence[str]) -> OverlapMaps:
    patch = [max(1, round(SHARE * n)) if n > 16 else n for n in prepared.array.shape]
    stride = [max(1, math.ceil((n - p) / (STEPS - 1))) for n, p in zip(prepared.array.shape, patch, strict=True)]
    return overlap_maps(
        prepared.array, lambda piece: predictor.probabilities(np.ascontiguousarray(piece), names), patch=patch, stride=stride
    )  # fmt: skip


def _dice(
    mean: npt.NDArray[np.float64],
    prepared: Prepared,
    names: Sequence[str],
    truths: Mapping[str, npt.NDArray[np.bool_]],
) -> float:
    p = np.clip(mean, 1e-6, 1 - 1e-6)
    logits = np.log(p / (1 - p)).astype(np.float32)
    found = [restore(logit, prepared) for logit in logits]
    return float(np.mean([dice(m, truths[n]) for m, n in zip(found, names, strict=True)]))


def table(found: Sequence[Picked]) -> str:
    """Markdown: a row per change, mean Dice over scans, and failures."""
    members = list(found[0].dice)
    best = max(members, key=lambda name: float(np.mean([one.dice[name] for one in found])))
    lines = [
        "| scan | scans | mean member | best single | mean of probabilities | DAUGS choice | oracle | best member chosen |",
        f"|{'---|' * 8}",
    ]
    for change in (*SPOILT, "all"):
        some = [one for one in found if change in (one.change, "all")]
        if not some:
            continue
        columns = [
            [float(np.mean(list(one.dice.values()))) for one in some],
            [one.dice[best] for one in some],
            [one.ensemble for one in some],
            [one.selected for one in some],
            [max(one.dice.values()) for one in some],
        ]
        cells = [f"{np.mean(values):.3f} ({sum(v < FAILED for v in values)})" for values in columns[1:]]
        hits = sum(one.chosen is not None and one.selected == max(one.dice.values()) for one in some)
        lines.append(f"| {change} | {len(some)} | {np.mean(columns[0]):.3f} | {' | '.join(cells)} | {hits} |")
    chosen = ", ".join(f"{name} {sum(one.chosen == name for one in found)}" for name in members)
    return "\n".join([
        *lines, "",
        f"Best single is the member best over all of these scans, {best}, known only afterwards; the oracle takes the "
        f"best for each scan. In brackets: scans whose mean Dice is below {FAILED:g}. Chosen: {chosen}.",
    ])  # fmt: skip


def write(name: str, found: Sequence[Picked], path: Path) -> None:
    """Put the pool's table into the report."""
    write_section(f"selection from a pool, {name}", table(found), path)
