"""Scans of another kind than a network was taught, in which its structures certainly are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...imaging.files import read_image
from ...imaging.geometry import Box, crop
from ...imaging.volume import Grid, Volume
from ..cases import Case
from ..data import acdc, brain, btcv, other_kinds

COUNT = 6


def wrong_scans(data: Path, dataset: str, *, part: str) -> Iterator[Case]:
    """Scans that a network taught on `dataset` must find nothing in.

    Args:
        part: "fit" or "report"; the two share no patient, or at least no place in a body.
    """
    if dataset == "hippocampus":
        yield from _upper_head(data, part)
    elif dataset == "acdc":
        for case in _every_other(btcv.DATASET.cases(data, "train"), part):
            yield _unlabelled(case, "mr")
        yield from _heads(data, part)
    elif dataset == "btcv":
        for case in _every_other(acdc.DATASET.cases(data, "train"), part):
            assert case.volume is not None
            middle = case.grid.shape[2] // 2
            array = np.ascontiguousarray(np.asarray(case.volume.array)[:, :, middle : middle + 1])
            grid = Grid(array.shape, np.eye(4), spacing_known=False)
            yield _unlabelled(replace(case, volume=Volume(array, grid, "unknown"), grid=grid), "unknown")
        yield from of_other_kinds(data, part)


def of_other_kinds(data: Path, part: str, count: int = 25) -> list[Case]:
    """X-rays, heads, knees and breasts that no network was taught on; at most so many, every second one for each part."""
    return other_kinds.DATASET.cases(data, "test")[part == "report" :: 2][:count]


def _heads(data: Path, part: str) -> Iterator[Case]:
    """Slabs of a skull-stripped head, every other one."""
    for case in brain.DATASET.load(data / "brain_t1"):
        if case.volume is None:
            continue
        array = np.asarray(case.volume.array)
        for number in range(COUNT):
            axis = number % 3
            first = int(case.grid.shape[axis] * (0.3 + 0.06 * number)) + 3 * (part == "report")
            slab = np.ascontiguousarray(np.moveaxis(array, axis, 2)[:, :, first : first + 3])
            grid = Grid(slab.shape, np.eye(4), spacing_known=False)
            yield _unlabelled(Case("head", f"head {number}", Volume(slab, grid, "mr"), slab, grid), "mr")


def _every_other(cases: list[Case], part: str) -> list[Case]:
    patients = sorted({case.patient for case in cases})[part == "report" :: 2][:COUNT]
    return [next(case for case in cases if case.patient == patient) for patient in patients]


def _unlabelled(case: Case, modality: Literal["mr", "unknown"]) -> Case:
    return replace(case.told(modality), labels=np.zeros(case.grid.shape, dtype=np.uint8))


def _upper_head(data: Path, part: str) -> Iterator[Case]:
    """Crops of the upper head, above the hippocampi; left half to fit on, right half to report on."""
    opened = read_image(data / "brain_t1" / "t1_head.nii.gz", modality="mr").volume
    assert opened is not None
    array = np.asarray(opened.array)
    head = Box.of(array > 0.2 * float(np.percentile(array, 99)))
    assert head is not None
    codes = opened.grid.axis_codes
    up = next(n for n, code in enumerate(codes) if code in "SI")
    across = next(n for n, code in enumerate(codes) if code in "RL")
    rng = np.random.default_rng(0)
    side = (40, 50, 36)
    for number in range(COUNT):
        start = [int(rng.integers(a, max(a + 1, b - s))) for a, b, s in zip(head.start, head.stop, side, strict=True)]
        high = head.stop[up] - head.start[up]
        offset = int(rng.integers(5, max(6, high // 4)))
        start[up] = head.start[up] + offset if codes[up] == "I" else head.stop[up] - side[up] - offset
        middle = (head.start[across] + head.stop[across]) // 2
        start[across] = middle - side[across] if (part == "fit") == (codes[across] == "R") else middle
        box = Box((start[0], start[1], start[2]), (start[0] + side[0], start[1] + side[1], start[2] + side[2]))
        small, grid = crop(array, opened.grid, box)
        labels = np.zeros(small.shape, dtype=np.uint8)
        yield Case("head", f"head {number}", Volume(small, grid, "mr"), labels, grid)
