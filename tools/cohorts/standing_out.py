"""Which rows of a cohort to look at first: what lies far from the others, what failed, what is flagged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ...imaging.masks.cohort import OUTLIER, robust_scores, spread_of
from .looking import Line, Looked
from .results import FlaggedRow, StructureSpread

SCORED = ("volume_ml", "intensity_mean")  # numbers that are held against the cohort; volumes by their logarithm
_COMPARABLE = ("HU", "SUV")  # units that mean the same in every scan
_MARK = "outlier"


def scored(looked: Sequence[Looked]) -> list[Line]:
    """Every row of the table, what stands out first: outliers by score, failed scans, flagged masks, then the rest.

    A mask's volume and mean grey value get robust scores among those of the same structure that are present and whole;
    masks that are unsure or cut are scored against them, too, but do not count. A failed scan is a row of its own.
    """
    lines = [_whole(one, line) for one in looked for line in one.lines]
    for structure in dict.fromkeys(line["structure"] for line in lines):
        for name in SCORED:
            _score([line for line in lines if line["structure"] == structure], name)
    for line in lines:
        far = [name for name in SCORED if abs(line.get(f"{name}_score") or 0.0) > OUTLIER]
        line["flags"] = "; ".join([*(f"{_MARK} in {name.split('_')[0]}" for name in far), *line["flags"]])
    failed = [_whole(one, {"flags": "failed"}) | {"error": one.error} for one in looked if one.error]
    return sorted([*lines, *failed], key=_order)


def flagged_rows(lines: Sequence[Line]) -> list[FlaggedRow]:
    """The rows of masks to look at, in the table's order."""
    return [
        FlaggedRow(
            scan=line["scan"],
            image_id=line["image_id"],
            structure=line["structure"],
            mask_id=line["mask_id"],
            volume_ml=line["volume_ml"],
            score=_worst(line) or None,
            flags=line["flags"].split("; "),
        )
        for line in lines
        if line["flags"] and "structure" in line
    ]


def spreads(lines: Sequence[Line]) -> list[StructureSpread]:
    """Volumes of each structure over the cohort, of masks that are present and whole."""
    found = []
    for structure in dict.fromkeys(line["structure"] for line in lines if "structure" in line):
        values = [line["volume_ml"] for line in lines if line.get("structure") == structure and _counts(line)]
        spread = spread_of([value for value in values if value is not None])
        if spread is not None:
            ends = {
                name: round(getattr(spread, name.removesuffix("_ml")), 2) for name in ("median_ml", "p5_ml", "p95_ml")
            }
            found.append(StructureSpread(structure=structure, scans=spread.count, **ends))
    return found


def counted(lines: Sequence[Line]) -> dict[str, int]:
    """How many masks have which verdict."""
    return dict(Counter(line["verdict"] for line in lines if "verdict" in line).most_common())


def _whole(one: Looked, line: Line) -> Line:
    head: Line = {"scan": one.number, "path": one.path, "image_id": one.image_id}
    return {**head, **line, "image_warnings": " ".join(one.warnings), "error": ""}


def _counts(line: Line) -> bool:
    return bool(line["verdict"] == "present" and line["volume_is"] == "complete")


def _score(lines: list[Line], name: str) -> None:
    values = [_comparable(line, name) for line in lines]
    good = [value if _counts(line) else None for line, value in zip(lines, values, strict=True)]
    scores = robust_scores(good)
    for line, value, known, score in zip(lines, values, good, scores, strict=True):
        if known is None and value is not None:
            score = robust_scores([*good, value])[-1]
        line[f"{name}_score"] = None if score is None else round(score, 2)


def _comparable(line: Line, name: str) -> float | None:
    value: float | None = line.get(name)
    if name == "volume_ml":
        return math.log(value) if value else None
    return value if line.get("intensity_unit") in _COMPARABLE else None


def _worst(line: Line) -> float:
    return max((line.get(f"{name}_score") or 0.0 for name in SCORED), key=abs)


def _order(line: Line) -> tuple[int, float, int]:
    far = abs(_worst(line))
    rank = 0 if far > OUTLIER else 1 if line["error"] else 2 if line["flags"] else 3
    return rank, -far if rank == 0 else 0.0, line["scan"]
