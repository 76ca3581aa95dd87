"""Networks beside the one that is trained: its past, its equals, and what any of them answers and is taught."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ....imaging.errors import BadCall
from ....models.backbones.network import SegOutput, in_use, resize
from ...objective import MODEL, Batch, Objective, Roles
from ..by_words import masks_of
from ..inside import backbone_in
from ..row import Lesson
from .masked import DiceCe, Mode, Pool, dice_ce, two_classes

PEER = "peer"
"""Role of a second network that is trained beside the exported one."""
TEACHER = "teacher"
"""Role of a network that no optimiser changes."""
Structures = Mapping[str, tuple[int, ...]]


def frozen_copy(net: nn.Module) -> nn.Module:
    """The same network with the same weights, which ask for no gradient."""
    return copy.deepcopy(net).requires_grad_(False)


def fresh_copy(net: nn.Module, seed: int) -> nn.Module:
    """The same network with other first weights; those outside of torch's own layers stay as they are."""
    other = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in other.modules():
            if callable(again := getattr(part, "reset_parameters", None)):
                again()
    return other


class TwoOfAKind(Objective):
    """Two networks of other first weights that learn together; the first is exported.

    Attributes:
        seed: of the second network's weights.
    """

    seed: int

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """Both."""
        return {MODEL: model, PEER: fresh_copy(model, self.seed)}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """Both learn together."""
        return trained_together(*roles.values())


def trained_together(*nets: nn.Module) -> dict[str, list[nn.Parameter]]:
    """One group of everything that several networks learn."""
    return {"main": [value for net in nets for value in net.parameters()]}


@contextmanager
def at_rest(net: nn.Module) -> Iterator[nn.Module]:
    """The network as it is used, without gradients; every part of it is as before afterwards."""
    with in_use(net), torch.no_grad():
        yield net


def answer(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits (b n ...) in single precision, whatever else it answers."""
    said = net(images)
    return (said.logits if isinstance(said, SegOutput) else said).float()


def answer_at_rest(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits as the network is used, without gradients."""
    with at_rest(net):
        return answer(net, images)


def whole_answer(net: nn.Module, images: torch.Tensor) -> SegOutput:
    """Logits with the maps on the way.

    Raises:
        BadCall: the network gives none.
    """
    said = net(images)
    if not isinstance(said, SegOutput) or not said.features:
        raise BadCall("This objective needs maps from inside the network. Take a backbone without words.")
    return said


def mode_of(lesson: Lesson) -> Mode:
    """The option `mode`."""
    return "released" if lesson.word("mode") == "released" else "paper"


def truth_of(batch: Batch, structures: Structures, logits: torch.Tensor) -> torch.Tensor:
    """Integers (b*n ...), 1 inside, for `two_classes` of the logits.

    Raises:
        BadCall: there are not as many channels as structures.
    """
    if logits.shape[1] != len(structures):
        raise BadCall(
            f"The network has {logits.shape[1]} output channels, but {len(structures)} structures are taught. Make them equal."
        )
    return masks_of(batch.labels, list(structures.values())).flatten(0, 1).long()


def supervise(logits: torch.Tensor, batch: Batch, structures: Structures, *, pool: Pool = "each") -> DiceCe:
    """Dice and cross-entropy of a labelled batch."""
    return dice_ce(two_classes(logits), truth_of(batch, structures, logits), pool=pool)


def widths_inside(net: nn.Module) -> dict[str, int]:
    """Channels of the maps on the way, by place; asked of the smallest image of two steps a side."""
    inner = backbone_in(net)
    sides = [2 * by * -(-least // (2 * by)) for by, least in zip(inner.divisor, inner.minimum, strict=True)]
    like = next(inner.parameters())
    with at_rest(inner):
        said = inner(torch.zeros(1, inner.channels, *sides, device=like.device, dtype=like.dtype))
    return {place: int(x.shape[1]) for place, x in said.features.items()}


def over_image(x: torch.Tensor, net: nn.Module, sides: Sequence[int]) -> torch.Tensor:
    """A map of the padded image (b c ...), brought to the sides of the image itself."""
    divisor = backbone_in(net).divisor
    x = resize(x.float(), [-(-side // by) * by for side, by in zip(sides, divisor, strict=True)])
    for axis, side in enumerate(sides, start=2):
        x = x.narrow(axis, 0, side)
    return x
