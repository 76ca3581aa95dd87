"""From a label map to the channels a network is conditioned on, the same in training and use. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .priors import paint_values, prior, to_unit
from .scales import Float, Made

UNLABELLED = -1.0


@dataclass(frozen=True)
class ConditionPlan:
    """The channels: the prior image of each slice and its neighbours, then one mask per structure taught.

    Attributes:
        vocabulary: canonical names, in the order of the mask channels.
        neighbours: slices on each side whose prior image is shown, too (2.5-D); 0 is plain 2-D.
    """

    modality: Made
    vocabulary: tuple[str, ...]
    neighbours: int = 0

    @property
    def channels(self) -> int:
        """How many."""
        return 2 * self.neighbours + 1 + len(self.vocabulary)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ConditionPlan:
        """The plan written by `vars`."""
        return cls(**{**values, "vocabulary": tuple(values["vocabulary"])})

    def of_stack(self, labels: npt.NDArray[np.integer], names: Mapping[int, str]) -> Float:
        """Channels (z c x y) of a label map (x y z).

        Args:
            names: label -> structure; those outside the vocabulary show in the prior channels only.
        """
        values = {label: to_unit(prior(name, self.modality).value, self.modality) for label, name in names.items()}
        stack = paint_values(labels, values, outside=UNLABELLED).transpose(2, 0, 1)
        out = np.zeros((stack.shape[0], self.channels, *stack.shape[1:]), np.float32)
        for channel, offset in enumerate(range(-self.neighbours, self.neighbours + 1)):
            out[:, channel] = stack[np.clip(np.arange(len(stack)) + offset, 0, len(stack) - 1)]
        first = 2 * self.neighbours + 1
        for number, name in enumerate(self.vocabulary):
            mine = [label for label, other in names.items() if other == name]
            out[:, first + number] = np.isin(labels, mine).transpose(2, 0, 1)
        return out


def label_map(masks: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.uint8]:
    """Masks as labels 1, 2, ...; where they overlap the smaller structure wins, which lies inside the other."""
    labels = np.zeros(masks[0].shape, np.uint8)
    for number in sorted(range(len(masks)), key=lambda n: -int(masks[n].sum())):
        labels[masks[number]] = number + 1
    return labels
