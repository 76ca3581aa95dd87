"""MambaClinix: gated convolutions of growing order in the fine stages, Mamba layers in the coarse ones.

Paper: Bian et al. 2024, arXiv 2409.12533. Code: CYB08/MambaClinix-PyTorch, MambaClinix_3d.py (Apache-2.0).
Takes: images (b channels x y z). Returns: `SegOutput` with a side answer of each step of the decoder.
Weights: none published. Left out: stochastic depth; the region-specific Tversky loss is training's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.layers import Steps, make_conv
from ...blocks.nnunet import ConvNorm, Grow, ProjectedBlock, ResidualBlock, check_stages
from ...blocks.scans.mamba import Mamba1D
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, halve_weights, name_maps
from ..official import State, count, load, rename, unwrap
from .vmamba import MapNorm

FILE = "a checkpoint that the code of CYB08/MambaClinix-PyTorch saved"
NORM_EPS = 1e-6  # of norms over channels, and the gated share of a fresh block; Source: layer_eps of the released code
_CONV = r"conv\d\.(conv|norm)\.\w+"
_DEAD = (
    r"decoder\.encoder\..*",
    r".*\.all_modules\..*",
    r".*\.skip_scale",
)  # aliases of weights, and a factor nothing uses
_LAYER = r"encoder\.(LayerNorm|encoder_layers\.\d+\.lynorm[12])"
_RULES = (
    (rf"({_LAYER})\.gamma", r"\1.weight"),
    (rf"({_LAYER})\.beta", r"\1.bias"),
    (
        rf"encoder\.(stem\.convs\.0\.(conv|norm)\.\w+|stages\.\d+\.blocks\.0\.({_CONV}|skip\.[01]\.(conv|norm)\.\w+))",
        r"\g<0>",
    ),
    (rf"encoder\.encoder_layers\.\d+\.(transconv\.conv\.\w+|{_CONV}|gamma1)", r"\g<0>"),
    (r"encoder\.encoder_layers\.\d+\.hgConvs\.(proj_in|dwconv|proj_out|reconv\.\d+)\.\w+", r"\g<0>"),
    (r"encoder\.encoder_layers\.\d+\.(mamba\.[\w.]+|norm\.\w+|proj\.\w+)", r"\g<0>"),
    (
        rf"decoder\.(Init_Residual\.{_CONV}|residual_blocks\.\d+\.{_CONV}|stages\.\d+\.(conv[123]|norm[12])\.\w+)",
        r"\g<0>",
    ),
    (r"decoder\.(seg_layers\.\d+\.\w+|upsample_layers\.\d+\.conv\.\w+)", r"\g<0>"),
)
HgOp = Literal["mul", "add"]


class GatedConv(nn.Module):
    """Convolutions of high order: narrow first, each wider by two and joined with its part of a depthwise convolution.

    Args:
        width: channels, a multiple of 2 ** (order - 1).
        order: how often they are joined.
        kernel: of the depthwise convolution.
        op: "mul" gates as the paper says; "add" adds as the released code does.
    """

    def __init__(self, dims: int, width: int, order: int, kernel: Steps, op: HgOp) -> None:
        super().__init__()
        if width % 2 ** (order - 1):
            raise ValueError(
                f"widths: {2 * width} channels are too few for the order {order}, a multiple of {2**order} is"
            )
        self.op, self.widths = op, [width // 2**n for n in reversed(range(order))]
        whole = sum(self.widths)
        self.proj_in = make_conv(dims, width, 2 * width, 1)
        self.dwconv = make_conv(dims, whole, whole, kernel, groups=whole)
        self.reconv = nn.ModuleList(make_conv(dims, a, 2 * a, 1) for a in self.widths[:-1])
        self.proj_out = make_conv(dims, width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape (b width ...)."""
        join = torch.mul if self.op == "mul" else torch.add
        base, rest = self.proj_in(x).split([self.widths[0], sum(self.widths)], dim=1)
        first, *parts = self.dwconv(rest).split(self.widths, dim=1)
        x = join(base, first)
        for widen, part in zip(self.reconv, parts, strict=True):
            x = join(widen(x), part)
        told: torch.Tensor = self.proj_out(x)
        return told


class GatedBlock(nn.Module):
    """HGCN: half the channels, a share of gated convolution, norm, two convolutions back; added to what came in."""

    def __init__(self, dims: int, width: int, order: int, kernel: Steps, op: HgOp) -> None:
        super().__init__()
        half = width // 2
        self.transconv = ConvNorm(dims, width, half, 1, norm=False, act=False)
        self.lynorm1, self.lynorm2 = MapNorm(half, NORM_EPS), MapNorm(half, NORM_EPS)
        self.hgConvs = GatedConv(dims, half, order, kernel, op)
        self.gamma1 = nn.Parameter(torch.full((half,), NORM_EPS))
        self.conv1 = ConvNorm(dims, half, width, kernel, norm=False)
        self.conv2 = ConvNorm(dims, width, width, kernel, norm=False, act=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        half = self.transconv(x)
        share = self.gamma1.view(-1, *[1] * (x.dim() - 2))
        half = half + share * self.hgConvs(self.lynorm1(half))
        told: torch.Tensor = x + self.conv2(self.conv1(self.lynorm2(half)))
        return told


class ScanBlock(nn.Module):
    """One norm before the scan and after it, a linear map, added to what came in: (b width ...)."""

    def __init__(self, dims: int, width: int, directions: str) -> None:
        super().__init__()
        self.norm, self.mamba = nn.LayerNorm(width), Mamba1D(width, directions=directions, dims=dims)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        said: torch.Tensor = self.proj(self.norm(self.mamba(tokens, x.shape[2:])))
        return x + torch.unflatten(said.transpose(1, 2), 2, x.shape[2:])


class _Blocks(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = self.blocks(x)
        return told


class _Stem(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.convs = nn.Sequential(block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = self.convs(x)
        return told


class MambaClinix(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        widths: channels of each stage; a gated one's a multiple of 2 to the power of its number from 0 up plus 2.
        kernels, strides: of each stage, a number or one for each axis; the first stride is 1.
        gated: of each stage, whether convolutions are gated or tokens scanned; () for the first half of the stages, rounded up.
        hg_op: "mul" or "add", see `GatedConv`.
        directions: row of `DIRECTIONS`.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int],
        kernels: Sequence[Steps],
        strides: Sequence[Steps],
        gated: Sequence[bool],
        hg_op: str,
        directions: str,
    ) -> None:
        if hg_op not in ("mul", "add"):
            raise ValueError(f"hg_op: 'mul' or 'add', not '{hg_op}'")
        op = cast(HgOp, hg_op)
        whole = check_stages(dims, widths, kernels, strides)
        super().__init__(dims, channels, classes, whole, [2 * side for side in whole])
        gated = gated or [2 * n < len(widths) for n in range(len(widths))]
        if len(gated) != len(widths) or not any(gated):
            raise ValueError("gated: true or false for each stage, at least once true")
        self.normed = max(n for n, gate in enumerate(gated) if gate)
        stages, layers = nn.ModuleList(), nn.ModuleList()
        inside = widths[0]
        for n, (width, size, step, gate) in enumerate(zip(widths, kernels, strides, gated, strict=True)):
            stages.append(_Blocks(ResidualBlock(dims, inside, width, size, step)))
            layers.append(GatedBlock(dims, width, n + 2, size, op) if gate else ScanBlock(dims, width, directions))
            inside = width
        self.encoder: Any = nn.ModuleDict(
            {
                "stem": _Stem(ConvNorm(dims, channels, widths[0], kernels[0])),
                "stages": stages,
                "encoder_layers": layers,
                "LayerNorm": MapNorm(widths[self.normed], NORM_EPS),
            }
        )
        ups = list(reversed(range(len(widths) - 1)))
        self.decoder: Any = nn.ModuleDict(
            {
                "Init_Residual": ResidualBlock(dims, widths[-1], widths[-1], kernels[-1]),
                "upsample_layers": nn.ModuleList(Grow(dims, widths[n + 1], widths[n], strides[n + 1]) for n in ups),
                "residual_blocks": nn.ModuleList(ResidualBlock(dims, widths[n], widths[n], kernels[n]) for n in ups),
                "stages": nn.ModuleList(ProjectedBlock(dims, 2 * widths[n], widths[n], kernels[n]) for n in ups),
                "seg_layers": nn.ModuleList(make_conv(dims, widths[n], classes, 1) for n in ups),
            }
        )

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Maps of the stages, finest first."""
        x, maps = self.encoder["stem"](image), []
        for n, (stage, layer) in enumerate(zip(self.encoder["stages"], self.encoder["encoder_layers"], strict=True)):
            x = stage(x)
            x = layer(self.encoder["LayerNorm"](x) if n == self.normed else x)
            maps.append(x)
        return maps

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        down = self.encode(image)
        parts, up = self.decoder, []
        x = parts["Init_Residual"](down[-1])
        steps = zip(parts["upsample_layers"], parts["residual_blocks"], parts["stages"], down[-2::-1], strict=True)
        for grow, polish, join, skip in steps:
            x = join(torch.cat([grow(x), polish(skip)], dim=1))
            up.append(x)
        *coarse, logits = [head(x) for head, x in zip(parts["seg_layers"], up, strict=True)]
        return SegOutput(logits, halve_weights(coarse), name_maps(down, up))


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    widths: Sequence[int],
    kernels: Sequence[Steps],
    strides: Sequence[Steps],
    gated: Sequence[bool] = (),
    hg_op: str = "mul",
    directions: str = "fwd",
) -> MambaClinix:
    """The backbone "mambaclinix"."""
    return MambaClinix(
        dims,
        channels,
        classes,
        widths=widths,
        kernels=kernels,
        strides=strides,
        gated=gated,
        hg_op=hg_op,
        directions=directions,
    )


def convert(state: State) -> Tensors:
    """The authors' weights by our names: aliases gone, norms over channels as torch names them.

    Raises:
        BadCall: another network's.
    """
    return rename(state, _RULES, FILE, _DEAD)


def options_of(state: State, *, strides: Sequence[Steps] = (), hg_op: str = "add") -> dict[str, Any]:
    """What `build` takes, `dims`, `channels` and `classes` among it, from the authors' weights.

    Args:
        strides: of each stage, which no shape tells; () for 2 everywhere but at first.
        hg_op: what the weights were trained with; the released code adds.

    Raises:
        BadCall: parts are missing.
    """
    own = unwrap(state)
    try:
        first, head = own["encoder.stem.convs.0.conv.weight"], own["decoder.seg_layers.0.weight"]
        stages = count(own, r"encoder\.stages\.(\d+)\.")
        convs = [own[f"encoder.stages.{n}.blocks.0.conv1.conv.weight"] for n in range(stages)]
    except KeyError as error:
        raise BadCall(f"This is no MambaClinix: {error} is missing. Give {FILE}.") from None
    return {
        "dims": first.dim() - 2,
        "channels": first.shape[1],
        "classes": head.shape[0],
        "widths": [one.shape[0] for one in convs],
        "kernels": [list(one.shape[2:]) for one in convs],
        "strides": list(strides) or [1, *[2] * (stages - 1)],
        "gated": [f"encoder.encoder_layers.{n}.gamma1" in own for n in range(stages)],
        "hg_op": hg_op,
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    state = fixture.state()
    with torch.device("meta"):
        net = build(**options_of(state, strides=fixture.sizes["strides"]))
    load(net, convert(state), FILE)
    with torch.no_grad():
        said = net.answer(fixture.inputs["image"])
    maps = [said.logits, *(one.logits for one in said.aux)]
    stored = {f"logits_{n}": one for n, one in enumerate(maps)}
    return {**stored, "hgcn0": said.features["encoder.0"], "enc_last": said.features[f"encoder.{len(maps)}"]}
