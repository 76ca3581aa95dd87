"""UNet++: a U-Net whose skips are grids of nodes; every column ends in an answer of its own, so that columns can be left out.

Paper: Zhou et al. 2018, arXiv 1807.10165, and 2020, arXiv 1912.05074. Code: 4uiiurz1/pytorch-nested-unet (MIT), class NestedUNet, is the
form "original"; MrGiovanni/UNetPlusPlus, class Generic_UNetPlusPlus inside nnU-Net, is the form "nnunet".
Takes: images (b channels x y), or volumes. Returns: `SegOutput` with a side answer on each shorter column.
Weights: none are offered here. Left out: dropout (0 in the released runs).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.layers import Steps, make_batch_norm, make_conv, make_instance_norm, make_transposed, max_pool, per_axis
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, SideAnswer, mean_of_answers
from ..official import Rules, count, load, read_width, rename, unwrap

FORMS = ("original", "nnunet")
MODES = ("last", "mean")
LEAK = 0.01  # Source: Isensee et al. 2021 (nnU-Net)
FILE = "weights of NestedUNet or of Generic_UNetPlusPlus"


class UNetPlusPlus(SegmentationNetwork):
    """The grid: node (i, j) joins nodes (i, 0) to (i, j - 1) with node (i + 1, j - 1) grown; column 0 is the encoder.

    Nodes are computed when they are asked for, so those of columns that are left out never are.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        form: "original": pooling, linear growth with aligned corners, BatchNorm. "nnunet": strided and transposed convolutions, InstanceNorm.
        widths: channels of each level, finest first.
        strides: between a level and the next; "original" takes 2 only.
        kernels: voxels of each level's convolutions in the encoder.
        kernels_up: of those behind it, for each level but the deepest; the authors' nnU-Net class takes those of the next deeper level.
        convolutions: of each node.
        heads: whether every column answers, or the longest alone.
        mode: of evaluation: the answer of the longest column, or what the mean over the columns' probabilities stands for.
        prune: columns used in evaluation; 0 for all.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        form: str,
        widths: Sequence[int],
        strides: Sequence[Steps],
        kernels: Sequence[Steps],
        kernels_up: Sequence[Steps],
        convolutions: int,
        heads: bool,
        mode: str,
        prune: int,
    ) -> None:
        columns = len(widths) - 1
        if form not in FORMS or mode not in MODES:
            raise ValueError(f"form is one of {', '.join(FORMS)}, mode of {', '.join(MODES)}; not {form!r}, {mode!r}")
        if columns < 1 or len(strides) != columns or len(kernels) != columns + 1 or len(kernels_up) != columns:
            raise ValueError("a UNet++ has two widths or more, as many kernels, and one less of strides and kernels_up")
        if convolutions < 1:
            raise ValueError("a node has one convolution or more")
        if not 0 <= prune <= columns or (not heads and (mode == "mean" or prune)):
            raise ValueError(f"prune is 0 to {columns}; the mean and pruning need `heads`")
        steps = [per_axis(one, dims) for one in strides]
        if form == "original" and any(set(one) != {2} for one in steps):
            raise ValueError("the form 'original' halves every axis; take 'nnunet' for other strides")
        whole = [math.prod(axis) for axis in zip(*steps, strict=True)]
        least = list(whole)
        if form == "nnunet":
            least[whole.index(max(whole))] *= 2  # InstanceNorm takes no map of one voxel
        super().__init__(dims, channels, classes, whole, least)
        self.steps, self.columns, self.mode, self.prune = steps, columns, mode, prune
        self.aligned = form == "original"

        def block(level: int, inside: int, size: Steps, stride: Steps = 1) -> nn.Sequential:
            units = []
            for n in range(convolutions):
                first = make_conv(dims, widths[level] if n else inside, widths[level], size, stride=1 if n else stride)
                norm = make_batch_norm(dims, widths[level]) if self.aligned else make_instance_norm(dims, widths[level])
                units.append(nn.Sequential(first, norm, nn.ReLU() if self.aligned else nn.LeakyReLU(LEAK)))
            return nn.Sequential(*units)

        grow_width = (lambda level: widths[level + 1]) if self.aligned else (lambda level: widths[level])
        self.nodes, self.grow = nn.ModuleDict(), nn.ModuleDict()
        for i in range(columns + 1):
            inside = widths[i - 1] if i else channels
            self.nodes[f"{i}_0"] = block(i, inside, kernels[i], 1 if i == 0 or self.aligned else steps[i - 1])
            for j in range(1, columns - i + 1):
                self.nodes[f"{i}_{j}"] = block(i, j * widths[i] + grow_width(i), kernels_up[i])
                if not self.aligned:
                    self.grow[f"{i}_{j}"] = make_transposed(dims, widths[i + 1], widths[i], steps[i], bias=False)
        answering = range(1, columns + 1) if heads else [columns]
        self.heads = nn.ModuleDict(
            {str(j): make_conv(dims, widths[0], classes, 1, bias=self.aligned) for j in answering}
        )

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`; in training every column answers, in evaluation those that `prune` leaves."""
        last = self.columns if self.training or not self.prune else self.prune
        node = self.grid(image)
        said = {int(j): head(node(0, int(j))) for j, head in self.heads.items() if int(j) <= last}
        logits = said[last] if self.training or self.mode == "last" else mean_of_answers(list(said.values()))
        aux = [SideAnswer(f"column.{j}", one, 1.0) for j, one in said.items() if j != last]
        features = {f"encoder.{i}": node(i, 0) for i in range(last + 1)}
        features |= {f"decoder.{i}": node(i, last - i) for i in range(last)}
        return SegOutput(logits, tuple(aux), features)

    def grid(self, image: torch.Tensor) -> Callable[[int, int], torch.Tensor]:
        """A function that answers the maps of a node (level, column) of an image, each computed once and only if asked for."""
        grid: dict[tuple[int, int], torch.Tensor] = {}

        def node(i: int, j: int) -> torch.Tensor:
            if (i, j) not in grid:
                if j:
                    row = [node(i, k) for k in range(j)]
                    x = torch.cat([*row, self._grown(node(i + 1, j - 1), i, j)], dim=1)
                else:
                    x = node(i - 1, 0) if i else image
                    x = max_pool(x, self.steps[i - 1]) if i and self.aligned else x
                grid[i, j] = self.nodes[f"{i}_{j}"](x)
            return grid[i, j]

        return node

    def _grown(self, x: torch.Tensor, i: int, j: int) -> torch.Tensor:
        if not self.aligned:
            grown: torch.Tensor = self.grow[f"{i}_{j}"](x)
            return grown
        sides = [2 * side for side in x.shape[2:]]
        return F.interpolate(x, sides, mode="bilinear" if x.dim() == 4 else "trilinear", align_corners=True)


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    form: str = "original",
    widths: Sequence[int],
    strides: Sequence[Steps] | None = None,
    kernels: Sequence[Steps] | None = None,
    kernels_up: Sequence[Steps] | None = None,
    convolutions: int = 2,
    heads: bool = True,
    mode: str = "last",
    prune: int = 0,
) -> UNetPlusPlus:
    """The backbone "unetpp"; None for strides of 2, convolutions of 3 voxels, and those of the encoder's levels behind it."""
    sizes = kernels or [3] * len(widths)
    return UNetPlusPlus(
        dims,
        channels,
        classes,
        form=form,
        widths=widths,
        strides=strides or [2] * (len(widths) - 1),
        kernels=sizes,
        kernels_up=kernels_up or sizes[:-1],
        convolutions=convolutions,
        heads=heads,
        mode=mode,
        prune=prune,
    )


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights of either form under our names.

    Raises:
        BadCall: a key of something else.
    """
    keys = list(unwrap(state))
    original = max((int(found[1]) for key in keys if (found := re.match(r"conv(\d+)_0\.", key))), default=0)
    columns = original or max(
        (int(found[1]) for key in keys if (found := re.match(r"conv_blocks_context\.(\d+)\.", key))), default=0
    )
    last = max(
        (int(found[1]) for key in keys if (found := re.match(r"conv_blocks_context\.0\.blocks\.(\d+)\.", key))),
        default=1,
    )
    kind = {"conv": 0, "bn": 1, "instnorm": 1}

    def unit(level: int | str, column: int, number: int | str, layer: str, value: str) -> str:
        return f"nodes.{level}_{column}.{number}.{kind[layer]}.{value}"

    def on_diagonal(shorter: str, step: str) -> tuple[int, int]:
        """The node of `locD.K`: D diagonals shorter than the longest, K steps up from its deepest."""
        return columns - int(shorter) - 1 - int(step), 1 + int(step)

    def on_the_way(found: re.Match[str]) -> str:
        shorter, step, part, number, layer, value = found.groups()
        return unit(*on_diagonal(shorter, step), last if part == "1" else number, layer, value)

    def grown(found: re.Match[str]) -> str:
        level, column = on_diagonal(found[1], found[2])
        return f"grow.{level}_{column}.weight"

    rules: Rules = (
        (r"conv(\d+)_(\d+)\.(conv|bn)(\d+)\.(\w+)", lambda m: unit(m[1], int(m[2]), int(m[4]) - 1, m[3], m[5])),
        (r"final\.(weight|bias)", rf"heads.{columns}.\g<1>"),
        (r"final(\d+)\.(weight|bias)", r"heads.\g<1>.\g<2>"),
        (
            r"conv_blocks_context\.(\d+)\.blocks\.(\d+)\.(conv|instnorm)\.(\w+)",
            lambda m: unit(m[1], 0, m[2], m[3], m[4]),
        ),
        (
            r"conv_blocks_context\.(\d+)\.([01])\.blocks\.(\d+)\.(conv|instnorm)\.(\w+)",
            lambda m: unit(m[1], 0, last if m[2] == "1" else m[3], m[4], m[5]),
        ),
        (r"loc(\d+)\.(\d+)\.([01])\.blocks\.(\d+)\.(conv|instnorm)\.(\w+)", on_the_way),
        (r"up(\d+)\.(\d+)\.weight", grown),
        (r"seg_outputs\.(\d+)\.weight", lambda m: f"heads.{columns - int(m[1])}.weight"),
    )
    return rename(state, rules, FILE)


def sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What converted weights tell: dims, channels, classes and every option but `mode` and `prune`.

    Raises:
        BadCall: these are not all weights of a UNet++.
    """
    levels = count(state, r"nodes\.(\d+)_0\.")
    if levels < 2:
        raise BadCall(f"The weights have {levels} levels. Give {FILE}.")
    first = [state[f"nodes.{i}_0.0.0.weight"] for i in range(levels)]
    nnunet = any(key.startswith("grow.") for key in state)
    strides = [list(state[f"grow.{i}_1.weight"].shape[2:]) for i in range(levels - 1)] if nnunet else None
    return {
        "dims": first[0].dim() - 2,
        "channels": first[0].shape[1],
        "classes": read_width(state, f"heads.{levels - 1}.weight", 0, FILE),
        "form": FORMS[nnunet],
        "widths": [one.shape[0] for one in first],
        "strides": strides,
        "kernels": [list(one.shape[2:]) for one in first],
        "kernels_up": [list(state[f"nodes.{i}_1.0.0.weight"].shape[2:]) for i in range(levels - 1)],
        "convolutions": count(state, r"nodes\.0_0\.(\d+)\."),
        "heads": "heads.1.weight" in state or levels == 2,
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: a network alone and one with heads, or nnU-Net's, whose longest column comes first."""
    whole, image = fixture.state(), fixture.inputs["image"]
    found: Tensors = {}
    for prefix in ("plain.", "deep.", ""):
        theirs = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
        if not theirs or (not prefix and found):
            continue
        state = convert(theirs)
        with torch.device("meta"):
            net = build(**sizes_of(state))
        with torch.no_grad():
            node = load(net, state, FILE).grid(image)
            said = {int(j): head(node(0, int(j))) for j, head in net.heads.items()}
            for i in range(net.columns + 1):
                found |= {f"x{i}_{j}": node(i, j) for j in range(net.columns - i + 1)}
        if prefix == "plain.":
            found["logits"] = said[net.columns]
        elif prefix:
            found |= {f"deep_{j}": one for j, one in said.items()}
        else:
            found |= {f"logits_{net.columns - j}": one for j, one in said.items()}
            found |= {f"context{i}": node(i, 0) for i in range(net.columns + 1)}
            nodes = [(i, j) for i in range(net.columns) for j in range(1, net.columns - i + 1)]
            found |= {f"loc{net.columns - i - j}_{j - 1}": node(i, j) for i, j in nodes}
    return found
