"""GMS: a network that maps an image's latent to its mask's, between the encoder and decoder of a codec for pictures.

Paper: Huo et al. 2025, AAAI, arXiv 2403.18198; code King-HAW/GMS (no licence stated), class ResAttnUNet_DS.
Takes: images (b channels x y). Returns: `SegOutput` with two side answers from inside the mapper, and in `extra` every latent.
Weights: mappers are published, for the autoencoder of Stable Diffusion, which is left out: ours is a small codec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, SideAnswer, name_maps
from ..official import count, load, read_width, rename

FILE = "a mapper of GMS, best_model.pth"
GROUPS, EPS = 16, 1e-6  # of GroupNorm; Source: King-HAW/GMS
CODEC_GROUPS = 4  # our choice
SUPERVISED = (1, 2)  # levels beside the finest that are taught; Source: Huo et al. 2025, section 3.3


class Block(nn.Module):
    """Twice GroupNorm, PReLU and a convolution, with a shortcut; then attention of all places to all, with another."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        if inside % GROUPS or outside % GROUPS:
            raise ValueError(f"widths of the mapper are multiples of {GROUPS}, not {inside} and {outside}")
        self.conv1 = nn.Sequential(*_before(inside, nn.PReLU()), nn.Conv2d(inside, outside, 3, padding=1))
        self.conv2 = nn.Sequential(*_before(outside, nn.PReLU()), nn.Conv2d(outside, outside, 3, padding=1))
        self.shortcut = nn.Conv2d(inside, outside, 1, bias=False) if inside != outside else nn.Identity()
        self.norm = nn.GroupNorm(GROUPS, outside, EPS)
        self.q, self.k, self.v, self.out = (nn.Conv2d(outside, outside, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b outside x y)."""
        x = self.shortcut(x) + self.conv2(self.conv1(x))
        normed = self.norm(x)
        q, k, v = (layer(normed).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        said: torch.Tensor = x + self.out(seen)
        return said


class Mapper(nn.Module):
    """Latent to latent: a U of blocks without any change of the sides, with an answer on each level of its way back.

    Args:
        inside, outside: channels of the latents.
        stem: of the first convolution.
        widths: of each level, finest first.
    """

    def __init__(self, inside: int, outside: int, stem: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError("a mapper has two levels or more")
        self.stem = nn.Conv2d(inside, stem, 3, padding=1)
        levels = [stem, *widths]  # level 0 is the stem's
        self.down = nn.ModuleList(Block(a, b) for a, b in zip(levels, widths, strict=False))
        self.up = nn.ModuleList(Block(a + b, a) for a, b in zip(levels, widths, strict=False))
        self.heads = nn.ModuleList(
            nn.Sequential(*_before(one, nn.SiLU()), nn.Conv2d(one, outside, 3, padding=1, bias=False))
            for one in levels[:-1]
        )

    def forward(self, latent: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """Latents of every level, finest first, maps of the way down and of the way back."""
        down = [self.stem(latent)]
        for block in self.down:
            down.append(block(down[-1]))
        x, up = down[-1], list[torch.Tensor]()
        for level in range(len(self.up) - 1, -1, -1):
            x = self.up[level](torch.cat([down[level], x], dim=1))
            up.insert(0, x)
        return [head(x) for head, x in zip(self.heads, up, strict=True)], down, up


class Codec(nn.Module):
    """Pictures (b channels x y) to latents and back to logits; each width but the first halves the sides. Our own, and small."""

    def __init__(self, channels: int, latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        if any(one % CODEC_GROUPS for one in widths):
            raise ValueError(f"widths of the codec are multiples of {CODEC_GROUPS}")
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1),
            *(
                nn.Sequential(nn.GroupNorm(CODEC_GROUPS, a), nn.SiLU(), nn.Conv2d(a, b, 3, stride=2, padding=1))
                for a, b in pairwise(widths)
            ),
            nn.GroupNorm(CODEC_GROUPS, widths[-1]),
            nn.SiLU(),
            nn.Conv2d(widths[-1], latent, 1),
        )
        back = widths[::-1]
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, back[0], 1),
            *(
                nn.Sequential(
                    nn.GroupNorm(CODEC_GROUPS, a), nn.SiLU(), nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1)
                )
                for a, b in pairwise(back)
            ),
            nn.GroupNorm(CODEC_GROUPS, back[-1]),
            nn.SiLU(),
            nn.Conv2d(back[-1], channels, 3, padding=1),
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """The picture rebuilt, as logits."""
        rebuilt: torch.Tensor = self.decoder(self.encoder(picture))
        return rebuilt


class Gms(SegmentationNetwork):
    """Codec, mapper, codec; each class has a latent of its own, which is decoded alone.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        latent: channels of a latent.
        stem, widths: see `Mapper`.
        codec: widths of the codec, at full sides first.
        frozen: whether the codec rests; gradients pass through it all the same.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        latent: int,
        stem: int,
        widths: Sequence[int],
        codec: Sequence[int],
        frozen: bool,
    ) -> None:
        if len(codec) < 2 or len(widths) <= max(SUPERVISED):
            raise ValueError(f"a codec has two widths or more, and a mapper more than {max(SUPERVISED)}")
        by = 2 ** (len(codec) - 1)
        super().__init__(dims, channels, classes, [by, by], [2 * by, 2 * by])
        self.codec = Codec(channels, latent, codec).requires_grad_(not frozen)
        self.mapper = Mapper(latent, latent * classes, stem, widths)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        latents, down, up = self.mapper(self.codec.encoder(image))
        logits = self.decode(latents[0])
        aux = tuple(SideAnswer(f"level.{n}", self.decode(latents[n]), 1.0) for n in SUPERVISED) if self.training else ()
        return SegOutput(logits, aux, name_maps(down, up[::-1]), {f"latent.{n}": one for n, one in enumerate(latents)})

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Logits (b classes x y) of latents (b classes*latent x/f y/f): the mean over the channels of each class's picture."""
        each = latents.unflatten(1, (self.classes, -1))
        pictures = self.codec.decoder(each.flatten(0, 1)).mean(1)
        logits: torch.Tensor = pictures.unflatten(0, each.shape[:2])
        return logits

    def more_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """The term "latent" of `latent_loss`."""
        return {"latent": latent_loss(self, said.extra, masks)}

    def encode_masks(self, masks: torch.Tensor) -> torch.Tensor:
        """Latents (b classes*latent x/f y/f) of masks (b classes x y), each shown in every channel of a picture; without gradient."""
        pictures = masks.flatten(0, 1).unsqueeze(1).expand(-1, self.channels, -1, -1)
        with torch.no_grad():
            latents = self.codec.encoder(pictures)
        grouped: torch.Tensor = latents.unflatten(0, masks.shape[:2])
        return grouped.flatten(1, 2)


def latent_loss(net: Gms, extra: Mapping[str, torch.Tensor], masks: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of the taught latents of a `SegOutput.extra` from those of masks (b classes x y), added over the levels.

    Source: Huo et al. 2025, section 3.3; stands beside Dice on the decoded masks with equal weight.
    """
    wanted = net.encode_masks(masks)
    return torch.stack([F.mse_loss(extra[f"latent.{n}"], wanted) for n in (0, *SUPERVISED)]).sum()


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    latent: int = 4,
    stem: int,
    widths: Sequence[int],
    codec: Sequence[int],
    frozen: bool = False,
) -> Gms:
    """The backbone "gms"."""
    return Gms(dims, channels, classes, latent=latent, stem=stem, widths=widths, codec=codec, frozen=frozen)


def _before(width: int, activation: nn.Module) -> tuple[nn.Module, nn.Module]:
    return nn.GroupNorm(GROUPS, width, EPS), activation


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' mapper under our names; slopes that stand twice are taken once.

    Raises:
        BadCall: a key of something else.
    """
    layers = {"attention.proj_out": "out", "resblock.skip_connection": "shortcut"}

    def block(m: Any) -> str:
        level, column, part, rest = int(m[1]), int(m[2]), m[3], m[4]
        home = f"up.{level}" if column else f"down.{level - 1}"
        return f"{home}.{layers.get(part, part.split('.')[-1])}.{rest}"

    parts = r"resblock\.conv[12]|resblock\.skip_connection|attention\.(?:norm|q|k|v|proj_out)"
    return rename(
        state,
        (
            (r"input_blocks\.(\w+)", r"stem.\g<1>"),
            (rf"conv(\d+)_(\d+)\.({parts})\.(.+)", block),
            (r"convds(\d+)\.([02])\.(\w+)", r"heads.\g<1>.\g<2>.\g<3>"),
        ),
        FILE,
        dead=(r"conv\d+_\d+\.resblock\.act[12]\.weight",),
    )


def mapper_sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the `Mapper` that converted weights belong to.

    Raises:
        BadCall: these are not all of its weights.
    """
    levels = count(state, r"down\.(\d+)\.")
    if levels < 2:
        raise BadCall(f"The weights have {levels} levels. Give {FILE}.")
    return {
        "inside": read_width(state, "stem.weight", 1, FILE),
        "outside": read_width(state, "heads.0.2.weight", 0, FILE),
        "stem": read_width(state, "stem.weight", 0, FILE),
        "widths": [read_width(state, f"down.{n}.conv1.2.weight", 0, FILE) for n in range(levels)],
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: latents in and out, and maps on the way."""
    state = convert(fixture.state())
    with torch.device("meta"):
        net = Mapper(**mapper_sizes_of(state))
    with torch.no_grad():
        latents, down, up = load(net, state, FILE)(fixture.inputs["latent"])
    found = {f"level{n}" if n else "out": one for n, one in enumerate(latents)}
    found |= {f"conv{n}_0": x for n, x in enumerate(down) if n}
    return found | {f"conv{n}_{len(up) - n}": x for n, x in enumerate(up)}
