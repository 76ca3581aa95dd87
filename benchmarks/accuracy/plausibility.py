"""How often `assess_mask` objects to good masks and to masks spoilt on purpose, on real labelled scans.

`python -m ostensor.benchmarks.accuracy.plausibility DATA`. Each structure is judged as it is and spoilt in five
ways, with the scan's other structures at hand (as after segmenting several), without and with the second
opinion of a network that was not taught this patient.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...imaging.masks.dice import dice
from ...imaging.plausibility.assess import Plausibility, assess
from ...imaging.plausibility.checks import Check, unknown
from ...imaging.plausibility.priors import Priors
from ...imaging.plausibility.second_opinion import NAME, Opinion, second_opinion
from ...imaging.region import Region, slices
from ...imaging.volume import BoolArray, Mask, Volume
from ...tools.desk.desk import Call, Desk
from ...tools.desk.settings import Settings
from ...tools.segmenting.second_opinions import advisers, opinions
from ..machine import commit
from .plausibility_data import HELD_OUT, LEAST_VOXELS, SETS, SETTING, WITH_SCAN, Labelled

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
    if dice(array, filled(region)) > STILL_GOOD:
        return None
    return Region.of(Mask(array, region.grid))


def judged(
    scan: Labelled, structure: str, region: Region, *, priors: Priors, adviser: Adviser | None = None
) -> Plausibility:
    """The tool's judgement, with the scan's other structures and, given an adviser, a second opinion."""
    others = {name: other for name, other in scan.regions.items() if name != structure}
    found = assess(region, structure, image=scan.image, others=others, priors=priors)
    if adviser is None:
        return found
    return Plausibility((*found.checks, adviser.check(region, structure)))


class Adviser:
    """Asks the tool's second opinion about masks of one scan; every network looks once."""

    def __init__(self, desk: Desk, scan: Volume) -> None:
        self.desk = desk
        self.image = desk.store.add_image(scan, source_name="benchmark")
        self.seen: dict[str, Mapping[str, Opinion]] = {}

    def check(self, region: Region, structure: str) -> Check:
        """Of the best network for the structure; labels were made by none."""
        able = advisers(self.desk, self.image, structure)
        if not able:
            return unknown(NAME, "No calibrated network looks for it.")
        name = able[0].name
        if name not in self.seen:
            self.seen[name] = opinions(self.desk, Call(), self.image, able[0])
        return second_opinion(region, structure, self.seen[name])


def without(priors: Priors, patient: str) -> Priors:
    """The priors with this body's places left out, so that no scan is judged by itself."""
    return Priors(priors.ranges, {body: centres for body, centres in priors.bodies.items() if body != patient})


def run(
    data: Path, *, most: int = 1000, seed: int = 0, setting: bool = False, only: str = "", details: bool = False
) -> str:
    """A Markdown table: share of masks objected to, per data set and kind.

    Args:
        most: structures per scan, spread evenly over its list.
        setting: the patients limits were set on instead of the others.
        only: one data set.
        details: name every wrong judgement on standard error.
    """
    counts: Counts = defaultdict(lambda: [0, 0])
    fired: Counter[str] = Counter()
    sets = {label: load for label, load in (SETTING if setting else SETS).items() if only in ("", label)}
    with tempfile.TemporaryDirectory() as folder, Desk(Settings(store=Path(folder), roots=(data,), threads=1)) as desk:
        for label, load in sets.items():
            rng = np.random.default_rng(seed)
            for scan in load(data):
                for kind, found in _outcomes(desk, scan, most, rng, details=details):
                    for second in (False, True):
                        failed = [check.name for check in found.failed if second or check.name != NAME]
                        row = counts[label, kind, second]
                        row[0] += bool(failed)
                        row[1] += 1
                    if kind == "good":
                        fired.update(check.name for check in found.failed)
    return _table(counts, fired, seed)


Counts = dict[tuple[str, str, bool], list[int]]  # set, kind, with a second opinion -> objected to, of


def _outcomes(
    desk: Desk, scan: Labelled, most: int, rng: np.random.Generator, *, details: bool
) -> Iterator[tuple[str, Plausibility]]:
    """Every judgement on a scan's masks, good and spoilt."""
    priors = without(Priors.bundled(), scan.patient)
    adviser = None if scan.image is None else Adviser(desk, scan.image)
    names = list(scan.regions)
    for structure in names[:: -(-len(names) // most)]:
        for kind in KINDS:
            region = spoilt(scan, structure, kind, rng)
            if region is None:
                continue
            found = judged(scan, structure, region, priors=priors, adviser=adviser)
            yield kind, found
            if details and (kind == "good") != found.plausible:
                said = "; ".join(f"{check.name} {check.value}: {check.reason}" for check in found.failed)
                own = next((check for check in found.checks if check.name == NAME), None)
                said = said or f"passed; second opinion {own and (own.value, own.low, own.reason)}"
                print(f"{scan.name} | {structure} | {kind} | {said}", file=sys.stderr, flush=True)


def _table(counts: Counts, fired: Counter[str], seed: int) -> str:
    labels = list(dict.fromkeys(label for label, _kind, _second in counts))
    lines = [f"| objected to, % (of n) | {' | '.join(KINDS)} |", f"|{'---|' * (len(KINDS) + 1)}"]
    groups: dict[str, tuple[str, ...]] = {label: (label,) for label in labels}
    groups |= {
        "**held out, with a scan**": tuple(label for label in labels if label in HELD_OUT),
        "**all with a scan**": tuple(label for label in labels if label in WITH_SCAN),
        "**all without a scan**": tuple(label for label in labels if label not in WITH_SCAN),
    }
    for group, chosen in groups.items():
        for second in (False, True):
            if not chosen or (second and not set(chosen) & set(WITH_SCAN)):
                continue
            sums = [[sum(counts.get((label, kind, second), (0, 0))[n] for label in chosen) for n in (0, 1)] for kind in KINDS]  # fmt: skip
            name = f"{group}, and second opinion" if second else group
            lines.append(f"| {name} | {' | '.join(_cell(*pair) for pair in sums)} |")
    checks = ", ".join(f"{name} {count}" for name, count in fired.most_common()) or "none"
    return "\n".join([*lines, "", f"Checks that objected to good masks: {checks}. Seed {seed}, commit {commit()}."])


def _cell(objected: int, total: int) -> str:
    return f"{100 * objected / total:.0f} ({total})" if total else "-"


def main(data: Path, most: int = 1000, setting: bool = False, only: str = "", details: bool = False) -> None:
    """Print the table."""
    print(run(data, most=most, setting=setting, only=only, details=details))


if __name__ == "__main__":
    import typer

    typer.run(main)
