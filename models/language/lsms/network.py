"""LSMS (re-implementation from abstract and SLViT lineage): one picture and one referring sentence, one mask.

Paper: Ouyang et al. 2024, "Language-guided Scale-aware MedSegmentor", arXiv 2408.17347. No code, weights or data
    were released. The interior follows the first author's SLViT (IJCAI 2023; read, nothing copied) where the
    abstract is silent; kernel list, placement, decoder and contrastive weight are therefore fields of the
    configuration, not facts about LSMS.
Takes: square pictures in [0, 1], sides multiples of 32; token states (b t text) with a mask of valid ones.
Returns: mask logits at full size, and the vectors of the contrastive head.
Weights: our small ones (`lsms-mini`; its card says on what).
Left out: SLViT's interaction of uncertain cells (its response map is identically 1 in the public code, and its
    weights were never trained); fine-tuning of the language model, which is frozen here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

STRIDE = 32
TEMPERATURE = 0.07  # of the contrastive head; our choice, as CLIP's start value
_PADDED = -1e4  # added to the similarity of padded words; Source: LAVT and SLViT
_LAYER_SCALE = 1e-2  # Source: MSCAN (SegNeXt, arXiv 2209.08575)


@dataclass(frozen=True)
class LsmsConfig:
    """Sizes of an LSMS; what the paper does not tell is a field here.

    Attributes:
        widths, depths, mlp_ratios: of the four stages, strides 4 to 32.
        kernels: lengths of the strip convolutions that run beside the 5 x 5 one.
        gated: whether the language branch is used; False is the network without words.
        text: width of a token state.
        squeeze: channels the full-scale decoder works in.
        rank, steps, eval_steps: of the matrix factorisation.
        embed: width of the contrastive vectors.
        drop: drop-out before the last layer.
    """

    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 3, 12, 3)
    mlp_ratios: tuple[int, ...] = (8, 8, 4, 4)
    kernels: tuple[int, ...] = (7, 11, 21)
    gated: bool = True
    text: int = 768
    squeeze: int = 512
    rank: int = 64
    steps: int = 6
    eval_steps: int = 7
    embed: int = 256
    drop: float = 0.1

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LsmsConfig:
        """The configuration written by `to_json`."""
        known: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**known)


# Spec §12, MLP 4, with token states of MiniLM.
MINI = LsmsConfig((24, 48, 96, 128), (2, 2, 3, 2), (4, 4, 4, 4), text=384, squeeze=96, rank=16, embed=64)


class LanguageBranch(nn.Module):
    """Every pixel asks the words: one head of attention, normalised over the pixels, gated.

    With a single valid word all pixels get one vector and the norm erases it, so `Lsms` refuses that.
    """

    def __init__(self, width: int, text: int) -> None:
        super().__init__()
        self.query = nn.Conv1d(width, width, 1)
        self.key, self.value = nn.Conv1d(text, width, 1), nn.Conv1d(text, width, 1)
        self.query_norm, self.norm = nn.InstanceNorm1d(width), nn.InstanceNorm1d(width)
        self.gate_in, self.gate_out = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)

    def forward(self, a0: torch.Tensor, words: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """What the words add to (b c h w); `words` (b text t), `valid` (b 1 t) of ones and zeros."""
        q = self.query_norm(self.query(a0.flatten(2)))
        k, v = self.key(words) * valid, self.value(words) * valid
        similarity = torch.einsum("bcn,bct->bnt", q, k) * q.shape[1] ** -0.5 + (1 - valid) * _PADDED
        mixed = self.norm(torch.einsum("bnt,bct->bcn", similarity.softmax(-1), v))
        gated: torch.Tensor = torch.tanh(self.gate_out(F.relu(self.gate_in(mixed)))) * mixed
        return gated.view_as(a0)


class ScaleAwareAttention(nn.Module):
    """Strips of several lengths and the words, side by side on one 5 x 5 map, make one multiplicative map."""

    def __init__(self, width: int, config: LsmsConfig) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.mix = nn.Conv2d(width, width, 1)
        self.local = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.strips = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, (1, k), padding=(0, k // 2), groups=width),
                nn.Conv2d(width, width, (k, 1), padding=(k // 2, 0), groups=width),
            )
            for k in config.kernels
        )
        self.language = LanguageBranch(width, config.text) if config.gated else None

    def forward(self, x: torch.Tensor, words: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Same shape as (b c h w)."""
        u = F.gelu(self.before(x))
        a0 = self.local(u)
        total = a0
        for strip in self.strips:
            total = total + strip(a0)
        if self.language is not None:
            total = total + self.language(a0, words, valid)
        result: torch.Tensor = self.after(self.mix(total) * u) + x
        return result


class _Mlp(nn.Sequential):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(
            nn.Conv2d(width, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Conv2d(hidden, width, 1),
        )


class Block(nn.Module):
    """Attention and MLP with small learned scales."""

    def __init__(self, width: int, ratio: int, config: LsmsConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.attention = ScaleAwareAttention(width, config)
        self.mlp = _Mlp(width, width * ratio)
        self.scale1 = nn.Parameter(torch.full((width, 1, 1), _LAYER_SCALE))
        self.scale2 = nn.Parameter(torch.full((width, 1, 1), _LAYER_SCALE))

    def forward(self, x: torch.Tensor, words: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        x = x + self.scale1 * self.attention(self.norm1(x), words, valid)
        result: torch.Tensor = x + self.scale2 * self.mlp(self.norm2(x))
        return result


class Stage(nn.Module):
    """Goes down to the stage's stride, then its blocks, then a norm over the channels."""

    def __init__(self, number: int, config: LsmsConfig) -> None:
        super().__init__()
        width = config.widths[number]
        self.down: nn.Module
        if number == 0:
            self.down = nn.Sequential(
                nn.Conv2d(3, width // 2, 3, 2, 1),
                nn.BatchNorm2d(width // 2),
                nn.GELU(),
                nn.Conv2d(width // 2, width, 3, 2, 1),
                nn.BatchNorm2d(width),
            )
        else:
            self.down = nn.Sequential(nn.Conv2d(config.widths[number - 1], width, 3, 2, 1), nn.BatchNorm2d(width))
        ratio = config.mlp_ratios[number]
        self.blocks = nn.ModuleList(Block(width, ratio, config) for _ in range(config.depths[number]))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, words: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(b c h w) at twice the stride."""
        x = self.down(x)
        for block in self.blocks:
            x = block(x, words, valid)
        result: torch.Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return result


class Factorisation(nn.Module):
    """Non-negative matrix factorisation of a map (b c h w): what all its pixels have in common.

    Multiplicative updates from a fixed basis (the ancestor draws a new one at every call, so its masks
    differ from call to call). Source: Geng et al. 2021, arXiv 2109.04553 (Hamburger).
    """

    basis: torch.Tensor

    def __init__(self, channels: int, rank: int, steps: int, eval_steps: int) -> None:
        super().__init__()
        basis = torch.rand(channels, rank, generator=torch.Generator().manual_seed(0))
        self.register_buffer("basis", F.normalize(basis, dim=0))
        self.steps, self.eval_steps = steps, eval_steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape; `x` must not be negative."""
        flat = x.flatten(2)
        basis = self.basis.expand(len(x), -1, -1)
        with torch.no_grad():
            code = (flat.transpose(1, 2) @ basis).softmax(-1)
            for _ in range(self.steps if self.training else self.eval_steps):
                code = _updated(code, flat.transpose(1, 2), basis)
                basis = _updated(basis, flat, code)
        code = _updated(code, flat.transpose(1, 2), basis)
        return (basis @ code.transpose(1, 2)).view_as(x)


def _updated(factor: torch.Tensor, matrix: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """One multiplicative update of `factor` so that factor x other' comes nearer to `matrix`."""
    return factor * (matrix @ other) / (factor @ (other.transpose(1, 2) @ other) + 1e-6)


class FullScaleDecoder(nn.Module):
    """All four stages at stride 4, seen together through a factorisation: features (b squeeze/2 h w)."""

    def __init__(self, config: LsmsConfig) -> None:
        super().__init__()
        wide, half = config.squeeze, config.squeeze // 2
        groups = 32 if half % 32 == 0 and wide % 32 == 0 else 8
        self.squeeze = nn.Sequential(nn.Conv2d(sum(config.widths), wide, 1), nn.GroupNorm(groups, wide), nn.ReLU())
        self.ham_in, self.ham_out = nn.Conv2d(wide, wide, 1), nn.Conv2d(wide, wide, 1)
        self.ham = Factorisation(wide, config.rank, config.steps, config.eval_steps)
        self.align = nn.Sequential(nn.Conv2d(wide, half, 1), nn.GroupNorm(groups, half), nn.ReLU())

    def forward(self, stages: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features at the first stage's stride."""
        size = stages[0].shape[2:]
        maps = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in stages]
        x = self.squeeze(torch.cat(maps, dim=1))
        x = F.relu(x + self.ham_out(self.ham(F.relu(self.ham_in(x)))))
        result: torch.Tensor = self.align(x)
        return result


@dataclass(frozen=True)
class LsmsOutput:
    """What one forward gives.

    Attributes:
        logits: (b h w) of the picture's size; positive is inside (foreground minus background).
        classes: (b 2 h w), background and foreground.
        pixels: unit vectors (b embed h/4 w/4).
        sentence: unit vectors (b embed).
    """

    logits: torch.Tensor
    classes: torch.Tensor
    pixels: torch.Tensor
    sentence: torch.Tensor

    def match(self) -> torch.Tensor:
        """Best agreement of sentence and any pixel (b), cosine: low when the sentence fits nothing."""
        return torch.einsum("bchw,bc->bhw", self.pixels, self.sentence).flatten(1).amax(1)


class Lsms(nn.Module):
    """The whole network."""

    def __init__(self, config: LsmsConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList(Stage(n, config) for n in range(len(config.widths)))
        self.decoder = FullScaleDecoder(config)
        half = config.squeeze // 2
        self.drop = nn.Dropout2d(config.drop)
        self.classify = nn.Conv2d(half, 2, 1)
        self.pixel_head, self.sentence_head = nn.Conv2d(half, config.embed, 1), nn.Linear(config.text, config.embed)

    def encode(self, picture: torch.Tensor, states: torch.Tensor, valid: torch.Tensor) -> list[torch.Tensor]:
        """The four stage maps of (b 3 h w); `states` (b t text), `valid` (b t) boolean.

        Raises:
            ValueError: sides are no multiples of 32, or a sentence has fewer than two valid tokens.
        """
        if any(side % STRIDE for side in picture.shape[2:]):
            raise ValueError(f"sides {tuple(picture.shape[2:])} must be multiples of {STRIDE}")
        if int(valid.sum(1).min()) < 2:
            raise ValueError("a sentence has fewer than two valid tokens; the norm over pixels would erase it")
        words, mask = states.transpose(1, 2), valid[:, None].to(states.dtype)
        found, x = [], picture
        for stage in self.stages:
            x = stage(x, words, mask)
            found.append(x)
        return found

    def decode(self, stages: Sequence[torch.Tensor], states: torch.Tensor, valid: torch.Tensor) -> LsmsOutput:
        """From stage maps to logits at four times the first stage's size."""
        x = self.decoder(stages)
        classes = F.interpolate(self.classify(self.drop(x)), scale_factor=4, mode="bilinear", align_corners=False)
        mask = valid[..., None].to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        return LsmsOutput(
            classes[:, 1] - classes[:, 0],
            classes,
            F.normalize(self.pixel_head(x), dim=1),
            F.normalize(self.sentence_head(mean), dim=1),
        )

    def forward(self, picture: torch.Tensor, states: torch.Tensor, valid: torch.Tensor) -> LsmsOutput:
        """One mask per picture and sentence."""
        return self.decode(self.encode(picture, states, valid), states, valid)


def segmentation_losses(output: LsmsOutput, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Terms "cross_entropy" (0.9 background, 1.1 foreground) and "dice", for masks (b h w) of 0 and 1.

    Source: SLViT's weights; Dice 1:1 is our choice for small targets.
    """
    weight = torch.tensor([0.9, 1.1], device=targets.device)
    p = torch.sigmoid(output.logits)
    overlap = 2 * (p * targets).sum((-2, -1)) + 1
    size = (p * p).sum((-2, -1)) + targets.sum((-2, -1)) + 1
    return {
        "cross_entropy": F.cross_entropy(output.classes, targets.long(), weight=weight),
        "dice": (1 - overlap / size).mean(),
    }


def contrastive_loss(output: LsmsOutput, targets: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Agreement of the referred region with its sentence: InfoNCE both ways plus a term per pixel. Our choice.

    Args:
        targets: (b h w); rows without foreground count in the pixel term only.
        same: (b b) boolean, True where two rows have the same sentence (positives of each other).
    """
    small = F.interpolate(targets[:, None], size=output.pixels.shape[2:], mode="area")[:, 0]
    cosine = torch.einsum("bchw,bc->bhw", output.pixels, output.sentence)
    pixel = F.binary_cross_entropy_with_logits(cosine / TEMPERATURE, (small > 0.5).to(cosine.dtype))
    shown = small.sum((-2, -1)) > 0
    if int(shown.sum()) < 2:
        return pixel
    weights = small[shown] / small[shown].sum((-2, -1), keepdim=True)
    regions = F.normalize(torch.einsum("bchw,bhw->bc", output.pixels[shown], weights), dim=1)
    similarity = regions @ output.sentence[shown].T / TEMPERATURE
    positive = same[shown][:, shown].to(similarity.dtype)
    target = positive / positive.sum(1, keepdim=True)
    both = F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)
    return pixel + both / 2
