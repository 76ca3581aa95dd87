"""A data set without files: boxes with a bright and a dark organ, eight patients, two held out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.inference.preprocess import Preparation
from ostensor.models.language.satmini.network import SatMiniConfig
from ostensor.training.cases import Case, Dataset, hold_out
from ostensor.training.sampling import View
from ostensor.training.segmenting.config import RunConfig, Source
from ostensor.training.trainer import Schedule

SHAPE = (23, 19, 17)


def cases(_folder: Path) -> Iterator[Case]:
    for number in range(8):
        rng = np.random.default_rng(number)
        grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
        labels = np.zeros(SHAPE, np.uint8)
        x, y, z = rng.integers(2, 6, 3)
        labels[x : x + 7, y : y + 6, z : z + 8] = 1
        labels[x + 8 : x + 14, y + 2 : y + 11, z : z + 6] = 2
        array = np.full(SHAPE, 40.0) + 200 * (labels == 1) - 150 * (labels == 2) + rng.normal(0, 15, SHAPE)
        yield Case(f"p{number}", f"case{number}", Volume(array.astype(np.int16), grid, "ct"), labels, grid)


DATASET = Dataset(
    name="tiny", folder=".", structures={"liver": (1,), "spleen": (2,)}, absent=("heart", "aorta"), licence="CC0",
    use="any", sources=("made by the tests",), load=cases, held_out=hold_out(2, 0), mirrored={1: 2, 2: 1},
)  # fmt: skip


def plan(steps: int = 60) -> RunConfig:
    """A run that takes seconds."""
    return RunConfig(
        name="sat-mini-torso",  # borrows a card of the catalogue
        title="Tiny",
        modality="ct",
        sources=(Source(DATASET, 1.0),),
        tests=(DATASET,),
        network=SatMiniConfig(dims=3, features=(8, 16), finest=8, embed=8),
        preparation=Preparation(dims=3, spacing_mm=(2.0, 2.0, 2.0), intensity="ct"),
        view=View(patch=(20, 16, 16), rotate_deg=5, scale=0.05, elastic=0, noise=0.02, coarse=0, gamma=0, bias=0),
        schedule=Schedule(steps=steps, learning_rate=5e-3, warm_up=5, save_every=1000, ema=0.9, freeze_norm=0.7),
        batch=2,
        real_share=1.0,
        sides="network",
        options={"negatives": 1},
    )
