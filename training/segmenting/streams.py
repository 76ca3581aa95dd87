"""What a run learns from: batches of random views of its training cases, with labels and, for some objectives, without."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...imaging.errors import BadCall
from ..cases import Case
from ..data.datasets import APPEARANCES
from ..objective import LABELLED, UNLABELLED, Batch
from ..sampling import Ready, draw, make_ready
from ..trainer import Stream
from .config import RunConfig, Source

CHANCE: Mapping[str, int] = {LABELLED: 2, UNLABELLED: 4}
"""Which random numbers a stream draws: adding one leaves the order of the others as it was."""
NO_LABEL = -1
"""Every label of the unlabelled stream."""


@dataclass(frozen=True)
class Streams:
    """What `Trainer.fit` takes, and what it is made of.

    Attributes:
        by_name: one for each stream, a function of (step, part) only.
        cases: stream -> data set -> how many cases.
    """

    by_name: Mapping[str, Stream]
    cases: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class _Pool:
    real: list[Ready]
    made: list[Ready]
    name: str
    mirrored: dict[int, int]


def stream_of(plan: RunConfig, data: Path) -> tuple[Stream, Mapping[str, int]]:
    """The labelled stream, and cases per data set."""
    streams = streams_of(plan, data, (LABELLED,))
    return streams.by_name[LABELLED], streams.cases[LABELLED]


def streams_of(plan: RunConfig, data: Path, wanted: Collection[str]) -> Streams:
    """Every stream of the wanted names that a segmenting run has.

    Raises:
        BadCall: one of them would be empty, or a data set of one patient would have to be split.
    """
    pools: dict[str, list[_Pool]] = {name: [] for name in wanted if name in CHANCE}
    cases: dict[str, dict[str, int]] = {name: {} for name in pools}
    for source in plan.sources:
        every = source.dataset.cases(data, "train")
        if not every:
            raise BadCall(f"The data set '{source.dataset.name}' has no training cases. Check its folder.")
        given = dict(zip((LABELLED, UNLABELLED), _divided(plan, source, every), strict=True))
        if UNLABELLED in pools and not given[UNLABELLED]:
            raise BadCall(
                f"The stream 'unlabelled' of '{source.dataset.name}' is empty, and '{plan.objective}' learns from it. Set "
                f"labelled_cases to a number from 1 to fewer than its {len(every)} training cases; the others lose their labels."
            )
        for name, found in pools.items():
            found.append(_pool(plan, source, given[name], hidden=name == UNLABELLED))
            cases[name][source.dataset.name] = len(given[name])
    return Streams({name: _stream(plan, found, CHANCE[name]) for name, found in pools.items()}, cases)


def _divided(plan: RunConfig, source: Source, every: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Cases that keep their labels, and those that lose them; a patient's cases stay together.

    Patients are shuffled by the run's seed and keep their labels until `labelled_cases` cases have; 0 leaves them to all.
    """
    if not plan.labelled_cases:
        return list(every), []
    patients = sorted({case.patient for case in every})
    if len(patients) == 1:
        raise BadCall(
            f"'{source.dataset.name}' has one training patient only, who cannot be both labelled and unlabelled. "
            "Take labelled_cases out, or use a data set of several patients."
        )
    kept: set[str] = set()
    for number in np.random.default_rng([plan.schedule.seed, 5]).permutation(len(patients)):
        if sum(case.patient in kept for case in every) >= plan.labelled_cases:
            break
        kept.add(patients[number])
    with_images = [case for case in every if case.volume is not None]
    return [one for one in every if one.patient in kept], [one for one in with_images if one.patient not in kept]


def _pool(plan: RunConfig, source: Source, cases: Sequence[Case], *, hidden: bool) -> _Pool:
    how, neighbours = plan.preparation, plan.network.neighbours
    ready = [
        item
        for case in cases
        for item in make_ready(case, how, as_slices=plan.network.dims == 2, neighbours=neighbours)
    ]
    if hidden:  # a view must not be centred on what the labels show either
        ready = [replace(item, labels=torch.zeros_like(item.labels)) for item in ready]
    real = [item for item in ready if item.image is not None]
    made = [item for item in ready if item.image is None]
    if made and neighbours:
        raise BadCall(
            f"'{source.dataset.name}' has label maps without images, whose pictures have no neighbours. Set neighbours = 0."
        )
    return _Pool(real, made, source.dataset.name, dict(source.dataset.mirrored))


def _stream(plan: RunConfig, pools: Sequence[_Pool], chance: int) -> Stream:
    weights = np.array([source.weight for source in plan.sources])
    weights = weights / weights.sum()

    def batch(step: int, part: int) -> Batch:
        images, labels, along = [], [], []
        for item in range(plan.batch):
            rng = np.random.default_rng([plan.schedule.seed, step, part, chance, item])
            one = pools[int(rng.choice(len(pools), p=weights))]
            pool = one.real if not one.made or (one.real and rng.random() < plan.real_share) else one.made
            chosen = pool[int(rng.integers(len(pool)))]
            image, label = draw(chosen, plan.view, rng, one.mirrored, APPEARANCES.get(one.name))
            images.append(image)
            labels.append(torch.full_like(label, NO_LABEL) if chance == CHANCE[UNLABELLED] else label)
            along += [] if chosen.along is None else [chosen.along]
        return Batch(torch.stack(images), torch.stack(labels), along=torch.tensor(along) if along else None)

    return batch
