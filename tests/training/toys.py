"""Networks whose answers are known, and a scan whose grey values are: a bright liver in a dull body.

A toy answers from the prepared image alone, so its mask of a clean scan can be told by hand.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ostensor.imaging.volume import Grid, Volume
from ostensor.models.catalogue import card
from ostensor.models.inference.preprocess import Preparation
from ostensor.models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ostensor.models.language.satmini.predictor import SatMiniPredictor
from ostensor.training.cases import Case, Dataset, hold_out

SHAPE = (23, 29, 19)
LIVER = (slice(5, 14), slice(7, 20), slice(6, 13))
BODY_HU, LIVER_HU, CUT_HU = 40, 240, 140
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
PREPARATION = Preparation(dims=3, spacing_mm=(2.0, 2.0, 2.0), intensity="ct")
NAME = "sat-mini-torso"  # borrows a card of the catalogue
Answer = Callable[[torch.Tensor], torch.Tensor]


def prepared(hu: float) -> float:
    """What the preparation makes of Hounsfield units between -250 and 350."""
    return (hu - 50) / 150


class Toy(FixedClasses):
    """Logits of the first structure are a function of the image (b 1 x y z), those of any other the opposite."""

    def __init__(self, answer: Answer, names: tuple[str, ...] = ("liver",)) -> None:
        super().__init__(ClassesConfig(3, options={"features": (2, 2), "finest": 2}), names)
        self.answer = answer

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        found = self.answer(image)
        return torch.cat([found, *[-found] * (len(self.structures) - 1)], dim=1)


def brighter_than(hu: float, gain: float = 9.0) -> Answer:
    """Logits that are 0 at this grey value; voxel by voxel, so the same whatever lies around."""
    return lambda image: gain * (image - prepared(hu))


def predictor(answer: Answer | Toy, names: tuple[str, ...] = ("liver",), claimed: str = "liver") -> SatMiniPredictor:
    """A toy as a loaded network; in single precision, so that it answers alike on every processor."""
    net = answer if isinstance(answer, Toy) else Toy(answer, names)
    entry = replace(card(NAME), vocabulary=names, claimed=(claimed,))
    return SatMiniPredictor(net, PREPARATION, entry, backend="torch", precision="fp32")


def case(patient: str = "p0", array: np.ndarray | None = None) -> Case:
    """The scan; label 1 is the liver, and no voxel is a spleen."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[LIVER] = 1
    if array is None:
        array = np.where(labels == 1, LIVER_HU, BODY_HU)
    return Case(
        patient, f"scan of {patient}", Volume(array.astype(np.float32), GRID, "ct", synthetic=True), labels, GRID
    )


def cases(_folder: Path) -> Iterator[Case]:
    """Six patients, four held out."""
    for number in range(6):
        yield case(f"p{number}")


DATASET = Dataset(
    name="toys", folder=".", structures={"liver": (1,), "spleen": (2,)}, absent=(), licence="CC0", use="any",
    sources=("made by the tests",), load=cases, held_out=hold_out(4, 0), mirrored={},
)  # fmt: skip
