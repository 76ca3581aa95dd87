"""R2U-Net: a U-Net whose convolutions run several times over their own answer, and its variant with gated skips.

Paper: Alom et al. 2018, arXiv 1802.06955; code LeeJunHyun/Image_Segmentation (no licence stated), classes R2U_Net and R2AttU_Net.
Takes: images (b channels x y), or volumes. Returns: `SegOutput` without side answers.
Weights: none published. Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.gates import AttentionGate
from ...blocks.layers import make_batch_norm, make_conv, max_pool
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput
from ..official import count, load, read_width, rename

FILE = "weights of R2U_Net or R2AttU_Net"


class Recurrent(nn.Module):
    """One conv-BN-ReLU, applied to x, and then `repeats` times to x plus what it last said; its statistics serve every time."""

    def __init__(self, dims: int, channels: int, repeats: int) -> None:
        super().__init__()
        self.conv, self.norm = make_conv(dims, channels, channels), make_batch_norm(dims, channels)
        self.repeats = repeats

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the same shape."""
        said = F.relu(self.norm(self.conv(x)))
        for _ in range(self.repeats):
            said = F.relu(self.norm(self.conv(x + said)))
        return said


class RecurrentResidual(nn.Module):
    """A bare convolution of one voxel, and two recurrent units round which it is the shortcut."""

    def __init__(self, dims: int, inside: int, outside: int, repeats: int) -> None:
        super().__init__()
        self.enter = make_conv(dims, inside, outside, 1)
        self.units = nn.Sequential(Recurrent(dims, outside, repeats), Recurrent(dims, outside, repeats))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b outside ...)."""
        x = self.enter(x)
        said: torch.Tensor = x + self.units(x)
        return said


class R2UNet(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        widths: channels of each level, finest first.
        repeats: times a convolution runs again, t of the paper.
        gates: inner width of each gate, finest first; () for none.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int],
        repeats: int,
        gates: Sequence[int],
    ) -> None:
        levels = len(widths)
        if levels < 2 or repeats < 1:
            raise ValueError("an R2U-Net has two widths or more and repeats once or more")
        if gates and len(gates) != levels - 1:
            raise ValueError(f"there are {levels - 1} skips, and {len(gates)} widths of gates")
        stride = 2 ** (levels - 1)
        super().__init__(dims, channels, classes, [stride] * dims, [stride] * dims)
        self.down = nn.ModuleList(
            RecurrentResidual(dims, widths[n - 1] if n else channels, widths[n], repeats) for n in range(levels)
        )
        skips = range(levels - 1)
        self.grow = nn.ModuleList(
            nn.Sequential(make_conv(dims, widths[n + 1], widths[n]), make_batch_norm(dims, widths[n]), nn.ReLU())
            for n in skips
        )
        self.up = nn.ModuleList(RecurrentResidual(dims, 2 * widths[n], widths[n], repeats) for n in skips)
        self.gates = nn.ModuleList(AttentionGate(widths[n], widths[n], one) for n, one in enumerate(gates))
        self.head = make_conv(dims, widths[0], classes, 1)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        features = {}
        for n, stage in enumerate(self.down):
            image = features[f"encoder.{n}"] = stage(max_pool(image) if n else image)
        for n in reversed(range(len(self.up))):
            skip, grown = features[f"encoder.{n}"], self.grow[n](F.interpolate(image, scale_factor=2.0, mode="nearest"))
            both = [self.gates[n](grown, skip), grown] if self.gates else [skip, grown]
            image = features[f"decoder.{n}"] = self.up[n](torch.cat(both, dim=1))
        return SegOutput(self.head(image), features=features)


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    widths: Sequence[int],
    repeats: int = 2,
    gated: bool = False,
    gates: Sequence[int] | None = None,
) -> R2UNet:
    """The backbone "r2unet"; inner widths of gates are half of their level's unless given."""
    if gates and not gated:
        raise ValueError("widths of gates are given, but `gated` is false")
    inner = list(gates or [max(1, one // 2) for one in widths[:-1]]) if gated else []
    return R2UNet(dims, channels, classes, widths=widths, repeats=repeats, gates=inner)


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights under our names; weights of gates lose their sides of one voxel.

    Raises:
        BadCall: a key of something else.
    """
    unit, layer = r"RCNN\.([01])\.conv\.", {"0": "conv", "1": "norm"}
    gate = {"W_g": "gating", "W_x": "skip", "psi": "share"}

    def level(number: str) -> int:
        return int(number) - 1

    def up(number: str) -> int:
        return int(number) - 2

    renamed = rename(
        state,
        (
            (r"RRCNN(\d+)\.Conv_1x1\.(\w+)", lambda m: f"down.{level(m[1])}.enter.{m[2]}"),
            (rf"RRCNN(\d+)\.{unit}([01])\.(\w+)", lambda m: f"down.{level(m[1])}.units.{m[2]}.{layer[m[3]]}.{m[4]}"),
            (r"Up(\d+)\.up\.([12])\.(\w+)", lambda m: f"grow.{up(m[1])}.{int(m[2]) - 1}.{m[3]}"),
            (r"Up_RRCNN(\d+)\.Conv_1x1\.(\w+)", lambda m: f"up.{up(m[1])}.enter.{m[2]}"),
            (rf"Up_RRCNN(\d+)\.{unit}([01])\.(\w+)", lambda m: f"up.{up(m[1])}.units.{m[2]}.{layer[m[3]]}.{m[4]}"),
            (r"Att(\d+)\.(W_g|W_x|psi)\.([01])\.(\w+)", lambda m: f"gates.{up(m[1])}.{gate[m[2]]}.{m[3]}.{m[4]}"),
            (r"Conv_1x1\.(\w+)", r"head.\g<1>"),
        ),
        FILE,
    )
    return {key: v.flatten(2) if key.startswith("gates.") and v.dim() > 3 else v for key, v in renamed.items()}


def sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What converted weights tell: dims, channels, classes and every option but `repeats`.

    Raises:
        BadCall: these are not all weights of an R2U-Net.
    """
    levels, gates = count(state, r"down\.(\d+)\."), count(state, r"gates\.(\d+)\.")
    if levels < 2 or "down.0.units.0.conv.weight" not in state:
        raise BadCall(f"The weights have {levels} whole levels. Give {FILE}.")
    return {
        "dims": state["down.0.units.0.conv.weight"].dim() - 2,
        "channels": read_width(state, "down.0.enter.weight", 1, FILE),
        "classes": read_width(state, "head.weight", 0, FILE),
        "widths": [read_width(state, f"down.{n}.enter.weight", 0, FILE) for n in range(levels)],
        "gated": gates > 0,
        "gates": [read_width(state, f"gates.{n}.skip.0.weight", 0, FILE) for n in range(gates)] or None,
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: of the network, and of the one with gates."""
    whole, image = fixture.state(), fixture.inputs["image"]
    found: Tensors = {}
    for prefix, output in (("r2unet.", "logits"), ("r2attunet.", "logits_attention")):
        theirs = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
        if not theirs:
            continue
        state = convert(theirs)
        with torch.device("meta"):
            net = build(**sizes_of(state), repeats=fixture.sizes.get("t", 2))
        with torch.no_grad():
            said = load(net, state, FILE)(image)
        found[output] = said.logits
        if not net.gates:
            found |= {f"rrcnn{n + 1}": said.features[f"encoder.{n}"] for n in range(len(net.down))}
            found |= {f"up_rrcnn{n + 2}": said.features[f"decoder.{n}"] for n in range(len(net.up))}
    return found
