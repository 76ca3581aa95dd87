"""Streams of slices as displayed: those with outlines, and those whose outlines are not looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...imaging.errors import BadCall
from ...models.inference.pictures import displayed, displayed_labels
from ...models.labelled.slices import lay_out
from ..cases import Case
from ..objective import LABELLED, UNLABELLED, Batch
from ..sampling import Ready, View, draw
from ..trainer import Stream
from .methods import method
from .run import FinetuneRun


def make_ready(case: Case, structures: Mapping[str, tuple[int, ...]], size: int) -> list[Ready]:
    """Slices of a case as squares, labels as numbers of classes: 0 nothing, then the structures in order.

    Raises:
        BadCall: the case is a label map without a scan.
    """
    if case.volume is None:
        raise BadCall(f"'{case.name}' has no scan. Take data sets with scans.")
    classes = np.zeros(case.labels.shape, np.uint8)
    for number, values in enumerate(structures.values(), start=1):
        classes[np.isin(case.labels, values)] = number
    pictures = lay_out(displayed(case.volume), size)
    shown = torch.from_numpy(displayed_labels(classes, case.grid))[:, None].float()
    labels = F.interpolate(shown, size=(size, size), mode="nearest")[:, 0].to(torch.uint8)
    return [
        Ready(f"{case.name}:{n}", picture.half(), label)
        for n, (picture, label) in enumerate(zip(pictures, labels, strict=True))
    ]


def streams_of(run: FinetuneRun, data: Path) -> tuple[dict[str, Stream], dict[str, int]]:
    """The method's streams, and how many patients each has.

    Raises:
        BadCall: too few patients for them.
    """
    size = run.view.patch[0]
    pools: dict[str, list[Ready]] = {}
    for source in run.sources:
        for case in source.dataset.cases(data, "train"):
            pools.setdefault(case.patient, []).extend(make_ready(case, run.structures, size))
    chosen = choose_labelled(sorted(pools), run.labelled, run.schedule.seed)
    parts = {LABELLED: chosen, UNLABELLED: [one for one in sorted(pools) if one not in chosen]}
    wanted = method(run.method).streams
    for name in wanted:
        if not parts[name]:
            raise BadCall(
                f"Of {len(pools)} training patients none is left for the stream '{name}'. Lower `labelled`, or add data."
            )
    made = {}
    for number, name in enumerate(wanted):
        pool = [one for patient in parts[name] for one in pools[patient]]
        if name == UNLABELLED:
            pool = [replace(one, labels=torch.zeros_like(one.labels)) for one in pool]  # outlines are not looked at
        made[name] = _stream(pool, run.view, run.batch, run.schedule.seed, number)
    return made, {name: len(parts[name]) for name in wanted}


def choose_labelled(patients: Sequence[str], count: int, seed: int) -> list[str]:
    """The patients whose outlines are looked at; all of them where `count` is 0."""
    if count == 0 or count >= len(patients):
        return list(patients)
    drawn = np.random.default_rng([seed, 3]).permutation(len(patients))[:count]
    return sorted(patients[n] for n in drawn)


def _stream(pool: Sequence[Ready], view: View, size: int, seed: int, number: int) -> Stream:
    def batch(step: int, part: int) -> Batch:
        images, labels = [], []
        for item in range(size):
            rng = np.random.default_rng([seed, step, part, 4 + number, item])
            image, label = draw(pool[int(rng.integers(len(pool)))], view, rng, {}, None)
            images.append(image.clamp(0, 1))
            labels.append(label)
        return Batch(torch.stack(images), torch.stack(labels))

    return batch
