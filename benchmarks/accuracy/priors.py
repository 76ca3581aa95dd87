"""Makes `imaging/plausibility/priors.tsv`, `places.tsv` and `heights.tsv` from open label maps: `python -m ostensor.benchmarks.accuracy.priors DATA imaging/plausibility`;
without a folder to write into, it tells which labelled structures the ranges shut out.

Volumes: the extremes over the reference bodies, widened by a factor, and UKBOB's published windows.
Hounsfield units: the median in one plain-to-portal-venous CT, widened. Only data under licences that
allow shipping numbers made from them are used (CC BY 4.0, CC BY-SA 4.0, Apache-2.0).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...imaging.masks import measures
from ...imaging.plausibility.levels import BIN_MM
from ...imaging.plausibility.priors import Priors
from ...imaging.region import slices
from .plausibility_data import CHECKING, Labelled, atlas_bodies, example_ct, head_maps, heads, hippocampi

WIDEN = (2.5, 1.9)  # down and up, from three bodies to adults in general; so that none of CHECKING is shut out
WIDEN_MANY = (1.3, 1.3)  # from the extremes of many patients
HU_BELOW, HU_ABOVE = 70.0, 170.0  # plain scan below, arterial contrast above; our choice

# Source: released organ filter of UKBOB (organ_filtering.py, MIT): volume windows in cm3, joined with ours.
UKBOB_ML = {"spleen": (100, 300), "left kidney": (80, 200), "right kidney": (80, 200), "liver": (1000, 2500)}

# The atlas's ventricles hold their walls, everyone else's are the cavities.
WALLED = ("left ventricle", "right ventricle")

# Structures whose size in the bodies at hand tells nothing of other people's: the prostate doubles with age, and the
# atlas's "heart" is what is left of it beside its chambers (14 and 36 ml; ICRP 110 says 587 and 795).
UNKNOWN = ("prostate", "heart")

# Structures that end in a plane by convention, not by anatomy.
FLAT = {
    "brain stem": "FreeSurfer's brain stem stops at a plane below the medulla",
    "anterior hippocampus": "the protocol parts the hippocampus in a coronal plane",
    "posterior hippocampus": "the protocol parts the hippocampus in a coronal plane",
    **dict.fromkeys(
        ("left ventricle", "right ventricle", "myocardium"),
        "short-axis protocols end the chambers in a slice at the base",
    ),
}
# Structures that are several parts, or often look so in thin slices.
PARTS = {
    "small intestine": (20, "loops touch or part from slice to slice"),
    "colon": (8, "segments part where it is collapsed"),
    "stomach": (2, "a collapsed stomach parts"),
    "duodenum": (3, "a collapsed loop parts"),
    "cerebral cortex": (2, "two hemispheres"),
    "cerebral white matter": (2, "two hemispheres"),
    "intervertebral discs": (24, "one between every two vertebrae"),
    "vertebrae": (26, "one for each"),
    "vertebral column": (26, "one for each vertebra"),
    "costal cartilages": (24, "one for each rib"),
    "ribs": (24, "one for each"),
    "left rib cage half": (12, "one for each rib"),
    "right rib cage half": (12, "one for each rib"),
    "portal and splenic vein": (3, "branches part in thick slices"),
}


def rows(scans: list[Labelled], many: list[Labelled]) -> list[tuple[str, str, float, float, str]]:
    """Every row of `priors.tsv`: structure, quantity, low, high, source."""
    made = _volumes(scans, WIDEN) | _volumes(many, WIDEN_MANY)
    made = {key: one for key, one in made.items() if key[0] not in UNKNOWN}
    made |= {
        (name, "volume_ml"): _joined(made.get((name, "volume_ml")), low, high) for name, (low, high) in UKBOB_ML.items()
    }
    for scan in scans:
        if scan.image is not None and scan.image.modality == "ct":
            for name, region in scan.regions.items():
                assert region.box is not None
                median = float(np.median(scan.image.array[slices(region.box)][region.array]))
                source = f"median {median:.0f} HU in {scan.name} of TotalSegmentator's examples, -{HU_BELOW:g} and +{HU_ABOVE:g}"
                made[name, "median_hu"] = (median - HU_BELOW, median + HU_ABOVE, source)
    for name, why in FLAT.items():
        made[name, "flat_end"] = (0.0, 1.0, why)
    for name, (count, why) in PARTS.items():
        made[name, "parts"] = (1.0, float(count), why)
    return [(name, quantity, *made[name, quantity]) for name, quantity in sorted(made)]


@dataclass(frozen=True)
class ShutOut:
    """A healthy or expertly outlined structure whose volume in ml lies outside the range of `priors.tsv`."""

    scan: str
    structure: str
    volume_ml: float
    low: float
    high: float
    source: str


def shut_out(scans: Iterable[Labelled], priors: Priors) -> tuple[int, list[ShutOut]]:
    """How many whole structures were compared with their range, and those outside it."""
    compared, found = 0, []
    for scan in scans:
        for name, region in scan.regions.items():
            known = priors.get(name, "volume_ml")
            volume = measures.volume_ml(region)
            if known is None or volume is None or name in WALLED or measures.truncated_faces(region, scan.image):
                continue
            compared += 1
            if not known.low <= volume <= known.high:
                found.append(ShutOut(scan.name, name, volume, known.low, known.high, known.source))
    return compared, found


def _joined(ours: tuple[float, float, str] | None, low: float, high: float) -> tuple[float, float, str]:
    source = f"UKBOB organ filter {low:g} to {high:g} ml"
    if ours is None:
        return low, high, source
    return min(low, ours[0]), max(high, ours[1]), f"{source}; {ours[2]}"


def _volumes(scans: list[Labelled], widen: tuple[float, float]) -> dict[tuple[str, str], tuple[float, float, str]]:
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for scan in scans:
        for name, region in scan.regions.items():
            volume = None if name in WALLED else measures.volume_ml(region)
            if volume is not None and not measures.truncated_faces(region, scan.image):
                found[name].append((volume, scan.patient))
    made = {}
    down, up = widen
    for name, seen in found.items():
        volumes = [volume for volume, _patient in seen]
        patients = sorted({patient for _volume, patient in seen})
        sets = ", ".join(dict.fromkeys(patient.split("-")[0] for patient in patients))
        named = ", ".join(patients) if len(patients) < 5 else f"{len(patients)} patients of {sets}"
        source = f"{min(volumes):.3g} to {max(volumes):.3g} ml in {named}, widened {down:g} and {up:g} times"
        made[name, "volume_ml"] = (min(volumes) / down, max(volumes) * up, source)
    return made


def places(scans: list[Labelled]) -> list[tuple[str, str, float, float, float]]:
    """Every row of `places.tsv`: body, structure, centre in mm; only structures that lie wholly in the scan."""
    made = []
    for scan in scans:
        for name, region in sorted(scan.regions.items()):
            centre = measures.centroid_mm(region)
            if centre is not None and not measures.truncated_faces(region, scan.image):
                made.append((scan.patient, name, *centre))
    return made


def heights(scans: list[Labelled]) -> list[tuple[str, str, float, str]]:
    """Every row of `heights.tsv`: body, structure, lower end of the first bin in mm, volume of each bin in ml."""
    made = []
    for scan in scans:
        for name, region in sorted(scan.regions.items()):
            axis = region.axial_axis
            up = region.grid.affine[2, axis] * (np.arange(len(region.lines[axis])) + region.start[axis])
            bins = np.floor((up + region.grid.affine[2, 3]) / BIN_MM).astype(int)
            volumes = np.bincount(bins - bins.min(), weights=region.lines[axis] * region.grid.voxel_ml)
            made.append((scan.patient, name, bins.min() * BIN_MM, " ".join(f"{volume:.3g}" for volume in volumes)))
    return made


def check(data: Path) -> None:
    """Print every structure of the labelled scans at hand whose volume the ranges shut out, and how many were compared."""
    for kind, load in CHECKING.items():
        compared, found = shut_out(load(data), Priors.bundled())
        print(f"{kind}: {compared} volumes, {len(found)} outside")
        for one in found:
            print(
                f"  {one.scan}: {one.structure} {one.volume_ml:.3g} ml, range {one.low:g} to {one.high:g} ({one.source})"
            )


def main(data: Path, into: Path) -> None:
    """Write the three files into a folder."""
    atlas = list(atlas_bodies(data))
    bodies = [*atlas, *example_ct(data)]
    head = list(heads(data))
    many = [*hippocampi(data, part="train", count=1000), *head, *head_maps(data)]
    _write(into / "priors.tsv", ("structure", "quantity", "low", "high", "source"), rows(bodies, many))
    _write(into / "places.tsv", ("body", "structure", "r_mm", "a_mm", "s_mm"), places([*bodies, *head]))
    _write(into / "heights.tsv", ("body", "structure", "low_mm", "ml_per_bin"), heights(atlas))


def _write(
    path: Path,
    header: tuple[str, ...],
    lines: Sequence[tuple[str | float, ...]],
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows([f"{value:.4g}" if isinstance(value, float) else value for value in line] for line in lines)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        check(Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
