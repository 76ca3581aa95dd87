"""Scans with known answers for the verdict figures: whole, cut so that organs leave the view, and of other regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.files import read_image
from ...imaging.geometry import Box, crop, resample, respaced_grid
from ...imaging.volume import BoolArray, Modality, Volume
from ...models.catalogue import segmenters
from ...training.cases import Case, Dataset
from ...training.data import acdc, brain, btcv, example_ct, hippocampus, sarcoma
from ...training.reliability.calibrate import halves, spread
from ...training.reliability.wrong_scans import of_other_kinds
from .verdicts_changed import Question, resized_hearts, slices, whole


def claimed_by(modality: str, dims: int) -> tuple[str, ...]:
    """Every structure that some bundled network claims for such images."""
    names = [
        name
        for card in segmenters()
        if card.weights == "bundled" and dims in card.dimensions and modality in ("unknown", *card.modalities)
        for name in card.claimed
    ]
    return tuple(dict.fromkeys(names))


def questions(data: Path, *, seed: int = 0) -> Iterator[Question]:
    """Every scan, always in the same order."""
    rng = np.random.default_rng(seed)
    yield from _trunk(data, rng)
    yield from slices(data)
    yield from resized_hearts(data)
    yield from _held_out(data, acdc.DATASET, most=4)
    yield from _held_out(data, hippocampus.DATASET, most=8)
    yield from _held_out(data, sarcoma.PET, most=4)
    yield from _cut_held_out(data, rng)
    yield from _other_regions(data)


def _held_out(data: Path, dataset: Dataset, *, most: int) -> Iterator[Question]:
    every = halves(dataset.cases(data, "test"))[1]  # the others set the limits
    for n in np.unique(np.linspace(0, len(every) - 1, min(most, len(every))).round().astype(int)):
        yield whole(every[n], dataset.structures)


def _part(question: Question, box: Box, name: str) -> Question:
    """The question cut to a box; shares are those of what the uncut scan shows."""
    array, grid = crop(np.asarray(question.volume.array), question.volume.grid, box)
    truth: dict[str, BoolArray | None] = {}
    share: dict[str, float] = {}
    for structure, every in question.truth.items():
        if every is None:
            truth[structure], share[structure] = None, 0.0
            continue
        kept = crop(every, question.volume.grid, box)[0]
        truth[structure] = kept
        share[structure] = float(kept.sum()) / max(1, int(every.sum()))
    volume = replace(question.volume, array=array, grid=grid)
    return replace(question, name=f"{question.name}, {name}", kind="cut", volume=volume, truth=truth, share=share)


def _trunk(data: Path, rng: np.random.Generator) -> Iterator[Question]:
    """The abdomen-pelvis CT, whole, in stacks of slices, and one half; and the DICOM series of the liver."""
    case = example_ct.DATASET.cases(data, "test")[0]
    names = {name: values for name, values in example_ct.STRUCTURES.items() if name in claimed_by("ct", 3)}
    uncut = whole(case, names)
    yield uncut
    wide, deep, high = case.grid.shape
    for low, top in ((0, 45), (0, 70), (20, 56), (45, 80), (60, high), (75, high), *_stacks(high, rng, count=2)):
        yield _part(uncut, Box((0, 0, low), (wide, deep, top)), f"slices {low} to {top}")
    yield _part(uncut, Box((0, 0, 0), (wide // 2, deep, high)), "its left half")
    opened = read_image(data / "totalsegmentator_example" / "example_ct_dicom").volume
    assert opened is not None
    seg = read_image(data / "totalsegmentator_example" / "example_seg_dicom.nii.gz").volume
    assert seg is not None
    labels = resample(np.asarray(seg.array), seg.grid, opened.grid, order=0).astype(np.uint8)
    yield whole(Case("dicom", "example_ct_dicom", opened, labels, opened.grid), names)


def _stacks(high: int, rng: np.random.Generator, *, count: int) -> list[tuple[int, int]]:
    """Stacks of 20 to 60 slices at random heights."""
    made = []
    for _ in range(count):
        length = int(rng.integers(20, 61))
        low = int(rng.integers(0, high - length + 1))
        made.append((low, low + length))
    return made


def _cut_held_out(data: Path, rng: np.random.Generator) -> Iterator[Question]:
    """Hearts of which half is left or which are cut away; hippocampi cut in front or behind; slices' left halves."""
    for question in _held_out(data, acdc.DATASET, most=2):
        wide, deep, high = question.volume.grid.shape
        yield _part(question, Box((0, 0, 0), (wide, deep, max(2, high // 2))), "half of its slices")
        heart = np.flatnonzero(np.any([t.any(axis=(1, 2)) for t in question.truth.values() if t is not None], axis=0))
        if heart[0] > 40:
            yield _part(question, Box((0, 0, 0), (int(heart[0]) - 4, deep, high)), "beside the heart")
    for question in _held_out(data, hippocampus.DATASET, most=6):
        wide, deep, high = question.volume.grid.shape
        low = bool(rng.integers(2))
        box = Box((0, 0, 0), (wide, deep // 2, high)) if low else Box((0, deep // 2, 0), (wide, deep, high))
        yield _part(question, box, "its back half" if low else "its front half")
    for case in spread(halves(btcv.DATASET.cases(data, "test"))[1], 6):
        question = whole(case.told("ct"), btcv.DATASET.structures)
        wide, deep, _ = question.volume.grid.shape
        yield _part(question, Box((0, 0, 0), (wide // 2, deep, 1)), "one half")


def _other_regions(data: Path) -> Iterator[Question]:
    """Scans that certainly do not contain what they are asked for."""
    trunk = claimed_by("ct", 3)
    heart = tuple(name for name in acdc.DATASET.structures if name in claimed_by("mr", 3))
    lower = tuple(name for name in trunk if name in ("urinary bladder", *example_ct.STRUCTURES) and _is_low(name))
    not_legs = tuple(name for name in trunk if name not in ("left femur", "right femur", "femora"))
    modalities: tuple[Modality, ...] = ("unknown", "ct")
    for modality in modalities:
        yield _none(data / "brain_t1" / "t1_head.nii.gz", modality, trunk, "head MR", mm=3.0)
    yield _none(data / "brain_t1" / "t1_head.nii.gz", "mr", heart, "head MR", mm=3.0)
    for patient in ("STS_019", "STS_032", "STS_035"):
        yield _none(data / "sts_ibsi" / "nifti" / patient / "CT_image.nii.gz", "ct", not_legs, "limb CT")
    mr = tuple(dict.fromkeys((*heart, *claimed_by("mr", 3))))
    for patient in ("STS_004", "STS_032"):
        yield _none(data / "sts_ibsi" / "nifti" / patient / "MR_T1_image.nii.gz", "mr", mr, "limb MR")
    yield _none(data / "ibsi" / "ct_phantom_image.nii.gz", "ct", lower, "chest CT")
    yield _none(data / "pyradiomics" / "breast1_image.nrrd", "unknown", trunk, "breast MR")
    yield from _head_crops(data)
    slices = tuple(name for name in btcv.DATASET.structures if name in claimed_by("ct", 2))
    for case in of_other_kinds(data, "report"):
        assert case.volume is not None
        yield Question(
            case.name, "other region", case.volume, dict.fromkeys(slices), dict.fromkeys(slices, 0.0), case.patient
        )


def _is_low(name: str) -> bool:
    return name in ("urinary bladder", "femora", "hip bones", "sacrum") or name.endswith(("femur", "hip bone"))


def _none(path: Path, modality: Modality, names: tuple[str, ...], what: str, *, mm: float | None = None) -> Question:
    opened = read_image(path, modality=modality).volume
    assert opened is not None
    array: npt.NDArray[Any] = np.asarray(opened.array)
    grid = opened.grid
    if mm is not None:  # coarser, to be quick
        grid = respaced_grid(opened.grid, (mm, mm, mm))
        array = resample(array.astype(np.float32), opened.grid, grid)
    volume = Volume(array, grid, modality)
    name = f"{what} {path.parent.name} as {modality}"
    return Question(name, "other region", volume, dict.fromkeys(names), dict.fromkeys(names, 0.0), path.parent.name)


def _head_crops(data: Path) -> Iterator[Question]:
    """Crops of a head of the size of a hippocampus crop, away from both hippocampi."""
    names = tuple(hippocampus.DATASET.structures)
    for case in brain.DATASET.load(data / "brain_t1"):
        if case.volume is None:
            continue
        inside = np.isin(case.labels, brain.DATASET.structures["hippocampi"])
        rng = np.random.default_rng(0)
        found = 0
        body = np.asarray(case.volume.array) > 0
        while found < 4:
            start = rng.integers(0, np.array(case.grid.shape) - 50)
            box = Box((int(start[0]), int(start[1]), int(start[2])), tuple(int(s) + 50 for s in start))  # type: ignore[arg-type]  # three of them
            where = box.slices
            if inside[where].any() or body[where].mean() < 0.7:
                continue
            found += 1
            array, grid = crop(np.asarray(case.volume.array), case.grid, box)
            volume = Volume(array, grid, "mr")
            yield Question(
                f"head crop {found}",
                "other region",
                volume,
                dict.fromkeys(names),
                dict.fromkeys(names, 0.0),
                case.patient,
            )
