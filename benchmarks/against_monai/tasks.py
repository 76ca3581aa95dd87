"""What both sides of `bench segment` and `bench organ` are given: a scan, a network, names, and where known the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...imaging.phantoms import torso_ct
from ...imaging.volume import Grid, Volume
from ...models.catalogue import WEIGHTS_FOLDER, card
from ...models.inference.preprocess import Preparation
from ...models.interface import Precision, Predictor
from ...models.language.satmini.network import SatMini
from ...models.language.satmini.predictor import SatMiniPredictor
from ...models.language.satmini.weights import load_network
from ...models.load import load_predictor
from ...training.data.brain import OTHER_HEADS
from ...training.data.mni_template import read_template
from .made_network import HOW, NAMES, load_or_train

SHAPE, SPACING_MM = (256, 256, 160), (1.5, 1.5, 3.0)
ORGAN = "hippocampi"


@dataclass(frozen=True)
class Task:
    """The same work for both sides.

    Attributes:
        net, how: the network that draws, and its input.
        words: name -> what that network is asked.
        predictor: ours, by threads and precision.
        warm: a small scan that is looked at before anything is timed.
        truth: masks of those names that have one.
    """

    volume: Volume
    warm: Volume
    net: SatMini
    how: Preparation
    names: tuple[str, ...]
    predictor: Callable[[int, Precision], Predictor]
    words: Mapping[str, str] = field(default_factory=dict)
    truth: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


def body(weights: Path) -> Task:
    """A torso CT of 256 x 256 x 160 voxels, no body of which the network was taught, with its true masks."""
    field_mm = ((-192.0, 192.0), (-192.0, 192.0), (-230.0, 250.0))
    made = torso_ct(spacing_mm=SPACING_MM, field_mm=field_mm, seed=0)
    net = load_or_train(weights, lambda share, words: None)
    corner = Volume(made.volume.array[:96, :96, :32], Grid((96, 96, 32), made.volume.grid.affine), "ct")

    def predictor(threads: int, precision: Precision) -> Predictor:
        return SatMiniPredictor(net, HOW, card("sat-mini-torso"), threads=threads, precision=precision)

    truth = {name: mask.array for name, mask in made.masks.items()}
    return Task(made.volume, corner, net, HOW, NAMES, predictor, {name: name for name in NAMES}, truth)


def head(data: Path | None) -> Task:
    """One organ of a head: found coarsely, then drawn in its box, against the drawing network over the whole head.

    The head is one with labels that no network here was taught where the data are at hand, else the MNI152 template.
    """
    if data is None:
        scan, grid = read_template("t1")
        volume, truth = Volume(scan, grid, "mr"), {}
    else:
        case = next(one for one in OTHER_HEADS.cases(data, "test") if one.patient == "ecog")
        assert case.volume is not None
        volume, truth = case.volume, {ORGAN: np.isin(case.labels, OTHER_HEADS.structures[ORGAN])}
    entry = card("sat-mini-hippocampus")
    net = load_network(entry, WEIGHTS_FOLDER / entry.weights_file).eval()
    assert isinstance(net, SatMini)
    coarse = np.ascontiguousarray(volume.array[::3, ::3, ::3])
    shape = (coarse.shape[0], coarse.shape[1], coarse.shape[2])
    small = Volume(coarse, Grid(shape, volume.grid.affine @ np.diag([3.0, 3.0, 3.0, 1.0])), "mr")

    def predictor(threads: int, precision: Precision) -> Predictor:
        return load_predictor("hippocampus-in-head", threads=threads, precision=precision)

    how = Preparation.from_json(entry.facts["preparation"])
    return Task(volume, small, net, how, (ORGAN,), predictor, {ORGAN: ORGAN}, truth)
