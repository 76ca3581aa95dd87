"""Global and local contrastive learning: slices of one place of the body are alike, and so are regions of one picture in two contrasts.

Paper: Chaitanya et al. 2020, arXiv 2006.10511; code krishnabits001/domain_specific_cl (TensorFlow 1), read. The encoder learns first,
from whole slices; then, with the encoder kept, the decoder's first blocks learn from regions. Both are begun with by `start_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ....models.backbones.network import SegOutput, deepest_place, in_use, resize
from ...objective import LABELLED, MODEL, Batches, Objective, Roles, State
from ..inside import backbone_in
from ..row import Lesson

PROJECTOR = "projector"
"""Role of what is dropped after pretraining."""
TEMPERATURE = 0.1  # Source: arXiv 2006.10511, section 4
BRIGHTNESS, CONTRAST = 0.3, (0.7, 1.3)  # Source: krishnabits001/domain_specific_cl
CROP = 0.8  # least share of each side that a crop shows; our choice
REGION, REGIONS, NEGATIVES = (
    3,
    13,
    5,
)  # side in cells of the map, regions of a picture, others it is told from. Source: arXiv 2006.10511


def contrast_pairs(near: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """The mean over positive pairs of -log(exp(s) / (exp(s) + the sum of exp(s) over the first one's negatives)).

    Args:
        near: (n n) cosine likenesses.
        positive, negative: (n n) which pairs count; no pair is both.

    Raises:
        BadCall: there is no pair, or none has a negative to be told from.
    """
    if not bool((positive & negative.any(1, keepdim=True)).any()):
        raise BadCall(
            "The batch holds no slices that could be told apart. Set batch to 4 or more, or `partitions` to another number."
        )
    scaled = near / TEMPERATURE
    others = torch.logsumexp(scaled.masked_fill(~negative, float("-inf")), dim=1, keepdim=True)
    each = torch.logaddexp(scaled, others) - scaled
    return each[positive & negative.any(1, keepdim=True)].mean()


def vary_grey(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each image (b c ...) in another brightness and contrast, in units of its own spread."""
    ones = [1] * (images.dim() - 1)
    gain = torch.from_numpy(rng.uniform(*CONTRAST, len(images))).to(images).reshape(-1, *ones)
    shift = torch.from_numpy(rng.uniform(-BRIGHTNESS, BRIGHTNESS, len(images))).to(images).reshape(-1, *ones)
    axes = list(range(1, images.dim()))
    mean, spread = images.mean(axes, keepdim=True), images.std(axes, keepdim=True)
    return (images - mean) * gain + mean + shift * spread


def crop(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A part of every image, brought to the image's size."""
    sides = images.shape[2:]
    found = []
    for image in images[:, None]:
        for axis, side in enumerate(sides, start=2):
            kept = int(rng.integers(int(np.ceil(CROP * side)), side + 1))
            image = image.narrow(axis, int(rng.integers(side - kept + 1)), kept)
        found.append(resize(image, sides))
    return torch.cat(found)


@dataclass(frozen=True)
class GlobalContrast(Objective):
    """Slices in two views; those of one part of the scan are alike, those of other parts are not. The encoder learns.

    Attributes:
        partitions: parts of a scan from its first slice to its last; 0 for SimCLR, in which every other image is unlike.
        hidden, out: widths of the projector.
    """

    partitions: int = 4
    hidden: int = 128
    out: int = 32

    paper = "Chaitanya et al. 2020, arXiv 2006.10511"

    @property
    def name(self) -> str:  # type: ignore[override]  # says which of the two it is
        """With no partitions it is plain SimCLR and said to be."""
        return "global-contrast" if self.partitions else "global-contrast, as SimCLR without partitions"

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network, and the projector on the mean of its deepest map."""
        width = _deepest(_features(model)).shape[1]
        head = nn.Sequential(nn.Linear(width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.out))
        return {MODEL: model, PROJECTOR: head}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """What the deepest map depends on, and the projector."""
        return {"main": [*reached(roles[MODEL], _deepest), *roles[PROJECTOR].parameters()]}

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Term "contrast"; labels are not looked at."""
        batch = batches[LABELLED]
        count, device = len(batch.images), batch.images.device
        views = [vary_grey(crop(batch.images, state.rng), state.rng) for _ in range(2)]
        maps = _deepest(backbone_in(roles[MODEL])(torch.cat(views)).features)
        projected = F.normalize(roles[PROJECTOR](maps.flatten(2).mean(2)).float(), dim=1)
        image = torch.arange(count, device=device).repeat(2)
        part = image
        if self.partitions:
            if batch.along is None:
                raise BadCall("Volumes have no place along a scan. Set partitions = 0, or learn from slices, dims = 2.")
            part = (batch.along * self.partitions).long().clamp(max=self.partitions - 1).repeat(2)
        same = part[:, None] == part
        positive = same & ~torch.eye(2 * count, dtype=torch.bool, device=device)
        return {"contrast": contrast_pairs(projected @ projected.T, positive, ~same)}


@dataclass(frozen=True)
class LocalContrast(Objective):
    """Regions of a picture in two contrasts; the same region is alike, others of the picture are not. The decoder's first blocks learn.

    Attributes:
        blocks: of the decoder, from the deepest.
        out: width of the projector.
    """

    blocks: int = 3
    out: int = 32

    name = "local-contrast"
    paper = "Chaitanya et al. 2020, arXiv 2006.10511"

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network, and the projector on the map that the last of the blocks answers."""
        width, dims = self._map(_features(model)).shape[1], backbone_in(model).dims
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        return {MODEL: model, PROJECTOR: nn.Sequential(conv(width, width, 1), nn.ReLU(), conv(width, self.out, 1))}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """What the blocks' map depends on and the deepest one of the encoder does not, and the projector; the encoder is frozen."""
        encoder = reached(roles[MODEL], _deepest)
        for one in encoder:
            one.requires_grad_(False)
        kept = {id(one) for one in encoder}
        blocks = [one for one in reached(roles[MODEL], self._map) if id(one) not in kept]
        return {"main": [*blocks, *roles[PROJECTOR].parameters()]}

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Term "contrast"; labels are not looked at."""
        images, net = batches[LABELLED].images, roles[MODEL]
        for module in net.modules():  # the encoder stays as it is, with its norms
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
                v.requires_grad for v in module.parameters()
            ):
                module.eval()
        views = torch.cat([vary_grey(images, state.rng) for _ in range(2)])
        maps = roles[PROJECTOR](self._map(backbone_in(net)(views).features)).float()
        side = [min(REGION, one) for one in maps.shape[2:]]
        pooled = F.avg_pool2d(maps, side) if maps.dim() == 4 else F.avg_pool3d(maps, side)
        regions = F.normalize(pooled.flatten(2), dim=1)
        one, other = regions.chunk(2)
        terms = [self._of_picture(a.T, b.T, state.rng) for a, b in zip(one, other, strict=True)]
        return {"contrast": torch.stack(terms).mean()}

    def _of_picture(self, one: torch.Tensor, other: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Of a picture's regions (m out) in both views."""
        chosen = rng.permutation(len(one))[:REGIONS]
        if len(chosen) < 2:
            raise BadCall("The decoder's map holds fewer than two regions. Give larger patches, or more `blocks`.")
        near = torch.cat([one[chosen], other[chosen]])
        count = len(chosen)
        positive = torch.zeros(2 * count, 2 * count, dtype=torch.bool, device=one.device)
        negative = positive.clone()
        for n in range(count):
            unlike = rng.permutation([m for m in range(count) if m != n])[:NEGATIVES]
            for row, partner in ((n, n + count), (n + count, n)):
                positive[row, partner] = True
                negative[row, unlike] = negative[row, unlike + count] = True
        return contrast_pairs(near @ near.T, positive, negative)

    def _map(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        levels = sorted(int(name.split(".")[1]) for name in features if name.startswith("decoder."))
        return features[f"decoder.{levels[max(0, len(levels) - self.blocks)]}"]


def reached(model: nn.Module, choose: Callable[[Mapping[str, torch.Tensor]], torch.Tensor]) -> list[nn.Parameter]:
    """The parameters that the chosen one of the network's maps depends on."""
    parameters = list(model.parameters())
    asked = [one.requires_grad for one in parameters]
    for one in parameters:
        one.requires_grad_(True)
    with torch.enable_grad():
        found = torch.autograd.grad(choose(_features(model)).sum(), parameters, allow_unused=True)
    for one, before in zip(parameters, asked, strict=True):
        one.requires_grad_(before)
    return [one for one, grad in zip(parameters, found, strict=True) if grad is not None]


def _features(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """Maps of an image of the least size; nothing of the network changes."""
    net = backbone_in(model)
    with in_use(net):
        said: SegOutput = net(torch.zeros(1, net.channels, *net.minimum, device=next(net.parameters()).device))
    return said.features


def _deepest(features: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return features[deepest_place(features)]


def teach_global(lesson: Lesson) -> GlobalContrast:
    """The objective "global-contrast"."""
    return GlobalContrast(*(int(lesson.number(name)) for name in ("partitions", "hidden", "out")))


def teach_local(lesson: Lesson) -> LocalContrast:
    """The objective "local-contrast".

    Raises:
        BadCall: no blocks.
    """
    if lesson.number("blocks") < 1:
        raise BadCall("No block of the decoder would learn. Set `blocks` to 1 or more.")
    return LocalContrast(int(lesson.number("blocks")), int(lesson.number("out")))
