"""Multi-scale self-guided attention: four scales of a residual trunk, each guided twice by attention over places and channels.

Paper: Sinha and Dolz 2020, arXiv 1906.02849; code sinAshish/Multi-Scale-Attention (no licence stated), class DAF_stack.
Takes: images (b channels x y). Returns: `SegOutput`: the mean of the four refined answers, all eight as side answers, and in `extra` what
`guide_losses` needs. Weights: none published. Left out: branches that the authors build and never use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.gates import ChannelAttention, PositionAttention
from ...blocks.residual import Block, Bottleneck, basic, build_stages
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, SideAnswer, resize
from ..official import count, load, rename, width

FILE = "weights of DAF_stack without its trunk"
SCALES = 4
AGREEMENT, REBUILDING = 0.25, 0.1  # Source: sinAshish/Multi-Scale-Attention, weights of its losses


class Trunk(nn.Module):
    """A ResNet, or a ResNeXt with `groups`: maps at strides 4, 8, 16, 32.

    Args:
        stem: channels of its first convolution.
        widths, depths: channels and blocks of each stage.
        groups: of the bottlenecks' middle convolution, which is half as wide as the stage; 0 for blocks without bottleneck.
    """

    def __init__(self, channels: int, stem: int, widths: Sequence[int], depths: Sequence[int], groups: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages = build_stages([_block(one, groups) for one in widths], stem, widths, depths, (1, 2, 2, 2))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The four maps, finest first."""
        x = self.stem(x)
        return [x := stage(x) for stage in self.stages]


def _block(width: int, groups: int) -> Block:
    def bottleneck(inside: int, outside: int, stride: int, opens: bool) -> nn.Module:
        return Bottleneck(inside, outside, stride, inner=width // 2, groups=groups)

    return bottleneck if groups else basic


class Semantic(nn.Module):
    """An encoder and decoder without skips, whose bottleneck says what is seen and whose answer rebuilds its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([_double(width, 2 * width), _double(2 * width, 4 * width)])
        self.decoder = nn.ModuleList(
            nn.Sequential(*_double(inside, inside // 2), nn.ConvTranspose2d(inside // 2, inside // 2, 2, stride=2))
            for inside in (4 * width, 2 * width)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The bottleneck as vectors (b n), and the input rebuilt; sides of x are even."""
        half = F.max_pool2d(self.encoder[0](x), 2)
        quarter = F.max_pool2d(self.encoder[1](half), 2)
        return quarter.flatten(1), self.decoder[1](resize(self.decoder[0](quarter), half.shape[2:]))


class Attended(nn.Sequential):
    """An attention between two convolutions, from twice the width to it."""

    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__(*_unit(2 * width, width), attention, *_unit(width, width))


class Guide(nn.Module):
    """One pass over all scales: the semantic network is one for all, everything else one for each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.semantic = Semantic(2 * width)

        def each(make: Any) -> nn.ModuleList:
            return nn.ModuleList(make() for _ in range(SCALES))

        self.places = each(lambda: Attended(width, PositionAttention(width)))
        self.channels = each(lambda: Attended(width, ChannelAttention()))
        self.rebuilt = each(partial(nn.Conv2d, 2 * width, width, 3, padding=1))
        self.out = each(partial(nn.Conv2d, width, width, 1))

    def forward(self, scale: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Attention for one scale (b width h w), the vectors, and x (b 2*width h w) rebuilt."""
        vectors, rebuilt = self.semantic(x)
        seen = (self.places[scale](x) + self.channels[scale](x)) * self.rebuilt[scale](rebuilt)
        return self.out[scale](seen), vectors, rebuilt


class SelfGuided(nn.Module):
    """What comes after the trunk; scales are counted from the finest.

    Args:
        widths: channels of the trunk's maps.
        width: of everything here.
    """

    def __init__(self, widths: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Sequential(*_unit(one, width, size=1)) for one in widths)
        self.fuse = nn.Sequential(*_unit(SCALES * width, width), *_unit(width, width), *_unit(width, width, size=1))
        self.first, self.second = Guide(width), Guide(width)
        self.heads_before = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in widths)
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in widths)

    def forward(self, maps: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """By name and scale: logits "before.i" and "after.i" at a quarter of the image's sides, and what they are made of."""
        sides = maps[0].shape[2:]
        down = [resize(layer(x), sides) for layer, x in zip(self.down, maps, strict=True)]
        fused = self.fuse(torch.cat(down[::-1], dim=1))
        said = {"fused": fused}
        for i, x in enumerate(down):
            said[f"input.first.{i}"] = torch.cat([x, fused], dim=1)
            seen, said[f"vectors.first.{i}"], said[f"rebuilt.first.{i}"] = self.first(i, said[f"input.first.{i}"])
            said[f"attention.{i}"] = seen
            said[f"input.second.{i}"] = torch.cat([x, seen * fused], dim=1)
            seen, said[f"vectors.second.{i}"], said[f"rebuilt.second.{i}"] = self.second(i, said[f"input.second.{i}"])
            said[f"refined.{i}"] = seen
            said[f"before.{i}"], said[f"after.{i}"] = self.heads_before[i](x), self.heads[i](seen)
        return said


class GuidedAttention(SegmentationNetwork):
    """Trunk and guide.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        stem, widths, depths, groups: see `Trunk`.
        width: see `SelfGuided`.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        stem: int,
        widths: Sequence[int],
        depths: Sequence[int],
        groups: int,
        width: int,
    ) -> None:
        if len(widths) != SCALES:
            raise ValueError(f"the trunk has {SCALES} stages, and {len(widths)} widths are given")
        super().__init__(dims, channels, classes, [8, 8], [32, 32])
        self.trunk = Trunk(channels, stem, widths, depths, groups)
        self.guided = SelfGuided(widths, width, classes)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        maps = self.trunk(image)
        said = self.guided(maps)
        logits = torch.stack([resize(said[f"after.{i}"], image.shape[2:]) for i in range(SCALES)]).mean(0)
        aux = [
            SideAnswer(f"{kind}.{i}", said[f"{kind}.{i}"], 1.0) for kind in ("before", "after") for i in range(SCALES)
        ]
        features = {f"encoder.{n}": one for n, one in enumerate(maps)}
        features["decoder.0"] = said["refined.0"]
        wanted = ("input", "rebuilt", "vectors")
        return SegOutput(logits, tuple(aux), features, {k: v for k, v in said.items() if k.startswith(wanted)})

    def more_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Terms "agreement" and "rebuilding" of `guide_losses`."""
        return guide_losses(said.extra)


def guide_losses(extra: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Terms "agreement", of the vectors of both passes, and "rebuilding", of the inputs rebuilt, from a `SegOutput.extra`; weighted.

    Source: Sinha and Dolz 2020, eq. 8-10; weights of sinAshish/Multi-Scale-Attention.
    """
    agreement = sum(F.mse_loss(extra[f"vectors.first.{i}"], extra[f"vectors.second.{i}"]) for i in range(SCALES))
    rebuilding = sum(
        F.mse_loss(extra[f"rebuilt.{one}.{i}"], extra[f"input.{one}.{i}"])
        for one in ("first", "second")
        for i in range(SCALES)
    )
    return {"agreement": AGREEMENT * torch.as_tensor(agreement), "rebuilding": REBUILDING * torch.as_tensor(rebuilding)}


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    stem: int,
    widths: Sequence[int],
    depths: Sequence[int],
    groups: int,
    width: int,
) -> GuidedAttention:
    """The backbone "guided-attention"."""
    return GuidedAttention(dims, channels, classes, stem=stem, widths=widths, depths=depths, groups=groups, width=width)


def _unit(inside: int, outside: int, size: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, size, padding=size // 2), nn.BatchNorm2d(outside), nn.PReLU()]


def _double(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for one in (inside, outside):
        layers += [nn.Conv2d(one, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights of what comes after the trunk, as those of a `SelfGuided`.

    Raises:
        BadCall: a key of something else; the trunk's keys are refused too, as their layout is another project's.
    """
    passes = {"1": "first", "2": "second"}
    step = {"enc": "encoder", "dec": "decoder"}

    def semantic(m: Any) -> str:
        number = int(m[3]) - 1 if m[2] == "enc" else 2 - int(m[3])  # dec2 comes first
        return f"{passes[m[1]]}.semantic.{step[m[2]]}.{number}.{m[4]}"

    def attended(m: Any) -> str:
        rest = m[4].replace("_conv", "")
        return f"{passes[m[2]]}.{'places' if m[1] == 'pam' else 'channels'}.{int(m[3]) - 1}.{rest}"

    renamed = rename(
        state,
        (
            (r"down(\d)\.(.+)", lambda m: f"down.{int(m[1]) - 1}.{m[2]}"),
            (r"fuse1\.fuse_attn\.(.+)", r"fuse.\g<1>"),
            (r"predict(\d)\.(.+)", lambda m: f"heads_before.{int(m[1]) - 1}.{m[2]}"),
            (r"predict(\d)_2\.(.+)", lambda m: f"heads.{int(m[1]) - 1}.{m[2]}"),
            (r"(pam|cam)_attention_([12])_(\d)\.attn\.(.+)", attended),
            (r"semanticModule_([12])_1\.(enc|dec)([12])\.(?:en|de)code\.(.+)", semantic),
            # The authors count these from the coarsest scale.
            (r"conv_sem_([12])_(\d)\.(.+)", lambda m: f"{passes[m[1]]}.rebuilt.{SCALES - int(m[2])}.{m[3]}"),
            (r"conv8_(\d)\.(.+)", lambda m: f"first.out.{SCALES - int(m[1])}.{m[2]}"),
            (r"conv8_1(\d)\.(.+)", lambda m: f"second.out.{SCALES - int(m[1])}.{m[2]}"),
        ),
        FILE,
        dead=(r"conv[67]_\d\..+", r"attention\d\..+", r"refine\d\..+"),
    )
    pointwise = (".query.weight", ".key.weight", ".value.weight")
    return {key: value.flatten(2) if key.endswith(pointwise) else value for key, value in renamed.items()}


def options_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of the `SelfGuided` that converted weights belong to.

    Raises:
        BadCall: these are not all of its weights.
    """
    if count(state, r"down\.(\d+)\.") != SCALES:
        raise BadCall(f"The weights are not of {SCALES} scales. Give {FILE}.")
    return {
        "widths": [width(state, f"down.{i}.0.weight", 1, FILE) for i in range(SCALES)],
        "width": width(state, "down.0.0.weight", 0, FILE),
        "classes": width(state, "heads.0.weight", 0, FILE),
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: maps of the trunk in, answers out."""
    state, given = convert(fixture.state()), fixture.inputs
    with torch.device("meta"):
        net = SelfGuided(**options_of(state))
    with torch.no_grad():
        said = load(net, state, FILE)([given[f"layer{i + 1}"] for i in range(SCALES)])
    sides = [int(side) for side in given["image_size"]]
    after = [resize(said[f"after.{i}"], sides) for i in range(SCALES)]
    found = {"logits_eval": torch.stack(after).mean(0), "fuse1": said["fused"]}
    for i in range(SCALES):
        shown = fixture.outputs[f"branch_predict{i + 1}"].shape[1]  # some classes only
        found[f"branch_predict{i + 1}"] = resize(said[f"before.{i}"], sides)[:, :shown]
        found[f"branch_predict{i + 1}_2"] = after[i][:, :shown]
        found |= {f"predict{i + 1}_2": said[f"after.{i}"], f"attention1_{i + 1}": said[f"attention.{i}"]}
    return found
