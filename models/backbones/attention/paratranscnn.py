"""ParaTransCNN: a ResNet and a transformer side by side, joined at three scales.

Paper: Sun et al. 2024, arXiv 2401.15307; code HongkunSun/ParaTransCNN (no licence stated).
Takes: images (b channels x y). Returns: `SegOutput` without side answers.
Weights: none published. Left out: ImageNet weights of the ResNet, which the authors start from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.gates import SqueezeExcitation
from ...blocks.residual import build_stages, make_basic
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput
from ..official import count, load, read_width, rename

FILE = "weights of ParaTransCNN"
SCALES = 3
REDUCTION = 16  # of the squeeze; Source: HongkunSun/ParaTransCNN
RATIO = 2  # of the MLPs; Source: HongkunSun/ParaTransCNN


class Layer(nn.Module):
    """Attention of all tokens to all and an MLP, each after a LayerNorm and with its input added.

    Args:
        width: of the tokens, a multiple of `heads`.
        dropout: share of weights, and of what both parts say, that is left out in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not share {width} channels")
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, RATIO * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(RATIO * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout).transpose(1, 2).flatten(2)
        x = x + F.dropout(self.proj(seen), self.dropout, self.training)
        said: torch.Tensor = x + self.mlp(self.norm2(x))
        return said


class ParaTransCnn(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        stem: channels of the ResNet's first convolution.
        widths, depths: channels and blocks of its four stages; the first is at half the sides and only a step.
        dim: width of the finest transformer; the next are twice and four times as wide.
        heads: of every transformer.
        layers: of each transformer, finest first.
        dropout: see `Layer`.
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
        dim: int,
        heads: int,
        layers: Sequence[int],
        dropout: float,
    ) -> None:
        if len(widths) != SCALES + 1 or len(layers) != SCALES:
            raise ValueError(f"the ResNet has {SCALES + 1} stages and there are {SCALES} transformers")
        super().__init__(dims, channels, classes, [16, 16], [16, 16])
        self.stem = nn.Sequential(nn.Conv2d(channels, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.stages = build_stages([make_basic] * 4, stem, widths, depths, (1, 2, 2, 2))
        tokens = [dim * 2**n for n in range(SCALES)]
        self.patches = nn.ModuleList(
            nn.Conv2d(inside, outside, step, step)
            for inside, outside, step in zip([channels, *tokens], tokens, (4, 2, 2), strict=False)
        )
        self.transformers = nn.ModuleList(
            nn.Sequential(*(Layer(one, heads, dropout) for _ in range(many)))
            for one, many in zip(tokens, layers, strict=True)
        )
        joined = [a + b for a, b in zip(tokens, widths[1:], strict=True)]
        self.gates = nn.ModuleList(SqueezeExcitation(one, max(1, one // REDUCTION)) for one in joined)
        inside = joined.copy()  # of each decoder step, and half of it is what it hands to the next finer one
        for n in range(SCALES - 2, -1, -1):
            inside[n] += inside[n + 1] // 2
        self.merge = nn.ModuleList(_double(one) for one in inside)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(one, one // 2, 2, 2) for one in inside[1:])
        self.head = nn.Sequential(nn.ConvTranspose2d(inside[0], dim, 4, 4), nn.Conv2d(dim, classes, 1))

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        features = {}
        x = self.stages[0](self.stem(image))
        seen = image
        for n in range(SCALES):
            x = self.stages[n + 1](x)
            seen = self.patches[n](seen)
            tokens = self.transformers[n](seen.flatten(2).transpose(1, 2))
            seen = tokens.transpose(1, 2).reshape(seen.shape)
            features[f"encoder.{n}"] = self.gates[n](torch.cat([seen, x], dim=1))
        x = features[f"decoder.{SCALES - 1}"] = self.merge[-1](features[f"encoder.{SCALES - 1}"])
        for n in range(SCALES - 2, -1, -1):
            joined = torch.cat([features[f"encoder.{n}"], self.grow[n](x)], dim=1)
            x = features[f"decoder.{n}"] = self.merge[n](joined)
        return SegOutput(self.head(x), features=features)


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    stem: int,
    widths: Sequence[int],
    depths: Sequence[int],
    dim: int,
    heads: int,
    layers: Sequence[int],
    dropout: float = 0.1,
) -> ParaTransCnn:
    """The backbone "paratranscnn"."""
    return ParaTransCnn(
        dims,
        channels,
        classes,
        stem=stem,
        widths=widths,
        depths=depths,
        dim=dim,
        heads=heads,
        layers=layers,
        dropout=dropout,
    )


def _double(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights under our names.

    Raises:
        BadCall: a key of something else.
    """

    def layer(m: Any) -> str:
        part = m[3]
        if int(m[2]) % 2:  # every second entry is an MLP
            ours = "norm2" if part == "norm" else part.replace("fn.net", "mlp")
        else:
            ours = "norm1" if part == "norm" else part.removeprefix("fn.")
        return f"transformers.{int(m[1]) - 1}.{int(m[2]) // 2}.{ours}.{m[4]}"

    def step(number: str) -> int:
        return SCALES - int(number)

    place = {"conv1": 0, "norm1": 1, "conv3": 3, "norm3": 4}
    return rename(
        state,
        (
            (r"firstconv\.weight", "stem.0.weight"),
            (r"firstbn\.(\w+)", r"stem.1.\g<1>"),
            (r"encoder(\d)\.(\d+\..+)", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}"),
            (r"patch_embed_(\d)\.(\w+)", lambda m: f"patches.{int(m[1]) - 1}.{m[2]}"),
            (r"vit_(\d)\.net\.(\d+)\.fn\.(norm|fn\.qkv|fn\.proj|fn\.net\.[03])\.(\w+)", layer),
            (r"SE_(\d)\.fc\.([02])\.weight", lambda m: f"gates.{step(m[1])}.fc.{m[2]}.weight"),
            (
                r"decoder(\d)\.(conv[13]|norm[13])\.(\w+)",
                lambda m: f"merge.{step(m[1])}.{place[m[2]]}.{m[3]}",
            ),
            (r"up1_1\.(\w+)", r"head.0.\g<1>"),
            (r"up([23])_1\.(\w+)", lambda m: f"grow.{int(m[1]) - 2}.{m[2]}"),
            (r"out\.(\w+)", r"head.1.\g<1>"),
        ),
        FILE,
    )


def sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What converted weights tell: dims, channels, classes and every option but `heads` and `dropout`.

    Raises:
        BadCall: these are not all weights of a ParaTransCNN.
    """
    stages, transformers = count(state, r"stages\.(\d+)\."), count(state, r"transformers\.(\d+)\.")
    if stages != SCALES + 1 or transformers != SCALES:
        raise BadCall(f"The weights have {stages} stages and {transformers} transformers. Give {FILE}.")
    return {
        "dims": 2,
        "channels": read_width(state, "stem.0.weight", 1, FILE),
        "classes": read_width(state, "head.1.weight", 0, FILE),
        "stem": read_width(state, "stem.0.weight", 0, FILE),
        "widths": [read_width(state, f"stages.{n}.0.conv1.weight", 0, FILE) for n in range(stages)],
        "depths": [count(state, rf"stages\.{n}\.(\d+)\.") for n in range(stages)],
        "dim": read_width(state, "patches.0.weight", 0, FILE),
        "layers": [count(state, rf"transformers\.{n}\.(\d+)\.") for n in range(transformers)],
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: logits, and maps of both branches on the way."""
    state = convert(fixture.state())
    with torch.device("meta"):
        net = build(**sizes_of(state), heads=fixture.sizes.get("heads", 8))
    net = load(net, state, FILE)
    seen: dict[str, torch.Tensor] = {}
    watched = {f"encoder{n + 1}": stage for n, stage in enumerate(net.stages)}
    watched |= {f"vit_{n + 1}": one for n, one in enumerate(net.transformers)}
    watched |= {f"up{n + 2}_1": one for n, one in enumerate(net.grow)}
    for name, module in watched.items():
        module.register_forward_hook(lambda _, given, said, name=name: seen.update({name: said}))
    with torch.no_grad():
        said = net(fixture.inputs["image"])
    found = {f"SE_{SCALES - n}": said.features[f"encoder.{n}"] for n in range(SCALES)}
    found |= {f"decoder{SCALES - n}": said.features[f"decoder.{n}"] for n in range(SCALES)}
    return {"logits": said.logits, **seen, **found}
