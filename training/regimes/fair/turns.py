"""Batches in which every group has its turn, so that none is missing for long however rare it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from ...cases import Case, Dataset
from ...objective import Batch


def with_cases(dataset: Dataset, cases: Sequence[Case]) -> Dataset:
    """The data set with these training cases and no others."""
    return replace(dataset, load=lambda folder: iter(cases), held_out=lambda patients: set())


def in_turn(streams: Mapping[int, Callable[[int, int], Batch]], batch: int) -> Callable[[int, int], Batch]:
    """A stream whose samples come from the groups' streams in turn; it says which group each is of.

    Args:
        streams: number of a group -> its stream, of one sample each.
        batch: samples of a batch; where there are fewer than groups, the next batch goes on with the next group.
    """
    order = list(streams)

    def drawn(step: int, part: int) -> Batch:
        groups = [order[(step * batch + item) % len(order)] for item in range(batch)]
        found = [streams[one](step, part * batch + item) for item, one in enumerate(groups)]
        along = [one.along for one in found if one.along is not None]
        return Batch(
            torch.cat([one.images for one in found]),
            torch.cat([one.labels for one in found]),
            torch.tensor(groups),
            torch.cat(along) if along else None,
        )

    return drawn
