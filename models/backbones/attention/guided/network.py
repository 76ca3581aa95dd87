"""Multi-scale self-guided attention: four scales of a residual trunk, each guided twice by attention over places and channels.

Paper: Sinha and Dolz 2020, arXiv 1906.02849; code sinAshish/Multi-Scale-Attention (no licence stated), class DAF_stack.
Takes: images (b channels x y). Returns: `SegOutput`: the mean of the four refined answers, all eight as side answers, and in `extra` what
`guide_losses` needs. Weights: none published. Left out: branches that the authors build and never use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .....imaging.errors import BadCall
from ....blocks.residual import Block, Bottleneck, build_stages, make_basic
from ....checkpoints import Tensors
from ....parity import Fixture
from ...network import SegmentationNetwork, SegOutput, SideAnswer, name_maps, resize
from ...official import count, load, read_width, rename
from .guide import SCALES, SelfGuided

FILE = "weights of DAF_stack, with or without its trunk"
AGREEMENT, REBUILDING = 0.25, 0.1  # Source: sinAshish/Multi-Scale-Attention, weights of its losses


class Trunk(nn.Module):
    """A ResNet, or a ResNeXt with `groups`: maps at strides 4, 8, 16, 32.

    Args:
        stem: channels of its first convolution.
        widths, depths: channels and blocks of each stage.
        groups: of the bottlenecks' middle convolution; 0 for blocks without bottleneck.
        group_width: channels of each group where the stage has 256.
    """

    def __init__(
        self, channels: int, stem: int, widths: Sequence[int], depths: Sequence[int], groups: int, group_width: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages = build_stages(
            [_block(one, groups, group_width) for one in widths], stem, widths, depths, (1, 2, 2, 2)
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The four maps, finest first."""
        x = self.stem(x)
        return [x := stage(x) for stage in self.stages]


def _block(width: int, groups: int, group_width: int) -> Block:
    inner = width * groups * group_width // 256

    def bottleneck(inside: int, outside: int, stride: int, opens: bool) -> nn.Module:
        return Bottleneck(inside, outside, stride, inner=inner, groups=groups)

    return bottleneck if groups else make_basic


class GuidedAttention(SegmentationNetwork):
    """Trunk and guide.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        stem, widths, depths, groups, group_width: see `Trunk`.
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
        group_width: int,
        width: int,
    ) -> None:
        if len(widths) != SCALES:
            raise ValueError(f"the trunk has {SCALES} stages, and {len(widths)} widths are given")
        super().__init__(dims, channels, classes, [8, 8], [32, 32])
        self.trunk = Trunk(channels, stem, widths, depths, groups, group_width)
        self.guided = SelfGuided(widths, width, classes)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        maps = self.trunk(image)
        said = self.guided(maps)
        logits = torch.stack([resize(said[f"after.{i}"], image.shape[2:]) for i in range(SCALES)]).mean(0)
        aux = [
            SideAnswer(f"{kind}.{i}", said[f"{kind}.{i}"], 1.0) for kind in ("before", "after") for i in range(SCALES)
        ]
        features = name_maps(maps, [said["refined.0"]])
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
    group_width: int = 8,
    width: int,
) -> GuidedAttention:
    """The backbone "guided-attention"."""
    return GuidedAttention(
        dims,
        channels,
        classes,
        stem=stem,
        widths=widths,
        depths=depths,
        groups=groups,
        group_width=group_width,
        width=width,
    )


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights under our names; those of the trunk, torchvision's ResNeXt, may be missing.

    Raises:
        BadCall: a key of something else.
    """
    passes = {"1": "first", "2": "second"}
    step = {"enc": "encoder", "dec": "decoder"}

    def semantic(m: Any) -> str:
        number = int(m[3]) - 1 if m[2] == "enc" else 2 - int(m[3])  # dec2 comes first
        return f"guided.{passes[m[1]]}.semantic.{step[m[2]]}.{number}.{m[4]}"

    def attended(m: Any) -> str:
        rest = m[4].replace("_conv", "")
        return f"guided.{passes[m[2]]}.{'places' if m[1] == 'pam' else 'channels'}.{int(m[3]) - 1}.{rest}"

    renamed = rename(
        state,
        (
            (r"resnext\.layer0\.([01])\.(.+)", r"trunk.stem.\g<1>.\g<2>"),
            (r"resnext\.layer1\.1\.(.+)", r"trunk.stages.0.\g<1>"),  # behind a pool
            (r"resnext\.layer([234])\.(.+)", lambda m: f"trunk.stages.{int(m[1]) - 1}.{m[2]}"),
            (r"down(\d)\.(.+)", lambda m: f"guided.down.{int(m[1]) - 1}.{m[2]}"),
            (r"fuse1\.fuse_attn\.(.+)", r"guided.fuse.\g<1>"),
            (r"predict(\d)\.(.+)", lambda m: f"guided.heads_before.{int(m[1]) - 1}.{m[2]}"),
            (r"predict(\d)_2\.(.+)", lambda m: f"guided.heads.{int(m[1]) - 1}.{m[2]}"),
            (r"(pam|cam)_attention_([12])_(\d)\.attn\.(.+)", attended),
            (r"semanticModule_([12])_1\.(enc|dec)([12])\.(?:en|de)code\.(.+)", semantic),
            # The authors count these from the coarsest scale.
            (r"conv_sem_([12])_(\d)\.(.+)", lambda m: f"guided.{passes[m[1]]}.rebuilt.{SCALES - int(m[2])}.{m[3]}"),
            (r"conv8_(\d)\.(.+)", lambda m: f"guided.first.out.{SCALES - int(m[1])}.{m[2]}"),
            (r"conv8_1(\d)\.(.+)", lambda m: f"guided.second.out.{SCALES - int(m[1])}.{m[2]}"),
        ),
        FILE,
        dead=(r"conv[67]_\d\..+", r"attention\d\..+", r"refine\d\..+"),
    )
    pointwise = (".query.weight", ".key.weight", ".value.weight")
    return {key: value.flatten(2) if key.endswith(pointwise) else value for key, value in renamed.items()}


def sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What converted weights tell: of the whole network dims, channels, classes and every option; without trunk a `SelfGuided`'s arguments.

    Raises:
        BadCall: these are not all weights of either.
    """
    if count(state, r"guided\.down\.(\d+)\.") != SCALES:
        raise BadCall(f"The weights are not of {SCALES} scales. Give {FILE}.")
    found: dict[str, Any] = {
        "widths": [read_width(state, f"guided.down.{i}.0.weight", 1, FILE) for i in range(SCALES)],
        "width": read_width(state, "guided.down.0.0.weight", 0, FILE),
        "classes": read_width(state, "guided.heads.0.weight", 0, FILE),
    }
    if not any(key.startswith("trunk.") for key in state):
        return found
    groups, inner = 0, "trunk.stages.0.0.conv2.weight"
    bottleneck = "trunk.stages.0.0.conv3.weight" in state
    if bottleneck:
        groups = read_width(state, inner, 0, FILE) // read_width(state, inner, 1, FILE)
    return found | {
        "dims": 2,
        "channels": read_width(state, "trunk.stem.0.weight", 1, FILE),
        "stem": read_width(state, "trunk.stem.0.weight", 0, FILE),
        "depths": [count(state, rf"trunk\.stages\.{n}\.(\d+)\.") for n in range(SCALES)],
        "groups": groups,
        "group_width": read_width(state, inner, 1, FILE) * 256 // found["widths"][0] if bottleneck else 8,
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: maps of the trunk in, answers out."""
    state, given = convert(fixture.state()), fixture.inputs
    with torch.device("meta"):
        net = SelfGuided(**sizes_of(state))
    own = {key.removeprefix("guided."): value for key, value in state.items()}
    with torch.no_grad():
        said = load(net, own, FILE)([given[f"layer{i + 1}"] for i in range(SCALES)])
    sides = [int(side) for side in given["image_size"]]
    after = [resize(said[f"after.{i}"], sides) for i in range(SCALES)]
    found = {"logits_eval": torch.stack(after).mean(0), "fuse1": said["fused"]}
    for i in range(SCALES):
        shown = fixture.outputs[f"branch_predict{i + 1}"].shape[1]  # some classes only
        found[f"branch_predict{i + 1}"] = resize(said[f"before.{i}"], sides)[:, :shown]
        found[f"branch_predict{i + 1}_2"] = after[i][:, :shown]
        found |= {f"predict{i + 1}_2": said[f"after.{i}"], f"attention1_{i + 1}": said[f"attention.{i}"]}
    return found
