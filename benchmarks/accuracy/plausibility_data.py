"""Real labelled scans for the plausibility figures, from the shared data folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import numpy.typing as npt

from ...imaging.files import read_image
from ...imaging.geometry import reorient_array
from ...imaging.region import Region
from ...imaging.volume import Grid, Mask, Modality, Volume
from ...retrieval.anatomy.structures import StructureTable
from ...training.cases import Case, Dataset
from ...training.data import acdc, brain, hippocampus
from ...training.reliability.calibrate import halves

LEAST_VOXELS = 100  # structures with fewer in a scan are left out


@dataclass(frozen=True)
class Labelled:
    """A scan with its structures, each by our name.

    Attributes:
        image: None for label maps without a scan.
        patient: groups scans of one body.
    """

    name: str
    patient: str
    image: Volume | None
    regions: dict[str, Region]


def our_name(text: str) -> str:
    """TotalSegmentator's or the atlas's name as ours: "kidney_left" -> "left kidney"; unknown ones keep their words."""
    plain = text.replace("_", " ").lower().replace("hip left", "left hip bone").replace("hip right", "right hip bone")
    row = StructureTable.bundled().get(plain)
    if row is not None:
        return row.name
    words = plain.split()
    side = next((word for word in ("left", "right") if word in words), "")
    return " ".join([side, *(word for word in words if word != side)]) if side else plain


def _labelled(
    name: str, patient: str, image: Volume | None, labels: np.ndarray, grid: Grid, names: dict[int, str]
) -> Labelled:
    regions = {}
    for number in np.flatnonzero(np.bincount(labels.ravel())):
        if int(number) not in names:
            continue
        region = Region.of(Mask(labels == number, grid))
        if region.voxels >= LEAST_VOXELS:
            regions[names[int(number)]] = region
    return Labelled(name, patient, image, regions)


def _map(path: Path) -> tuple[np.ndarray, Grid]:
    file = nibabel.load(path)
    return np.asarray(file.dataobj).astype(np.int16), Grid(file.shape, file.affine)


def example_ct(data: Path) -> Iterator[Labelled]:
    """The CT of TotalSegmentator's examples; labels are that model's."""
    yield _example(data, "CT", "ts-ct", "example_ct", "example_seg_fast_force_split", "total", "ct")


def other_examples(data: Path) -> Iterator[Labelled]:
    """The MR of TotalSegmentator's examples, and the DICOM series of another scan; labels are that model's."""
    yield _example(data, "MR", "ts-mr", "example_mr_sm", "example_seg_mr", "total_mr", "mr")
    opened = read_image(data / EXAMPLES / "example_ct_dicom").volume
    assert opened is not None
    labels, grid = _map(data / EXAMPLES / "example_seg_dicom.nii.gz")
    labels, _grid = reorient_array(labels, grid, opened.grid.axis_codes)
    yield _labelled("CT, DICOM", "ts-dicom", opened, labels, opened.grid, _classes(data, "total"))


EXAMPLES = "totalsegmentator_example"


def _classes(data: Path, task: str) -> dict[int, str]:
    every = json.loads((data / EXAMPLES / "class_map.json").read_text(encoding="utf-8"))
    return {int(number): our_name(name) for number, name in every[task].items()}


def _example(data: Path, name: str, patient: str, scan: str, seg: str, task: str, modality: Modality) -> Labelled:
    labels, grid = _map(data / EXAMPLES / f"{seg}.nii.gz")
    array = np.asarray(nibabel.load(data / EXAMPLES / f"{scan}.nii.gz").dataobj).astype(np.int16)
    return _labelled(name, patient, Volume(array, grid, modality), labels, grid, _classes(data, task))


def amos(data: Path) -> Iterator[Labelled]:
    """Two expert label maps without scans."""
    words = "spleen,right kidney,left kidney,gallbladder,esophagus,liver,stomach,aorta,inferior vena cava,pancreas,right adrenal gland,left adrenal gland,duodenum,urinary bladder,prostate"
    names = dict(enumerate(words.split(","), start=1))
    for case in ("amos_0001", "amos_0013"):
        labels, grid = _map(data / "label_maps" / f"{case}.nii.gz")
        half = np.diag([2.0, 2.0, 1.0, 1.0])  # every second voxel in plane: quicker, still finer than the slices
        labels = labels[::2, ::2]
        grid = Grid(labels.shape, grid.affine @ half)
        yield _labelled(case, case, None, labels, grid, names)


def atlas_bodies(data: Path) -> Iterator[Labelled]:
    """The Human Reference Atlas's two bodies, where an organ has a TotalSegmentator class."""
    for sex in ("male", "female"):
        path = data / "hra_phantom" / f"hra_{sex}_3mm.nii.gz"
        facts = json.loads(path.with_name(f"hra_{sex}_3mm.json").read_text(encoding="utf-8"))
        names = {
            row["label"]: our_name(row["totalsegmentator"]) for row in facts["labels"] if row.get("totalsegmentator")
        }
        labels, grid = _map(path)
        yield _labelled(f"atlas, {sex}", f"hra-{sex}", None, labels, grid, names)


def heads(data: Path) -> Iterator[Labelled]:
    """A T1 head with FreeSurfer's labels."""
    names = _simple(brain.DATASET.structures)
    for case in brain.DATASET.load(data / "brain_t1"):
        if case.volume is not None:
            merged, table = _merged(case.labels, names)
            yield _labelled("head T1", "brain", case.volume, merged, case.grid, table)


HALVES = {"L": "left", "R": "right"}
AAL = {"Hippocampus": "hippocampus", "Amygdala": "amygdala", "Caudate": "caudate nucleus", "Putamen": "putamen",
       "Pallidum": "pallidum", "Thalamus": "thalamus"}  # fmt: skip


def head_maps(data: Path) -> Iterator[Labelled]:
    """Label maps of whole heads: fifteen with FreeSurfer's labels, one with an atlas drawn by hand on it."""
    paths = sorted((data / "brain_labels_synthseg").glob("*.nii.gz"))
    for path in [*paths, data / "brain_t1_more" / "ecog_aparc+aseg.nii.gz"]:
        labels, grid = _map(path)
        ours, table = _merged(brain.from_freesurfer(labels), _simple(brain.DATASET.structures))
        yield _labelled(path.name, f"heads-{path.name.split('.')[0]}", None, ours, grid, table)
    labels, grid = _map(data / "brain_t1_more" / "colin27_aal.nii.gz")
    names: dict[int, str] = {}
    for line in (data / "brain_t1_more" / "colin27_aal.txt").read_text(encoding="utf-8").splitlines():
        number, _, parcel = line.partition(" ")
        stem, _, side = parcel.split(" ")[0].rpartition("_")
        if stem in AAL:
            names[int(number)] = f"{HALVES[side]} {AAL[stem]}"
    yield _labelled("colin27_aal", "heads-colin27", None, labels, grid, names)


def icrp_bodies(data: Path) -> Iterator[Labelled]:
    """The two reference bodies of ICRP 110; to check ranges against, not to make them from (licence)."""
    for sex in ("male", "female"):
        labels, grid = _map(data / "icrp110_phantom" / f"icrp110_{sex}.nii.gz")
        facts = json.loads((data / "icrp110_phantom" / f"icrp110_{sex}.json").read_text(encoding="utf-8"))
        groups = {our_name(name): tuple(group["ids"]) for name, group in facts["groups"].items()}
        del groups["trachea"]  # its wall without the air
        ours, table = _merged(labels, groups)
        yield _labelled(f"ICRP 110, {sex}", f"icrp-{sex}", None, ours, grid, table)


def _merged(
    labels: np.ndarray, structures: Mapping[str, tuple[int, ...]]
) -> tuple[npt.NDArray[np.int16], dict[int, str]]:
    """A map with one value a structure, and the structures by it; none may overlap another."""
    merged = np.zeros(labels.shape, dtype=np.int16)
    table = {}
    for number, (name, values) in enumerate(structures.items(), start=1):
        merged[np.isin(labels, values)] = number
        table[number] = name
    return merged, table


def _simple(structures: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Structures that are not the union of others, so that no two overlap."""
    return {
        name: values
        for name, values in structures.items()
        if not any(set(other) < set(values) for other_name, other in structures.items() if other_name != name)
    }


Part = Literal["train", "set", "report"]  # of patients: trained on, limits set on, neither


def _cases(dataset: Dataset, data: Path, part: Part) -> list[Case]:
    if part == "train":
        return dataset.cases(data, "train")
    return halves(dataset.cases(data, "test"))[part == "report"]


def hippocampi(data: Path, *, part: Part = "report", count: int = 10) -> Iterator[Labelled]:
    """Expert hippocampus labels on T1 crops; by default patients held out of training and of setting limits."""
    names = {1: "anterior hippocampus", 2: "posterior hippocampus"}
    for case in _cases(hippocampus.DATASET, data, part)[:count]:
        yield _labelled(case.name, f"hippocampus-{case.patient}", case.volume, case.labels, case.grid, names)


def hearts(data: Path, *, part: Part = "report", count: int = 6) -> Iterator[Labelled]:
    """Expert labels of heart chambers in short-axis MR without voxel size, end of diastole and of systole."""
    names = {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}
    for case in _cases(acdc.DATASET, data, part)[:count]:
        yield _labelled(case.name, f"acdc-{case.patient}", case.volume, case.labels, case.grid, names)


def kidneys(data: Path, *, count: int = 10) -> Iterator[Labelled]:
    """Expert kidney masks of tumour patients, without scans; tumour and kidney together, split by side."""
    for path in sorted((data / "kits_ehr" / "masks").glob("*.nii.gz"))[:count]:
        labels, grid = _map(path)
        turned, straight = reorient_array(labels > 0, grid, "RAS")
        across = np.flatnonzero(turned.any(axis=(1, 2)))
        gaps = np.flatnonzero(np.diff(across) > 1)
        if len(gaps) != 1:
            continue  # a horseshoe, a single kidney or scattered pieces cannot be split by a plane
        place = int(across[gaps[0]]) + 1
        split = turned.astype(np.int16)
        split[:place] *= 2  # left is where R is small
        yield _labelled(path.name[:10], path.name[:10], None, split, straight, {1: "right kidney", 2: "left kidney"})


SETS: dict[str, Callable[[Path], Iterator[Labelled]]] = {
    "CT example": example_ct,
    "other examples": other_examples,
    "head T1": heads,
    "hippocampus": hippocampi,
    "heart MR": hearts,
    "AMOS label maps": amos,
    "atlas bodies": atlas_bodies,
    "KiTS kidneys": kidneys,
}
CHECKING: dict[str, Callable[[Path], Iterator[Labelled]]] = {  # whom ranges of healthy sizes must not shut out
    **SETS,
    "head label maps": head_maps,
    "ICRP bodies": icrp_bodies,
}
SETTING: dict[str, Callable[[Path], Iterator[Labelled]]] = {  # what limits were set on
    "CT example": example_ct,
    "hippocampus": partial(hippocampi, part="set"),
    "heart MR": partial(hearts, part="set"),
}
WITH_SCAN = ("CT example", "other examples", "head T1", "hippocampus", "heart MR")  # the others are label maps alone
HELD_OUT = ("other examples", "hippocampus", "heart MR")  # neither limits nor ranges come from them
