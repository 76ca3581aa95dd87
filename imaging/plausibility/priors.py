"""What is known about structures before looking: sizes, grey values, places, each number with its source.

`priors.tsv` holds ranges, `places.tsv` centres of structures in reference bodies; both are made by
`python -m ostensor.benchmarks.accuracy.priors DATA imaging/plausibility` from open data and say so row by row. Ranges are for adults and
wide on purpose: outside means "look again", never "wrong".
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent
Point = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Allowed values, ends included.

    Attributes:
        source: where the numbers come from, in words.
    """

    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Priors:
    """Ranges by structure and quantity, and reference bodies.

    Attributes:
        ranges: (structure, quantity) -> range; quantities are volume_ml, median_hu, parts, flat_end.
        bodies: body -> structure -> centre in mm, RAS+ in that body's own frame.
    """

    ranges: Mapping[tuple[str, str], Range]
    bodies: Mapping[str, Mapping[str, Point]]

    @classmethod
    @cache
    def bundled(cls) -> Priors:
        """The files that come with the package."""
        ranges = {}
        for row in _rows("priors.tsv"):
            key = (row["structure"], row["quantity"])
            if key in ranges:
                raise ValueError(f"{key} has two rows")
            ranges[key] = Range(float(row["low"]), float(row["high"]), row["source"])
        bodies: dict[str, dict[str, Point]] = defaultdict(dict)
        for row in _rows("places.tsv"):
            bodies[row["body"]][row["structure"]] = np.array([float(row[axis]) for axis in ("r_mm", "a_mm", "s_mm")])
        return cls(ranges, dict(bodies))

    def get(self, structure: str, quantity: str) -> Range | None:
        """The range, or None when nothing is known."""
        return self.ranges.get((structure, quantity))


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


_CHAMBERS = {"ventricle", "atrium", "atrial"}  # the heart's sides are not the body's


def side_of(structure: str) -> str:
    """ "left" or "right" when the name says so, else ""; also for chambers of the heart, which lie where the heart does."""
    words = structure.lower().replace("_", " ").split()
    if _CHAMBERS & set(words) and "lateral" not in words:
        return ""
    return next((word for word in words if word in ("left", "right")), "")


def partner_of(structure: str) -> str | None:
    """The same name on the other side, or None."""
    side = side_of(structure)
    if not side:
        return None
    return structure.replace(side, "right" if side == "left" else "left")
