"""Pictures and scans to draw in, each with the structure that is meant: fixed by the set's name, before any result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ....imaging.volume import BoolArray
from ....models.interface import Prompt
from ..pool import page_of, page_values, seed_of
from ..sets import SETS, Labelled, is_kept_out

SIDE = 128  # pixels of a picture's longer side, for everybody. Source: ScribblePrompt measures so
LEAST = {2: 0.002, 3: 0.0001}  # of the picture or scan that a structure covers at least; ours


@dataclass(frozen=True)
class Task:
    """One structure in one picture or scan.

    Attributes:
        image: grey values from 0 to 255.
        strokes: per human reader, the scribbles to begin with; () where there are none.
    """

    source: str
    modality: str
    patient: str
    name: str
    image: npt.NDArray[np.uint8]
    mask: BoolArray
    strokes: tuple[tuple[Prompt, ...], ...] = ()


def tasks(source: str, data: Path, count: int, *, kept_out: bool = False) -> list[Task]:
    """At most so many of a set, drawn once, one per picture; scans of 3-D sets whole.

    Args:
        kept_out: of the patients that training leaves out alone, for a set that is trained on.
    """
    rng = np.random.default_rng(seed_of(source))
    every = [one for one in SETS[source].all(data) if not kept_out or is_kept_out(one.patient)]
    found: list[Task] = []
    for index in rng.permutation(len(every)):
        task = _task(source, every[index], data, rng)
        found += [task] if task is not None else []
        if len(found) == count:
            break
    return found


def _task(source: str, one: Labelled, data: Path, rng: np.random.Generator) -> Task | None:
    """A structure of a picture by chance; of a stack without voxel size that of its middle slice."""
    assert one.image is not None
    image, labels = one.image, one.labels
    if source == "acdc":
        image, labels = image[len(image) // 2], labels[len(labels) // 2]
    if labels.ndim == 2:
        page = page_of(image, labels, side=SIDE)
        assert page.image is not None
        grey, numbered = page.image, page.labels
    else:
        grey = (page_values(image) * 255).astype(np.uint8)
        numbered = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint8)
    sizes = np.bincount(numbered.ravel()) / numbered.size
    fair = [label for label in np.flatnonzero(sizes >= LEAST[labels.ndim]) if label > 0]
    if not fair:
        return None
    mask = np.asarray(numbered == int(rng.choice(fair)))
    return Task(
        source, SETS[source].modality, one.patient, one.name, grey, mask, _strokes(source, one, data, mask.shape)
    )


def _strokes(source: str, one: Labelled, data: Path, shape: tuple[int, ...]) -> tuple[tuple[Prompt, ...], ...]:
    """What human readers drew on a picture of MedScribble."""
    if source != "medscribble":
        return ()
    with np.load(data / SETS[source].folder / f"{one.name}.npz") as stored:
        drawn = stored["scribbles"] > 0
    return tuple(tuple(_prompts(reader, shape)) for reader in drawn if reader[0].any())


def _prompts(reader: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> Iterator[Prompt]:
    for drawn, positive in zip(reader, (True, False), strict=True):
        small = np.zeros(shape, np.bool_)
        rows, columns = np.nonzero(drawn)
        small[rows * shape[0] // drawn.shape[0], columns * shape[1] // drawn.shape[1]] = True
        if small.any():
            yield Prompt("scribble", positive, array=small)
