"""What the referring networks optimise: sentences drawn for each picture, and the masks they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ...models.blocks.square import ELEMENTS, apply_element
from ...models.language.flans.network import Flans, mask_losses
from ...models.language.flans.symmetry import prior_loss
from ...models.language.lsms.network import Lsms, contrastive_loss, segmentation_losses
from ...models.text.sentences import States
from ..objective import LABELLED, MODEL, Batch, Batches, Objective, Roles, State
from .drawing import draw_opposed, draw_referral, draw_referrals
from .pairs import HEART, Family, Referral, referrals

# How often each family is asked for, among those that fit the picture. Our choice.
NAMED: Mapping[Family, float] = {"anatomy": 0.72, "absent": 0.2, "nothing": 0.08}
PLACED: Mapping[Family, float] = {"position": 0.34, "size": 0.2, "attribute": 0.3, "absent": 0.1, "nothing": 0.06}
MIXED: Mapping[Family, float] = {
    "anatomy": 0.42, "position": 0.13, "size": 0.08, "attribute": 0.2, "absent": 0.12, "nothing": 0.05,
}  # fmt: skip


class Vocabulary:
    """Token states of sentences, made beforehand."""

    def __init__(self, sentences: list[str], states: States) -> None:
        self._row = {sentence: row for row, sentence in enumerate(sentences)}
        self._values = torch.from_numpy(states.values).half()
        self._valid = torch.from_numpy(states.valid)

    def __getitem__(self, sentences: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.tensor([self._row[sentence] for sentence in sentences])
        return self._values[rows].float(), self._valid[rows]


def forgotten(states: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """Token states (b t c) with a random share of the tokens zeroed, as padded ones are."""
    if not share:
        return states
    return states * torch.from_numpy(rng.random(states.shape[:2]) >= share)[..., None]


@dataclass(frozen=True)
class FlansObjective(Objective):
    """Some pictures are asked by name and turned upright, by the truth, others by place and size and are not.

    Terms: 10 Dice + cross-entropy of the masks, and the prior of the canonicaliser. Source: FLanS (spec §4, §6);
    its three stages are one here. Ours: `rival_loss`, since a mask of both kidneys is a comfortable answer to the question
    for either.

    Attributes:
        sentences: per picture.
        moved: share of pictures under a random element of the eight.
        prior: weight of the prior.
        frozen: share of the steps, the first ones, in which the trunk keeps its weights; its norms get used to the
            pictures meanwhile.
        forget: share of a sentence's tokens that is left out, so that no single word is relied on.
        named: share of pictures that are asked by name.
        opposed: share of pictures asked by name in which both sides of a pair are asked for, where there is one.
        rivals: weight of `rival_loss`.
    """

    vocabulary: Vocabulary = field(repr=False)
    sentences: int = 4
    moved: float = 0.5
    prior: float = 1.0
    frozen: float = 0.0
    forget: float = 0.0
    named: float = 0.55
    opposed: float = 0.0
    rivals: float = 0.0

    name = "flans"
    paper = "FLanS, Da et al. 2024, arXiv 2410.12831"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """See `terms`."""
        model = _flans(roles[MODEL])
        learns = state.step >= self.frozen * state.total
        for parameter in model.image_encoder.patch_embed.parameters():
            parameter.requires_grad_(learns)
        return self.terms(model, batches[LABELLED], state.rng)

    def terms(self, model: torch.nn.Module, batch: Batch, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Terms "dice", "cross_entropy", "prior" and, where it has weight, "rivals"."""
        model = _flans(model)
        pictures, chosen, elements, canonical, upright = [], [], [], [], []
        for image, labels in zip(batch.images, batch.labels, strict=True):
            ct = not bool(torch.isin(labels, torch.tensor(list(HEART))).any())
            by_name = rng.random() < self.named
            element = int(rng.integers(ELEMENTS)) if ct and rng.random() < self.moved else 0
            chosen.append(self._referrals(labels.numpy(), by_name, element, rng))
            pictures.append(apply_element(element, image))
            elements.append(element)
            canonical.append(by_name and ct)
            upright.append(ct)
        picture = torch.stack(pictures).expand(-1, 3, -1, -1)
        states, _valid = self.vocabulary[[one.text for referred in chosen for one in referred]]
        states = forgotten(states, self.forget, rng)
        scores = model.scores(picture)
        # turned upright by the truth: under a wrong guess left and right would be mixed up
        undone = torch.tensor([g * c for g, c in zip(elements, canonical, strict=True)])
        features = model.encode(picture, F.one_hot(undone, ELEMENTS).to(picture.dtype))
        logits = model.decode(features.repeated(self.sentences), states).unflatten(0, (len(chosen), -1))[:, :, 0]
        masks = np.stack([np.stack([one.mask for one in referred]) for referred in chosen])
        targets = F.interpolate(torch.from_numpy(masks).float(), size=logits.shape[2:], mode="area")
        known = torch.tensor(upright)
        prior = prior_loss(scores[known], torch.tensor(elements)[known]) if bool(known.any()) else scores.sum() * 0
        terms = {**mask_losses(logits, targets), "prior": self.prior * prior}
        if self.rivals:
            terms["rivals"] = self.rivals * rival_loss(logits, targets)
        return terms

    def _referrals(
        self, labels: npt.NDArray[np.int64], by_name: bool, element: int, rng: np.random.Generator
    ) -> list[Referral]:
        """Sentences for the picture under the element; their masks are under it, too."""
        if not by_name:
            labels = apply_element(element, torch.from_numpy(labels)).numpy()
            fitting = referrals(labels, "train", anatomical=element == 0)
            shares, first = {**PLACED, "anatomy": 0.1}, []
        else:
            fitting, shares = referrals(labels, "train"), {**NAMED}
            first = draw_opposed(fitting, rng) if rng.random() < self.opposed else []
        drawn = draw_referrals(fitting, shares, rng, self.sentences, first[: self.sentences])
        if not by_name or element == 0:
            return drawn
        moved = [apply_element(element, torch.from_numpy(one.mask)).numpy() for one in drawn]
        return [Referral(one.text, one.family, one.key, mask) for one, mask in zip(drawn, moved, strict=True)]


def rival_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How far sentences (b k) of one picture get each other's masks: cross-entropy over what any of them means.

    A sentence's own pixels count as much as those that only others mean. Ours.

    Args:
        logits, targets: (b k h w); targets in [0, 1].
    """
    others = (targets.sum(1, keepdim=True) - targets).clamp(max=1) * (1 - targets)
    within = (targets * F.softplus(-logits)).sum((-2, -1)) / (targets.sum((-2, -1)) + 1)
    beyond = (others * F.softplus(logits)).sum((-2, -1)) / (others.sum((-2, -1)) + 1)
    return (within + beyond).mean()


def _flans(model: torch.nn.Module) -> Flans:
    if not isinstance(model, Flans):
        raise TypeError(f"this objective trains a Flans, got {type(model).__name__}")
    return model


@dataclass(frozen=True)
class LsmsObjective(Objective):
    """One sentence per picture, upright; segmentation losses plus the contrastive head's.

    Attributes:
        contrast: weight of the contrastive loss; 0 is plain segmentation.
        forget: as of `FlansObjective`.
    """

    vocabulary: Vocabulary = field(repr=False)
    contrast: float = 0.1
    forget: float = 0.0

    name = "lsms"
    paper = "LSMS, Ouyang et al. 2024, arXiv 2408.17347; losses partly ours"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """See `terms`."""
        return self.terms(roles[MODEL], batches[LABELLED], state.rng)

    def terms(self, model: torch.nn.Module, batch: Batch, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy", "dice" and "contrast"."""
        if not isinstance(model, Lsms):
            raise TypeError(f"this objective trains an Lsms, got {type(model).__name__}")
        drawn = [draw_referral(referrals(labels.numpy(), "train"), MIXED, rng) for labels in batch.labels]
        states, valid = self.vocabulary[[one.text for one in drawn]]
        states = forgotten(states, self.forget, rng)
        output = model(batch.images.expand(-1, 3, -1, -1), states, valid)
        targets = torch.from_numpy(np.stack([one.mask for one in drawn])).float()
        same = torch.tensor([[a.key == b.key for b in drawn] for a in drawn])
        terms = segmentation_losses(output, targets)
        if self.contrast:
            terms["contrast"] = self.contrast * contrastive_loss(output, targets, same)
        return terms
