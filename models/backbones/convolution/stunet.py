"""STU-Net: one residual U-Net in four sizes, whose weights fit every plan of strides.

Paper: Huang et al. 2023, arXiv 2304.06716; code uni-medical/STU-Net (Apache-2.0), class STUNet.
Takes: volumes (b channels x y z), or images. Returns: `SegOutput` with a side answer on each coarser decoder level.
Weights: small, base, large, huge_ep4k.model (TotalSegmentator, 105 channels), which users bring; their order of classes is not
TotalSegmentator's own. Left out: nothing of the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.layers import Steps, make_conv, make_instance_norm, per_axis
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, halve_weights, name_maps
from ..official import count, load, read_width, rename

FILE = "a checkpoint of STU-Net, as base_ep4k.model"
LEAK = 0.01  # Source: uni-medical/STU-Net, BasicResBlock
_RULES = (
    (r"conv_blocks_context\.(\d+)\.(\d+)\.(conv[123]|norm[12])\.(weight|bias)", r"down.\g<1>.\g<2>.\g<3>.\g<4>"),
    (r"conv_blocks_localization\.(\d+)\.(\d+)\.(conv[123]|norm[12])\.(weight|bias)", r"up.\g<1>.\g<2>.\g<3>.\g<4>"),
    (r"upsample_layers\.(\d+)\.conv\.(weight|bias)", r"grow.\g<1>.\g<2>"),
    (r"seg_outputs\.(\d+)\.(weight|bias)", r"heads.\g<1>.\g<2>"),
)


class Residual(nn.Module):
    """conv-IN-LReLU-conv-IN plus a shortcut, then LReLU; the first of a stage has a bare convolution of one voxel on its shortcut."""

    def __init__(self, dims: int, inside: int, outside: int, size: Steps, stride: Steps, *, first: bool) -> None:
        super().__init__()
        self.conv1 = make_conv(dims, inside, outside, size, stride=stride)
        self.norm1 = make_instance_norm(dims, outside)
        self.conv2 = make_conv(dims, outside, outside, size)
        self.norm2 = make_instance_norm(dims, outside)
        self.conv3 = make_conv(dims, inside, outside, 1, stride=stride) if first else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b outside ...)."""
        y = self.norm2(self.conv2(F.leaky_relu(self.norm1(self.conv1(x)), LEAK)))
        return F.leaky_relu(y + (x if self.conv3 is None else self.conv3(x)), LEAK)


class StuNet(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        widths: channels of each stage, finest first.
        depths: residual blocks of each stage.
        strides: between a stage and the next, one number or one for each axis.
        kernels: voxels of each stage's convolutions, one number or one for each axis.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int],
        depths: Sequence[int],
        strides: Sequence[Steps],
        kernels: Sequence[Steps],
    ) -> None:
        stages = len(widths)
        if stages < 2 or not len(depths) == len(kernels) == len(strides) + 1 == stages:
            raise ValueError(
                f"widths, depths and kernels are of as many stages, two or more, and strides of one less; "
                f"there are {stages}, {len(depths)}, {len(kernels)} and {len(strides)}"
            )
        steps = [per_axis(one, dims) for one in strides]
        whole = [math.prod(axis) for axis in zip(*steps, strict=True)]
        least = list(whole)
        least[whole.index(max(whole))] *= 2  # InstanceNorm takes no map of one voxel
        super().__init__(dims, channels, classes, whole, least)
        self.steps = steps

        def stage(level: int, inside: int, stride: Steps) -> nn.Sequential:
            blocks = [Residual(dims, inside, widths[level], kernels[level], stride, first=True)]
            blocks += [
                Residual(dims, widths[level], widths[level], kernels[level], 1, first=False)
                for _ in range(depths[level] - 1)
            ]
            return nn.Sequential(*blocks)

        self.down = nn.ModuleList(
            stage(n, widths[n - 1] if n else channels, steps[n - 1] if n else 1) for n in range(stages)
        )
        coarse_first = range(stages - 2, -1, -1)
        self.grow = nn.ModuleList(make_conv(dims, widths[n + 1], widths[n], 1) for n in coarse_first)
        self.up = nn.ModuleList(stage(n, 2 * widths[n], 1) for n in coarse_first)
        self.heads = nn.ModuleList(make_conv(dims, widths[n], classes, 1) for n in coarse_first)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        down = []
        for stage in self.down:
            image = stage(image)
            down.append(image)
        *skips, x = down
        up, said = [], []
        for grow, stage, head, stride in zip(self.grow, self.up, self.heads, self.steps[::-1], strict=True):
            x = grow(F.interpolate(x, scale_factor=[float(one) for one in stride], mode="nearest"))
            x = stage(torch.cat([x, skips.pop()], dim=1))
            up.append(x)
            said.append(head(x))
        *coarse, logits = said
        return SegOutput(logits, halve_weights(coarse), name_maps(down, up))


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    widths: Sequence[int],
    depths: Sequence[int],
    strides: Sequence[Steps] | None = None,
    kernels: Sequence[Steps] | None = None,
) -> StuNet:
    """The backbone "stunet"; None for strides of 2 and convolutions of 3 voxels everywhere."""
    steps = strides or [2] * (len(widths) - 1)
    sizes = kernels or [3] * len(widths)
    return StuNet(dims, channels, classes, widths=widths, depths=depths, strides=steps, kernels=sizes)


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights under our names; they do not depend on the strides.

    Raises:
        BadCall: a key of something else.
    """
    return rename(state, _RULES, FILE)


def sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What converted weights tell of the network: dims, channels, classes and every option but `strides`, which the plan knows.

    Raises:
        BadCall: these are not all weights of a STU-Net.
    """
    stages = count(state, r"down\.(\d+)\.")
    if stages < 2:
        raise BadCall(f"The weights have {stages} stages. Give {FILE}.")
    first = [f"down.{n}.0.conv1.weight" for n in range(stages)]
    return {
        "dims": len(state[first[0]].shape) - 2,
        "channels": read_width(state, first[0], 1, FILE),
        "classes": read_width(state, "heads.0.weight", 0, FILE),
        "widths": [read_width(state, key, 0, FILE) for key in first],
        "depths": [count(state, rf"down\.{n}\.(\d+)\.") for n in range(stages)],
        "kernels": [list(state[key].shape[2:]) for key in first],
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: logits of every scale, finest first, and maps on the way."""
    state = convert(fixture.state())
    with torch.device("meta"):
        net = build(**sizes_of(state), strides=fixture.sizes["pool_op_kernel_sizes"])
    with torch.no_grad():
        said = load(net, state, FILE).answer(fixture.inputs["image"])
    found = {f"logits_{n}": one for n, one in enumerate([said.logits, *(side.logits for side in said.aux)])}
    coarsest = len(net.steps)
    found |= {f"enc{n}": said.features[f"encoder.{n}"] for n in range(coarsest + 1)}
    return found | {f"dec{coarsest - 1 - n}": said.features[f"decoder.{n}"] for n in range(coarsest)}
