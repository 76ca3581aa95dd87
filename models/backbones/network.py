"""What every backbone is: a network from an image to one channel per class, with maps on the way and side answers.

Sizes are the base's affair: an image is padded to what the network can divide, and its answers are cut back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from ...imaging.errors import BadCall


@dataclass(frozen=True)
class SideAnswer:
    """Logits from inside a network, for training.

    Attributes:
        tag: where they come from.
        logits: (b classes ...) at their own resolution.
        weight: of their loss beside 1 for the network's answer, unless training says otherwise.
    """

    tag: str
    logits: torch.Tensor
    weight: float


@dataclass(frozen=True)
class SegOutput:
    """What a backbone answers.

    Attributes:
        logits: (b classes x y z) or (b classes x y), of the image's size.
        aux: side answers.
        features: maps by place, "encoder.0" and "decoder.0" the finest, of the padded image; both kinds are always there.
        extra: what else training needs, as reconstructions; by name.
    """

    logits: torch.Tensor
    aux: tuple[SideAnswer, ...] = ()
    features: Mapping[str, torch.Tensor] = field(default_factory=dict)
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)


class SegmentationNetwork(nn.Module):
    """A backbone; heirs define `answer` and never pad.

    Attributes:
        channels_last: whether it is trained with its kernels in that order; torch 2.13 writes past its memory on the way back through
            some networks whose kernels are (ParaTransCNN's), so only those it was tried on are.
        dims: 2 or 3.
        channels: of the input.
        classes: channels of the answer.
        divisor: for each axis, what the sides given to `answer` are multiples of.
        minimum: for each axis, the least side an image may have; `answer` gets no less.
    """

    channels_last = False

    def __init__(self, dims: int, channels: int, classes: int, divisor: Sequence[int], minimum: Sequence[int]) -> None:
        super().__init__()
        self.dims, self.channels, self.classes = dims, channels, classes
        self.divisor, self.minimum = tuple(divisor), tuple(minimum)
        if not len(self.divisor) == len(self.minimum) == dims:
            raise ValueError(f"divisor and minimum are for {dims} axes")

    def answer(self, image: torch.Tensor) -> SegOutput:
        """What the network says of (b channels ...) whose sides are multiples of `divisor` and at least `minimum`."""
        raise TypeError(f"{type(self).__name__} defines no answer")

    def own_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Named and weighted terms that the network's paper adds to the losses of its answers; often none.

        Args:
            said: what it said in training.
            masks: (b classes ...) of the image's size, 0 or 1.
        """
        return self.more_losses(said, pad_to(masks, self._padded(masks.shape[2:])))

    def more_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """What an heir has for `own_losses`, of masks padded as the image was."""
        return {}

    def forward(self, image: torch.Tensor) -> SegOutput:
        """What the network says of an image of any size.

        Args:
            image: (b channels x y z) or (b channels x y).

        Raises:
            BadCall: other dimensions, other channels, or a side below the least.
        """
        if torch._C._get_tracing_state() is not None:  # by an engine, which pads itself
            return self.answer(image)
        sides = tuple(image.shape[2:])
        if len(sides) != self.dims:
            raise BadCall(
                f"The network takes {self.dims}-D images, this one has {len(sides)} dimensions. Give it others."
            )
        if image.shape[1] != self.channels:
            raise BadCall(
                f"The network takes {self.channels} channels, the image has {image.shape[1]}. Give it others."
            )
        if any(side < least for side, least in zip(sides, self.minimum, strict=True)):
            raise BadCall(
                f"The image is {' x '.join(map(str, sides))}; the network takes none below "
                f"{' x '.join(map(str, self.minimum))}. Give it a larger one, or take another backbone."
            )
        padded = pad_to(image, self._padded(sides))
        said = self.answer(padded)
        if padded.shape == image.shape:
            return said
        whole = tuple(padded.shape[2:])
        aux = tuple(SideAnswer(one.tag, _cut(one.logits, sides, whole), one.weight) for one in said.aux)
        return SegOutput(_cut(said.logits, sides, whole), aux, said.features, said.extra)

    def _padded(self, sides: Sequence[int]) -> list[int]:
        return [-(-side // by) * by for side, by in zip(sides, self.divisor, strict=True)]


@contextmanager
def in_use(net: nn.Module) -> Iterator[None]:
    """The network is as it is used; afterwards every part of it is in training or not as before."""
    modes = {part: part.training for part in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def pad_to(image: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """An image (b channels ...) grown at its ends to the given sides: mirrored, and with zeros where it is too short for that."""
    for axis, side in enumerate(sides, start=2):
        more = side - image.shape[axis]
        if more == 0:
            continue
        if more < image.shape[axis]:
            shown = image.narrow(axis, image.shape[axis] - 1 - more, more).flip(axis)
        else:
            shown = image.new_zeros([more if n == axis else size for n, size in enumerate(image.shape)])
        image = torch.cat([image, shown], dim=axis)
    return image


def _cut(logits: torch.Tensor, sides: Sequence[int], padded: Sequence[int]) -> torch.Tensor:
    """The part of logits over a padded image, at any resolution, that lies over the image."""
    for axis, (side, whole) in enumerate(zip(sides, padded, strict=True), start=2):
        logits = logits.narrow(axis, 0, -(-side * logits.shape[axis] // whole))
    return logits


def resize(x: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """Maps (b c ...) at other sides, linearly, corners not aligned; the same tensor where nothing changes."""
    if tuple(x.shape[2:]) == tuple(sides):
        return x
    return F.interpolate(x, tuple(sides), mode="bilinear" if x.dim() == 4 else "trilinear", align_corners=False)


def name_maps(down: Sequence[torch.Tensor], up: Sequence[torch.Tensor] = ()) -> dict[str, torch.Tensor]:
    """Maps by their places, in the order in which networks come by them.

    Args:
        down: of the encoder, finest first.
        up: of the decoder, coarsest first.
    """
    named = {f"encoder.{n}": one for n, one in enumerate(down)}
    return named | {f"decoder.{n}": one for n, one in enumerate(reversed(up))}


def deepest_place(features: Mapping[str, torch.Tensor]) -> str:
    """Where the encoder's deepest map is."""
    return max((name for name in features if name.startswith("encoder.")), key=lambda name: int(name.split(".")[1]))


def halve_weights(coarse: Sequence[torch.Tensor]) -> tuple[SideAnswer, ...]:
    """Logits of the decoder's levels above the finest, coarsest first, as side answers: each weighs half of the next finer one.

    Source: weights as nnU-Net (Isensee et al. 2021).
    """
    return tuple(SideAnswer(f"decoder.{n}", one, 0.5**n) for n, one in enumerate(reversed(coarse), start=1))


def mean_of_answers(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """The logits of the mean of the probabilities of each channel; exact where those are near 0 or 1.

    Source: Zhou et al. 2018 (UNet++), arXiv 1807.10165, section 3.2, the accurate mode.
    """
    all_of_them = torch.stack(list(logits))
    return torch.logsumexp(F.logsigmoid(all_of_them), 0) - torch.logsumexp(F.logsigmoid(-all_of_them), 0)
