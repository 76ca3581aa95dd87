"""TraCoCo: two networks look at two crops of a scan that overlap, and must agree where both see the same.

Paper: Liu et al. 2022 (TraCoCo), arXiv 2203.14523; code yyliu01/TraCoCo (MIT). In the mode "released" losses are computed as
that code computes them, where it differs from the paper's sense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ....models.checkpoints import Tensors
from ....models.parity import Fixture
from ...objective import LABELLED, MODEL, UNLABELLED, Batches, Roles, State
from ..row import Lesson
from .masked import Mode, class_dice, two_classes
from .peers import PEER, Structures, TwoOfAKind, answer, mode_of, supervise
from .views import at, hole, noisy, overlapping, random_box

CONFIDENT, UNLIKELY = 0.65, 0.1  # Source: yyliu01/TraCoCo, its configuration
AGREEMENT, SPREAD = 0.3, 0.1  # weights of the KL divergence and of the negative entropy; Source: as above
NOISE, CUT, CROP = (
    0.2,
    4.0,
    0.75,
)  # reach of the noise, both parameters of Beta; Source: as above; share of a crop's side: ours
_LEAST = 1e-6


def confident_loss(
    logits: torch.Tensor,
    peer: torch.Tensor,
    mode: Mode = "paper",
    *,
    sure: float = CONFIDENT,
    unlikely: float = UNLIKELY,
) -> torch.Tensor:
    """Cross-entropy to the peer's class, times its probability, where that is at least `sure`; and away from what it finds unlikely.

    The second part is -log(1 - p) of every class that the peer gives less than `unlikely`. The released one is of the voxels whose least
    likely class is, times that least probability, for all classes but the peer's; with more than two classes it is of all of them, and
    the peer's counts twice.

    Args:
        logits, peer: (b k ...).
    """
    wanted = peer.detach().softmax(1)
    best, chosen = wanted.max(1)
    towards = _mean_where(F.cross_entropy(logits, chosen, reduction="none") * best, best >= sure)
    away = -(1 - logits.softmax(1)).clamp(_LEAST, 1).log()
    if mode == "paper":
        return towards + _mean_where(away, wanted < unlikely)
    least, own = wanted.min(1).values, F.one_hot(chosen, logits.shape[1]).movedim(-1, 1)
    pushed = (away * (1 - own)).sum(1) if logits.shape[1] == 2 else (away * (1 + own)).mean(1)
    return towards + _mean_where(pushed * least, least < unlikely)


def context_divergence(one: torch.Tensor, other: torch.Tensor, mode: Mode = "paper") -> torch.Tensor:
    """KL divergence of what one context says (b k ...) from what the other does; over classes, meaned over voxels.

    The released one clamps logits to 0 to 1, runs over the first axis of space instead of classes, and is meaned over everything.
    """
    if mode == "paper":
        return F.kl_div(one.log_softmax(1), other.softmax(1), reduction="none").sum(1).mean()
    one, other = (x.clamp(_LEAST, 1) for x in (one, other))
    return F.kl_div(one.log_softmax(2), other.softmax(2), reduction="none").mean()


def negative_entropy(logits: torch.Tensor, mode: Mode = "paper") -> torch.Tensor:
    """Sum of p log p over classes (b k ...), meaned over voxels; the released one clamps logits to 0 to 1."""
    logits = logits if mode == "paper" else logits.clamp(_LEAST, 1)
    return (logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


def _mean_where(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mean of the chosen ones; 0 where there are none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


@dataclass(frozen=True)
class TraCoCo(TwoOfAKind):
    """Two networks of other first weights; the first is exported.

    Attributes:
        grown: share of the steps over which what is learned without labels grows.
        seed: of the second network's weights.
    """

    structures: Structures
    mode: Mode = "paper"
    grown: float = 0.4
    seed: int = 1

    name = "tracoco"
    paper = "TraCoCo, arXiv 2203.14523"
    streams = (LABELLED, UNLABELLED)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "supervised", "agreement", "entropy" and "confident"."""
        one, other = roles[MODEL], roles[PEER]
        given = batches[LABELLED]
        supervised = [supervise(answer(net, given.images), given, self.structures).half for net in (one, other)]
        images = noisy(batches[UNLABELLED].images, NOISE, state.rng)
        crops = overlapping(images.shape[2:], CROP, state.rng)
        first, second = at(images, crops.first), at(images, crops.second)
        told, heard = answer(one, first), answer(other, second)
        here, there = (two_classes(at(x, where)) for x, where in ((told, crops.in_first), (heard, crops.in_second)))
        grown = state.ramp("sigmoid", int(self.grown * state.total))
        entropies = [negative_entropy(x, self.mode) for x in (here, there)]
        mixed, wanted = self._cut_and_mix(first, told.detach(), state)
        lessons = [
            confident_loss(here, there, self.mode),
            confident_loss(two_classes(answer(other, mixed)), two_classes(wanted), self.mode),
        ]
        return {
            "supervised": torch.stack(supervised).sum(),
            "agreement": AGREEMENT * grown * context_divergence(here, there, self.mode),
            "entropy": SPREAD * grown * torch.stack(entropies).mean(),
            "confident": grown * torch.stack(lessons).sum(),
        }

    def _cut_and_mix(
        self, images: torch.Tensor, logits: torch.Tensor, state: State
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A box of every image and of what is said of it, taken from the image before."""
        sides = images.shape[2:]
        share = (1 - float(state.rng.beta(CUT, CUT))) ** (1 / len(sides))
        mask = hole(sides, random_box(sides, [share] * len(sides), state.rng), images)
        mixed, wanted = (x * mask + x.roll(1, 0) * (1 - mask) for x in (images, logits))
        return mixed, wanted


def teach(lesson: Lesson) -> TraCoCo:
    """The objective "tracoco"."""
    return TraCoCo(lesson.structures, mode_of(lesson), lesson.number("grown"), int(lesson.number("seed")))


def reproduce(fixture: Fixture) -> Tensors:
    """Our values and gradients, in the mode "released", on a fixture of the official losses."""
    sizes, given = fixture.sizes, fixture.inputs
    thresholds = {"": (sizes["threshold"], sizes["neg_threshold"]), "_wide": sizes["_wide"], "_none": sizes["_none"]}
    found: dict[str, torch.Tensor] = {}
    for end, (sure, unlikely) in thresholds.items():
        for name, which in (("crc", ""), ("cbc4", "4")):
            logits = given[f"logits{which}"].clone().requires_grad_()
            loss = confident_loss(logits, given[f"peer_logits{which}"], "released", sure=sure, unlikely=unlikely)
            found[f"{name}{end}"] = loss.detach()[None]
            found[f"{name}_grad{end}"] = torch.autograd.grad(loss, logits)[0]
    label = given["label"]
    inside = class_dice(given["logits"], label, torch.ones_like(label, dtype=torch.float32), pool="batch")[1]
    one, other = given["crop_a"][None], given["crop_b"][None]
    entropies = [negative_entropy(x, "released") for x in (one, other)]
    return {
        **found,
        "dice": inside[None],
        "spatial_kl_released": context_divergence(one, other, "released")[None],
        "neg_entropy": torch.stack(entropies).mean()[None],
    }
