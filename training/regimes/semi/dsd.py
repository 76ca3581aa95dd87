"""Dual self-distillation: the deepest level of the encoder and of the decoder teach the levels above them.

Paper: dual self-distillation of U-shaped networks (DSD, ISBI 2024); code soumbane/DualSelfDistillation. Every level gets a head, which
stays behind when the network is exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ....models.checkpoints import Tensors
from ....models.parity import Fixture
from ...objective import LABELLED, MODEL, Batches, Objective, Roles, State
from ..inside import backbone_in
from ..row import Lesson
from .masked import dice_ce, two_classes
from .peers import Structures, over_image, supervise, trained_together, whole_answer, widths_inside

HEADS = "heads"
"""Role of what answers at every level."""


def distilled(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    """KL divergence of a student's classes (b k ...) from its teacher's, both softened; summed over classes, meaned over voxels."""
    wanted = (teacher / temperature).softmax(1)
    said = (student / temperature).log_softmax(1)
    return F.kl_div(said, wanted, reduction="none").sum(1).mean()


def distil_levels(levels: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """The deepest level teaches every other one; pairs are added, times the squared temperature; one level teaches none.

    Args:
        levels: logits (b k ...) of one size, the deepest last.
    """
    *students, teacher = levels
    total = teacher.new_zeros(())
    for student in students:
        total = total + distilled(teacher, student, temperature)
    return temperature**2 * total


class Heads(nn.Module):
    """One pointwise convolution for each map of a network.

    Args:
        widths: channels by place, "encoder.0" the finest.
    """

    def __init__(self, widths: Mapping[str, int], dims: int, classes: int) -> None:
        super().__init__()
        point = nn.Conv2d if dims == 2 else nn.Conv3d
        self.points = nn.ModuleDict(
            {place.replace(".", "_"): point(width, classes, 1) for place, width in widths.items()}
        )

    def forward(self, maps: Mapping[str, torch.Tensor], side: str) -> list[torch.Tensor]:
        """Logits of every level of a side, "encoder" or "decoder", the deepest last."""
        places = sorted((place for place in maps if place.startswith(f"{side}.")), key=lambda p: int(p.split(".")[1]))
        return [self.points[place.replace(".", "_")](maps[place]) for place in places]


@dataclass(frozen=True)
class Dsd(Objective):
    """Dice and cross-entropy of the answer and of every level of the decoder, and what the deepest levels teach.

    Attributes:
        weight: of the distillation.
        detach: whether the teachers are spared its gradient.
    """

    structures: Structures
    temperature: float = 3.0
    weight: float = 1.0
    detach: bool = False

    name = "dsd"
    paper = "DSD, dual self-distillation, ISBI 2024"

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network, and its heads."""
        return {MODEL: model, HEADS: Heads(widths_inside(model), backbone_in(model).dims, len(self.structures))}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """Both learn together."""
        return trained_together(roles[MODEL], roles[HEADS])

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "supervised" and "distilled", each a sum over levels."""
        net, batch = roles[MODEL], batches[LABELLED]
        said = whole_answer(net, batch.images)
        sides = batch.labels.shape[1:]
        encoder, decoder = (
            [over_image(x, net, sides) for x in roles[HEADS](said.features, side)] for side in ("encoder", "decoder")
        )
        taught = [supervise(x, batch, self.structures) for x in (said.logits, *decoder)]
        pairs = []
        for levels in (encoder, decoder):
            classes = [two_classes(x) for x in levels]
            classes[-1] = classes[-1].detach() if self.detach else classes[-1]
            pairs.append(distil_levels(classes, self.temperature))
        return {
            "supervised": torch.stack([one.dice + one.cross_entropy for one in taught]).sum(),
            "distilled": self.weight * torch.stack(pairs).sum(),
        }


def teach(lesson: Lesson) -> Dsd:
    """The objective "dsd"."""
    detach = bool(lesson.number("detach_teacher"))
    return Dsd(lesson.structures, lesson.number("temperature"), lesson.number("distillation"), detach)


def reproduce(fixture: Fixture) -> Tensors:
    """Our values and gradients on a fixture: an answer, levels of the decoder, then those of the encoder, each side's deepest last."""
    count = sum(name.startswith("logits_") for name in fixture.inputs)
    levels = [fixture.inputs[f"logits_{n}"].clone().requires_grad_() for n in range(count)]
    temperature, background = float(fixture.sizes["T"]), bool(fixture.sizes.get("include_background", True))
    seen = levels if background else [x[:, 1:] for x in levels]
    middle = 1 + (count - 1) // 2
    kl = distil_levels(seen[1:middle], temperature) + distil_levels(seen[middle:], temperature)
    labels = fixture.inputs["label"][:, 0].long()
    dice_and_ce = [dice_ce(x, labels) for x in levels[:middle]]
    supervised = torch.stack([one.dice + one.cross_entropy for one in dice_and_ce]).sum()
    wanted = {"student_decoder": 1, "teacher_decoder": middle - 1, "teacher_encoder": count - 1}
    slopes = torch.autograd.grad(kl, [levels[n] for n in wanted.values()])
    values = {
        "kl": kl,
        "dice_ce": supervised,
        "total": kl + supervised,
        "pixelwise_kl_one": distilled(seen[middle - 1], seen[1], temperature),
    }
    return {
        **{f"grad_{name}": slope for name, slope in zip(wanted, slopes, strict=True)},
        **{name: value.detach()[None] for name, value in values.items()},
    }
