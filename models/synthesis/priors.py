"""What a structure looks like before any network: its tissue, that tissue's CT value and MR signal. Torch-free.

After PhysioSynth of seg2med (arXiv 2504.09182): tissue constants painted into the masks, MR by a
signal equation. `tissues.tsv` holds the constants with their sources, `tissue_words.tsv` says which
words of a name stand for which tissue; a name without such a word is soft tissue, and the answer says so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .scales import MR_MOST, Float, Made, hu_to_unit

FOLDER = Path(__file__).parent
UNKNOWN = "soft"
# A usual T1-weighted spoiled gradient echo; T2* is taken as T2, so TE is kept short.
REPETITION_MS, ECHO_MS, FLIP_DEG = 150.0, 4.6, 70.0


@dataclass(frozen=True)
class Tissue:
    """Constants of a tissue.

    Attributes:
        hu, hu_texture: CT value and spread of its grain, HU.
        t1_ms, t2_ms: at 1.5 T; 0 gives no signal.
        density: of protons, water is 1.
        mr_texture: spread of its grain as a share of its signal.
    """

    name: str
    hu: float
    hu_texture: float
    t1_ms: float
    t2_ms: float
    density: float
    mr_texture: float


@dataclass(frozen=True)
class Prior:
    """A structure's expected look.

    Attributes:
        found_by: "name", "kind" (the words of its kind or whole) or "none".
        value: HU, or MR brightness from 0 to 1000.
        texture: spread of the grain in the same unit.
    """

    structure: str
    tissue: str
    found_by: str
    value: float
    texture: float


@cache
def tissues() -> Mapping[str, Tissue]:
    """Every tissue of the table."""
    with (FOLDER / "tissues.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    keys = ("hu", "hu_texture", "t1_ms", "t2_ms", "proton_density", "mr_texture")
    return {row["tissue"]: Tissue(row["tissue"], *(float(row[key]) for key in keys)) for row in rows}


@cache
def _words() -> tuple[tuple[tuple[str, ...], str], ...]:
    with (FOLDER / "tissue_words.tsv").open(encoding="utf-8", newline="") as file:
        return tuple((tuple(row["words"].split()), row["tissue"]) for row in csv.DictReader(file, delimiter="\t"))


def tissue_of(structure: str, kinds: Sequence[str] = ()) -> tuple[str, str]:
    """The tissue of a structure and what told it: "name", "kind" or "none".

    Args:
        kinds: what it is or is part of, nearest first.
    """
    for number, text in enumerate((structure, *kinds)):
        found = re.findall(r"[a-z]+", text.lower())
        words = {*found, *(word.removesuffix("s") for word in found)}
        for needed, tissue in _words():
            if words.issuperset(needed):
                return tissue, "kind" if number else "name"
    return UNKNOWN, "none"


def gradient_echo(tissue: Tissue) -> float:
    """Signal of a spoiled gradient echo, relative to full magnetisation of water.

    S = PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE / T2), E1 = exp(-TR / T1).
    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences (2004), ch. 14.1.
    """
    if tissue.t1_ms <= 0 or tissue.t2_ms <= 0:
        return 0.0
    angle, decay = np.radians(FLIP_DEG), np.exp(-REPETITION_MS / tissue.t1_ms)
    steady = np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay)
    return float(tissue.density * steady * np.exp(-ECHO_MS / tissue.t2_ms))


def mr_value(tissue: Tissue) -> float:
    """Brightness from 0 to 1000, where fat, the brightest tissue of T1-weighted MR, is 900."""
    return min(MR_MOST, 900 * gradient_echo(tissue) / gradient_echo(tissues()["fat"]))


def prior(structure: str, modality: Made, kinds: Sequence[str] = ()) -> Prior:
    """The expected value and grain of a structure."""
    name, found_by = tissue_of(structure, kinds)
    return of_tissue(name, modality, structure=structure, found_by=found_by)


def of_tissue(name: str, modality: Made, *, structure: str = "", found_by: str = "name") -> Prior:
    """The same of a tissue by its name."""
    tissue = tissues()[name]
    if modality == "ct":
        return Prior(structure, name, found_by, tissue.hu, tissue.hu_texture)
    value = mr_value(tissue)
    return Prior(structure, name, found_by, value, tissue.mr_texture * value)


def to_unit(value: float, modality: Made) -> float:
    """A prior's value as networks see it."""
    return float(hu_to_unit(np.array(value))) if modality == "ct" else 2 * value / MR_MOST - 1


def paint_values(labels: npt.NDArray[np.integer], values: Mapping[int, float], *, outside: float) -> Float:
    """Every label's value put in its place; labels without one get `outside`."""
    table = np.full(int(labels.max(initial=0)) + 1, outside, dtype=np.float32)
    for label, value in values.items():
        if label < table.size:
            table[label] = value
    answer: Float = table[labels]
    return answer
