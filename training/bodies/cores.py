"""Walls and insides: the outer layer of a bone, kidney or bladder looks unlike its inside, so it gets its own label.

A reference body labels an organ as one. Synthesized in one tissue, a network learns that bones are evenly bright; in
CT they are bright shells around a darker inside, and a bladder's wall is tissue, not urine.
"""

from __future__ import annotations

import edt
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]
_SHIFT = 110  # label of an inside: its organ's label and this; free in every map of ours
WALL_MM = 4.0  # what lies deeper is inside; our choice, one voxel of a 3 mm map


def core_of(label: int) -> int:
    """The label of the inside of this organ."""
    return label + _SHIFT


def with_cores(labels: Labels, organs: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> Labels:
    """The map (x y z) with the inside of each of `organs` labelled by `core_of`."""
    made = labels.copy()
    for organ in organs:
        deep = edt.edt(labels == organ, anisotropy=spacing_mm, black_border=False) > WALL_MM
        made[deep] = core_of(organ)
    return made


def without_cores(labels: Labels, organs: tuple[int, ...]) -> Labels:
    """The map with every inside labelled as its organ again."""
    table = np.arange(256, dtype=np.uint8)
    for organ in organs:
        table[core_of(organ)] = organ
    return np.asarray(table[labels])
