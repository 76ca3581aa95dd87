"""Learning to draw what is pointed at: a made-up person corrects the network in rounds, and every round has its loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

from ...imaging.volume import BoolArray
from ...models.promptable.scribbleprompt.canvas import Canvas, Float, draw_
from ...models.promptable.scribbleprompt.guides import guides_of
from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State
from .marks.rounds import correct, first

GAMMA = 2.0  # of the focal term; ScribblePrompt's 20 looks at gross errors alone, which a short training cannot spare


class Rounds(Objective):
    """Rounds of prompts and answers on every picture of a batch; answers go back as logits, without a gradient.

    Args:
        rounds: of prompts per batch.
        guided: whether the network takes guides beside the marks.
    """

    name = "rounds"
    paper = "Wong et al. 2024 (ScribblePrompt), arXiv 2312.07381"

    def __init__(self, rounds: int, *, guided: bool = False) -> None:
        self.rounds, self.guided = rounds, guided

    def _shown(self, picture: Float, canvas: Canvas) -> Float:
        """Channels of marks, and of guides."""
        return np.concatenate([canvas.channels, guides_of(picture, canvas)]) if self.guided else canvas.channels

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Soft Dice and focal loss, mean over rounds."""
        batch = batches[LABELLED]
        masks = [np.asarray(one > 0) for one in batch.labels.cpu().numpy()]
        truth = batch.labels[:, None].float()
        pictures = batch.images[:, 0].cpu().numpy()
        canvases = [Canvas.blank(mask.shape) for mask in masks]
        answers: list[BoolArray] = []
        previous = torch.zeros_like(batch.images)
        dice, focal = [], []
        for number in range(self.rounds):
            for i, (mask, canvas) in enumerate(zip(masks, canvases, strict=True)):
                draw_(canvas, correct(mask, answers[i], state.rng) if number else first(mask, state.rng))
            marks = torch.from_numpy(np.stack([self._shown(*one) for one in zip(pictures, canvases, strict=True)]))
            marks = marks.to(batch.images)
            logits = roles[MODEL](torch.cat([batch.images, marks, previous], dim=1)).float()
            dice.append(soft_dice_loss(logits, truth))
            focal.append(focal_loss(logits, truth))
            previous = logits.detach()
            answers = [np.asarray(one) for one in (previous[:, 0] > 0).cpu().numpy()]
        return {"dice": torch.stack(dice).mean(), "focal": torch.stack(focal).mean()}


def soft_dice_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - Dice of probabilities, mean over pictures."""
    axes = tuple(range(1, logits.dim()))
    chance = logits.sigmoid()
    both = 2 * (chance * truth).sum(axes) + 1
    loss: torch.Tensor = 1 - (both / (chance.sum(axes) + truth.sum(axes) + 1)).mean()
    return loss


def focal_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy times (1 - p)^GAMMA, summed and divided by the structure's and as many other pixels' count.

    Source: Lin et al. 2017; the division is ours, so that small structures count.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    axes = tuple(range(1, logits.dim()))
    weighted = (1 - torch.exp(-entropy)) ** GAMMA * entropy
    size = truth.sum(axes).clamp(min=0.02 * truth[0].numel())
    loss: torch.Tensor = (weighted.sum(axes) / size).mean() / 2
    return loss
