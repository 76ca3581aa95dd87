"""How often `assess_mask` objects to good masks and to masks spoilt on purpose, on real labelled scans.

`python -m ostensor.benchmarks.plausibility DATA`. Each structure is judged as it is and spoilt in five
ways, with the scan's other structures at hand (as after segmenting several) and alone.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..imaging.plausibility import Plausibility, assess
from ..imaging.priors import Priors
from ..imaging.region import Region, slices
from ..imaging.volume import BoolArray, Mask
from .machine import commit
from .plausibility_data import LEAST_VOXELS, SETS, WITH_SCAN, Labelled

STILL_GOOD = 0.7  # Dice to the good mask from which a spoilt one is not spoilt: a mirrored bladder
LEAST_SHIFT_MM = 20.0


def shifted(region: Region, rng: np.random.Generator) -> BoolArray | None:
    """Moved along one axis by half its extent there, at least 20 mm, where it stays in the scan."""
    whole = filled(region)
    assert region.box is not None
    moves = []
    for axis in range(3):
        step = max(-(-LEAST_SHIFT_MM // region.grid.spacing_mm[axis]), region.box.shape[axis] / 2)
        for sign in (-1, 1):
            move = int(sign * step)
            if region.box.start[axis] + move >= 0 and region.box.stop[axis] + move <= region.grid.shape[axis]:
                moves.append((axis, move))
    if not moves:
        return None
    axis, move = moves[int(rng.integers(len(moves)))]
    moved: BoolArray = np.roll(whole, move, axis=axis)
    return moved


def mirrored(region: Region, _rng: np.random.Generator) -> BoolArray:
    """Left and right of the scan swapped."""
    axis = next(a for a, code in enumerate(region.grid.axis_codes) if code in "RL")
    turned: BoolArray = np.flip(filled(region), axis)
    return turned


def eroded(region: Region, _rng: np.random.Generator) -> BoolArray:
    """Border voxels taken away until at most half are left."""
    array = np.pad(region.array, 1)
    while array.sum() > region.voxels / 2:
        array = ndimage.binary_erosion(array)
    return filled(region, array[1:-1, 1:-1, 1:-1])


def halved(region: Region, rng: np.random.Generator) -> BoolArray:
    """One side of a plane through its centre, across a grid axis it is at least 6 voxels long on."""
    long = [a for a in range(3) if region.array.shape[a] >= 6] or [int(np.argmax(region.array.shape))]
    axis = int(rng.choice(long))
    array = region.array.copy()
    middle = round(float(region.centre_index[axis])) - region.start[axis]
    lines = np.moveaxis(array, axis, 0)
    if rng.integers(2):
        lines[:middle] = False
    else:
        lines[middle:] = False
    return filled(region, array)


def filled(region: Region, array: BoolArray | None = None) -> BoolArray:
    """The region on its whole grid."""
    whole = np.zeros(region.grid.shape, dtype=np.bool_)
    assert region.box is not None
    whole[slices(region.box)] = region.array if array is None else array
    return whole


SPOIL: dict[str, Callable[[Region, np.random.Generator], BoolArray | None]] = {
    "shifted": shifted,
    "mirrored": mirrored,
    "eroded": eroded,
    "half missing": halved,
}
KINDS = ("good", *SPOIL, "wrong organ")


def spoilt(scan: Labelled, structure: str, kind: str, rng: np.random.Generator) -> Region | None:
    """The structure's mask, good or spoilt; None where this way makes no difference."""
    region = scan.regions[structure]
    if kind == "good":
        return region
    if kind == "wrong organ":
        names = [name for name in scan.regions if name != structure]
        return scan.regions[names[int(rng.integers(len(names)))]] if names else None
    array = SPOIL[kind](region, rng)
    if array is None or array.sum() < LEAST_VOXELS / 2:
        return None
    both = np.count_nonzero(array & filled(region))
    if 2 * both / (array.sum() + region.voxels) > STILL_GOOD:
        return None
    return Region.of(Mask(array, region.grid))


def judged(scan: Labelled, structure: str, region: Region, *, alone: bool, priors: Priors) -> Plausibility:
    """The tool's judgement, with or without the scan's other structures."""
    others: Mapping[str, Region] = {} if alone else {n: r for n, r in scan.regions.items() if n != structure}
    return assess(region, structure, image=scan.image, others=others, priors=priors)


def without(priors: Priors, patient: str) -> Priors:
    """The priors with this body's places left out, so that no scan is judged by itself."""
    return Priors(priors.ranges, {body: centres for body, centres in priors.bodies.items() if body != patient})


def run(data: Path, *, most: int = 1000, alone: bool = True, seed: int = 0, details: bool = False) -> str:
    """A Markdown table: share of masks objected to, per data set and kind.

    Args:
        most: structures per scan, spread evenly over its list.
        alone: judge each mask without the scan's other structures, too.
        details: name every wrong judgement on standard error.
    """
    counts: dict[tuple[str, str, bool], list[int]] = defaultdict(lambda: [0, 0])
    fired: Counter[str] = Counter()
    for label, load in SETS.items():
        rng = np.random.default_rng(seed)
        for scan in load(data):
            priors = without(Priors.bundled(), scan.patient)
            names = list(scan.regions)
            for structure in names[:: -(-len(names) // most)]:
                for kind in KINDS:
                    region = spoilt(scan, structure, kind, rng)
                    if region is None:
                        continue
                    for lone in (False, True)[: 1 + alone]:
                        found = judged(scan, structure, region, alone=lone, priors=priors)
                        row = counts[label, kind, lone]
                        row[0] += not found.plausible
                        row[1] += 1
                        if kind == "good" and not lone:
                            fired.update(check.name for check in found.failed)
                        if details and not lone and (kind == "good") != found.plausible:
                            said = "; ".join(f"{check.name} {check.value}" for check in found.failed) or "passed"
                            print(f"{scan.name} | {structure} | {kind} | {said}", file=sys.stderr, flush=True)
    return _table(counts, fired, seed)


def _table(counts: Mapping[tuple[str, str, bool], list[int]], fired: Counter[str], seed: int) -> str:
    labels = list(dict.fromkeys(label for label, _kind, _alone in counts))
    lines = [f"| objected to, % (of n) | {' | '.join(KINDS)} |", f"|{'---|' * (len(KINDS) + 1)}"]
    for lone in sorted({lone for _label, _kind, lone in counts}):
        where = "alone" if lone else "with neighbours"
        for label in labels:
            cells = [_cell(*counts.get((label, kind, lone), (0, 0))) for kind in KINDS]
            lines.append(f"| {label}, {where} | {' | '.join(cells)} |")
        for group, chosen in (("with a scan", WITH_SCAN), ("all", tuple(labels))):
            sums = [
                [sum(counts.get((label, kind, lone), (0, 0))[n] for label in chosen) for n in (0, 1)] for kind in KINDS
            ]
            lines.append(f"| **{group}, {where}** | {' | '.join(_cell(*pair) for pair in sums)} |")
    checks = ", ".join(f"{name} {count}" for name, count in fired.most_common()) or "none"
    return "\n".join([*lines, "", f"Checks that objected to good masks: {checks}. Seed {seed}, commit {commit()}."])


def _cell(objected: int, total: int) -> str:
    return f"{100 * objected / total:.0f} ({total})" if total else "-"


def main(data: Path, most: int = 1000, alone: bool = True, details: bool = False) -> None:
    """Print the table."""
    print(run(data, most=most, alone=alone, details=details))


if __name__ == "__main__":
    import typer

    typer.run(main)
