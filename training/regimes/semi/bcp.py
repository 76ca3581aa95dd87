"""Bidirectional copy-paste: labelled and unlabelled scans are pasted into each other, and a slow copy of the network labels the latter.

Paper: Bai et al. 2023 (BCP), arXiv 2305.00673; code DeepMed-Lab-ECNU/BCP (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ....imaging.errors import BadCall
from ....imaging.masks.edit import largest_part
from ....models.checkpoints import Tensors
from ....models.parity import Fixture
from ...objective import LABELLED, MODEL, UNLABELLED, Batch, Batches, Objective, Roles, State, ema_update_
from ..row import Lesson
from .masked import DiceCe, Pool, dice_ce, masked_dice_ce, two_classes
from .peers import TEACHER, Structures, answer, answer_at_rest, frozen_copy, supervise, truth_of
from .views import hole, random_box

BOX = 2 / 3  # of each side; Source: DeepMed-Lab-ECNU/BCP


def paste(image: torch.Tensor, patch: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The image where the mask is 1, the patch where it is 0."""
    return image * mask + patch * (1 - mask)


def pasted_loss(
    logits: torch.Tensor,
    image_labels: torch.Tensor,
    patch_labels: torch.Tensor,
    mask: torch.Tensor,
    weights: tuple[float, float],
    *,
    pool: Pool,
) -> DiceCe:
    """Losses of a pasted image, each region by itself.

    Args:
        logits: (b k ...).
        image_labels, patch_labels: integers (b ...), both of the whole image.
        mask: (b ...) or (...), 1 where the image shows.
        weights: of the image's and the patch's region.
    """
    mask = mask.to(logits).expand(image_labels.shape)
    shown = masked_dice_ce(logits, image_labels, mask, pool=pool)
    return shown * weights[0] + masked_dice_ce(logits, patch_labels, 1 - mask, pool=pool) * weights[1]


def largest_parts(labels: torch.Tensor) -> torch.Tensor:
    """Integers (b ...), 0 and 1, of whose ones the largest connected part is left in each."""
    inside = labels.bool().cpu().numpy()
    kept = [largest_part(np.atleast_3d(one)).reshape(one.shape) for one in inside]
    return torch.from_numpy(np.stack(kept)).to(labels.device).long()


@dataclass(frozen=True)
class Bcp(Objective):
    """First labelled scans pasted into each other; then labelled and unlabelled ones both ways round.

    Attributes:
        pretrained: share of the steps that the first stage takes.
        pseudo: weight of a region that the teacher labelled beside 1.
        decay: of the teacher's running average.
    """

    structures: Structures
    pretrained: float = 0.25
    pseudo: float = 0.5
    decay: float = 0.99

    name = "bcp"
    paper = "BCP, arXiv 2305.00673"
    streams = (LABELLED, UNLABELLED)

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network, and its slow copy that labels."""
        return {MODEL: model, TEACHER: frozen_copy(model)}

    def first_stage(self, state: State) -> bool:
        """Whether only labelled scans are pasted."""
        return state.step < int(self.pretrained * state.total)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Term "pasted" in the first stage, "inward" and "outward" in the second."""
        net, pool = roles[MODEL], _pool(batches[LABELLED])
        la, lb = _halves(batches[LABELLED], LABELLED)
        sides = la.labels.shape[1:]
        mask = hole(sides, random_box(sides, [BOX] * len(sides), state.rng), la.images)
        if self.first_stage(state):
            mixed = Batch(paste(la.images, lb.images, mask), paste(la.labels, lb.labels, mask.long()))
            return {"pasted": supervise(answer(net, mixed.images), mixed, self.structures, pool=pool).half}
        ua, ub = _halves(batches[UNLABELLED], UNLABELLED)
        teacher = roles[TEACHER]
        inward = answer(net, paste(ua.images, la.images, mask))
        outward = answer(net, paste(lb.images, ub.images, mask))
        pairs = (
            (inward, self._label(teacher, ua), truth_of(la, self.structures, inward), (self.pseudo, 1.0)),
            (outward, truth_of(lb, self.structures, outward), self._label(teacher, ub), (1.0, self.pseudo)),
        )
        lost = [
            pasted_loss(two_classes(logits), image, patch, mask, weights, pool=pool).half
            for logits, image, patch, weights in pairs
        ]
        return {"inward": lost[0], "outward": lost[1]}

    def _label(self, teacher: nn.Module, batch: Batch) -> torch.Tensor:
        return largest_parts((answer_at_rest(teacher, batch.images) > 0).flatten(0, 1))

    def after_step(self, roles: Roles, state: State) -> None:
        """The teacher is the network itself in the first stage, and follows it slowly in the second."""
        decay = 0.0 if self.first_stage(state) else self.decay
        ema_update_(roles[TEACHER].state_dict(), roles[MODEL].state_dict(), decay)


def _pool(batch: Batch) -> Pool:
    return "batch" if batch.labels.dim() == 3 else "each"


def _halves(batch: Batch, stream: str) -> tuple[Batch, Batch]:
    count = len(batch.labels)
    if count % 2:
        raise BadCall(
            f"Copy-paste needs pairs, and a batch of the stream '{stream}' holds {count}. Set an even `batch`."
        )
    return tuple(  # type: ignore[return-value]  # two of them
        replace(batch, images=batch.images[part], labels=batch.labels[part])
        for part in (slice(count // 2), slice(count // 2, None))
    )


def teach(lesson: Lesson) -> Bcp:
    """The objective "bcp"."""
    return Bcp(lesson.structures, lesson.number("pretrained"), lesson.number("pseudo"), lesson.number("decay"))


def reproduce(fixture: Fixture) -> Tensors:
    """Our values on a fixture of the official masks and losses."""
    given, pseudo = fixture.inputs, float(fixture.sizes["u_weight"])
    found = {"mixed": paste(given["image_a"], given["image_b"], given["mask2d"].float()[:, None])}
    for name, weights in {"labelled": (1.0, pseudo), "unlabelled": (pseudo, 1.0)}.items():
        labels = (given["image_label2d"], given["patch_label2d"])
        flat = pasted_loss(given["logits2d"], *labels, given["mask2d"], weights, pool="batch")
        logits, labels = given["logits3d"].clone().requires_grad_(), (given["image_label3d"], given["patch_label3d"])
        solid = pasted_loss(logits, *labels, given["mask3d"], weights, pool="each").half
        found |= {
            f"acdc_dice_{name}_image": flat.dice[None],
            f"acdc_ce_{name}_image": flat.cross_entropy[None],
            f"acdc_total_{name}_image": flat.half[None],
            f"la_total_{name}_image": solid.detach()[None],
            f"la_grad_{name}_image": torch.autograd.grad(solid, logits)[0],
        }
    supervised = dice_ce(given["logits3d"], given["image_label3d"]).half
    return {**found, "la_supervised": supervised[None]}
