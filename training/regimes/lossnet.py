"""Masks that must look right to a frozen network: MSNet's structure loss, and LossNet of M2SNet beside it.

Paper: Zhao et al. 2023, arXiv 2303.10894, section 3.3; code Xiaoqi-Zhao-DLUT/MSNet-M2SNet (no licence stated). The structure loss is
F3Net's, Wei et al. 2020, arXiv 1911.11445, eq. 7-9. LossNet needs VGG-16 with weights of ImageNet, which are the user's file; without
them the frozen network is a small one of fixed random weights, and no LossNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...imaging.errors import BadCall
from ...models.backbones.network import SegOutput
from ...models.backbones.official import count, load, rename
from ...models.checkpoints import Tensors
from ...models.parity import Fixture
from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State
from .by_words import masks_of
from .row import Lesson

FILE = "VGG-16 of torchvision, as vgg16-397923af.pth, or the authors' LossNet"
SIDE = 224  # pixels that pictures are resized to; Source: Xiaoqi-Zhao-DLUT/MSNet-M2SNet
WEIGHT = 0.1  # of LossNet beside the structure loss; Source: Xiaoqi-Zhao-DLUT/MSNet-M2SNet
TAPS = (2, 2, 3, 3)  # convolutions up to each tap; Source: VGG-16, Simonyan and Zisserman 2015, arXiv 1409.1556
RANDOM = (8, 8, 16, 16, 32, 32, 32, 64, 64, 64)  # our choice: a network of fixed weights need not be wide
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours; Source: torchvision
WINDOW, EMPHASIS = 31, 5.0  # pixels round a place, and weight of a border; Source: Wei et al. 2020, eq. 7
LOSSNET = "lossnet"
"""Role of the frozen network."""


class LossNet(nn.Module):
    """How differently a frozen VGG sees two pictures: mean squared differences at four depths, added.

    Args:
        widths: channels of its ten convolutions.
        resize: whether pictures are brought to 224 x 224 first.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, widths: Sequence[int], *, resize: bool = True) -> None:
        super().__init__()
        if len(widths) != sum(TAPS):
            raise ValueError(f"there are {sum(TAPS)} convolutions, and {len(widths)} widths are given")
        self.resize = resize
        starts = [3, *widths[:-1]]
        convs = iter(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(starts, widths, strict=True))
        self.taps = nn.ModuleList(nn.ModuleList(next(convs) for _ in range(many)) for many in TAPS)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(SPREAD).reshape(1, 3, 1, 1))
        self.requires_grad_(False)

    def see(self, picture: torch.Tensor) -> list[torch.Tensor]:
        """Maps at the four depths, of grey values (b 1 x y) or colours (b 3 x y) in 0 to 1."""
        x = (picture.expand(-1, 3, -1, -1) - self.mean) / self.spread
        if self.resize:
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
        seen: list[torch.Tensor] = []
        for tap in self.taps:
            x = F.max_pool2d(x, 2) if seen else x
            for conv in tap:  # type: ignore[attr-defined]  # a list of modules
                x = F.relu(conv(x))
            seen.append(x)
        return seen

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """A number; 0 for equal pictures."""
        pairs = zip(self.see(one), self.see(other), strict=True)
        return torch.stack([F.mse_loss(a, b) for a, b in pairs]).sum()


def random_lossnet(seed: int) -> LossNet:
    """A small frozen network of fixed random weights; no LossNet, and not to be called so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LossNet(RANDOM).eval()


def load_lossnet(state: Mapping[str, torch.Tensor], *, resize: bool = True) -> LossNet:
    """LossNet with weights of a whole VGG-16 of torchvision, or of the authors' class.

    Raises:
        BadCall: another network.
    """
    ours = convert(state)
    convs = sum(count(ours, rf"taps\.{n}\.(\d+)\.") for n in range(len(TAPS)))
    if convs != sum(TAPS):
        raise BadCall(f"The weights have {convs} convolutions, and LossNet {sum(TAPS)}. Give {FILE}.")
    widths = [ours[f"taps.{n}.{k}.weight"].shape[0] for n, many in enumerate(TAPS) for k in range(many)]
    with torch.device("meta"):
        net = LossNet(widths, resize=resize)
    colours = {"mean": torch.tensor(MEAN).reshape(1, 3, 1, 1), "spread": torch.tensor(SPREAD).reshape(1, 3, 1, 1)}
    return load(net, {**colours, **ours}, FILE)


def convert(state: Mapping[str, torch.Tensor]) -> Tensors:
    """Weights of VGG-16 up to the last tap under our names; what lies behind it is left out.

    Raises:
        BadCall: a key of something else.
    """
    places: dict[int, str] = {}
    at = 0  # torchvision counts activations and pools too
    for n, many in enumerate(TAPS):
        places |= {at + 2 * k: f"taps.{n}.{k}" for k in range(many)}
        at += 2 * many + 1
    behind = "|".join(str(n) for n in range(at, 31))
    known = "|".join(map(str, places))
    return rename(
        state,
        (
            (rf"(?:features|blocks\.\d)\.({known})\.(weight|bias)", lambda m: f"{places[int(m[1])]}.{m[2]}"),
            ("mean", "mean"),
            ("std", "spread"),
        ),
        FILE,
        dead=(rf"features\.({behind})\..+", r"classifier\..+"),
    )


def structure_loss(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Terms "cross_entropy" and "overlap" (one minus soft intersection over union) in which borders count up to six times.

    Args:
        logits, targets: (b n x y) or (b n x y z), targets 0 or 1.

    Source: Wei et al. 2020 (F3Net), eq. 7-9, as the paper weighs; the released code averages its cross-entropy without weights.
    """
    round_it = targets
    for axis in range(2, targets.dim()):
        lines = round_it.movedim(axis, -1)
        means = F.avg_pool1d(lines.flatten(0, -2), WINDOW, stride=1, padding=WINDOW // 2)
        round_it = means.reshape(lines.shape).movedim(-1, axis)
    weights = 1 + EMPHASIS * (round_it - targets).abs()
    axes = list(range(2, logits.dim()))
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    cross_entropy = (weights * each).sum(axes) / weights.sum(axes)
    p = torch.sigmoid(logits)
    inside, both = (p * targets * weights).sum(axes), ((p + targets) * weights).sum(axes)
    return {"cross_entropy": cross_entropy.mean(), "overlap": (1 - (inside + 1) / (both - inside + 1)).mean()}


@dataclass(frozen=True, eq=False)
class Structure(Objective):
    """Segment a fixed list of structures by the structure loss, and by how masks look to a frozen network.

    Volumes are shown to it slice by slice along their last axis. Side answers are not taught.

    Attributes:
        structures: name -> label values, in the order of the channels.
        seen_by: the frozen network; None for the structure loss alone.
        weight: of what it sees.
        name: says whether LossNet or a network of random weights taught.
    """

    structures: Mapping[str, tuple[int, ...]]
    seen_by: LossNet | None = None
    weight: float = WEIGHT
    name: str = "structure"

    paper = "F3Net, arXiv 1911.11445; M2SNet, arXiv 2303.10894"

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network, and the frozen one beside it."""
        return {MODEL: model} | ({} if self.seen_by is None else {LOSSNET: self.seen_by})

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy", "overlap", and "seen" where there is a frozen network."""
        batch = batches[LABELLED]
        said: SegOutput = roles[MODEL](batch.images)
        logits = said.logits.float()
        if logits.shape[1] != len(self.structures):
            raise BadCall(
                f"The network has {logits.shape[1]} output channels, but {len(self.structures)} structures are taught. "
                "Make them equal."
            )
        targets = masks_of(batch.labels, list(self.structures.values()))
        terms = structure_loss(logits, targets)
        if LOSSNET in roles:
            terms["seen"] = self.weight * roles[LOSSNET](_pictures(torch.sigmoid(logits)), _pictures(targets))
        return terms


def _pictures(masks: torch.Tensor) -> torch.Tensor:
    """Every channel, and of volumes (b n x y z) every slice, as a picture (m 1 x y)."""
    if masks.dim() == 5:
        masks = masks.movedim(4, 1)
    return masks.reshape(-1, 1, *masks.shape[-2:])


def teach_structure(lesson: Lesson) -> Structure:
    """The objective "structure"; with `seen` above 0, a frozen network of random weights looks on."""
    weight, seed = lesson.number("seen"), int(lesson.number("seed"))
    if weight == 0:
        return Structure(lesson.structures)
    return Structure(lesson.structures, random_lossnet(seed), weight, "structure, seen by random weights")


def reproduce(fixture: Fixture) -> Tensors:
    """Our value on a fixture of the official code; maps on the way are not answered, as its tolerance is that of a mean over them."""
    given = fixture.inputs
    net = load_lossnet(fixture.state(), resize=bool(fixture.sizes.get("resize", True)))
    return {"loss": net(torch.sigmoid(given["logits"]), given["mask"])[None]}
