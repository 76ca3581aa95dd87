"""MSNet and M2SNet: what neighbouring levels of a Res2Net do not share, taken level after level.

Paper: Zhao et al. 2021, arXiv 2108.05082 (MSNet), and 2023, arXiv 2303.10894 (M2SNet); code Xiaoqi-Zhao-DLUT/MSNet and
Xiaoqi-Zhao-DLUT/MSNet-M2SNet (no licence stated). Their training script trains MSNet.
Takes: images (b channels x y) of any sides. Returns: `SegOutput` without side answers.
Weights: published by the authors, which users bring. Left out: their loss, which is `training/regimes/lossnet.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.residual import Block, Res2, build_stages
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, name_maps, resize
from ..official import count, load, read_width, rename, unwrap

FILE = "weights of MSNet or M2SNet"
LEVELS = 5  # counted from 1, the finest, as in the paper
ALL = "all"
_FILTERS = r"conv_[35]\.(weight|bias)"
WINDOWS = (3, 5)  # of the all-ones filters; Source: Zhao et al. 2023, section 3.2


class Sums(nn.Module):
    """How two maps differ after sums over all channels and a window, the same in every channel, BatchNorm and ReLU.

    The sums are a convolution whose weights are all ones, which is fixed; they are computed by pooling.

    Args:
        size: of the window, odd.
        apart: whether each map is normed alone, so that training takes statistics of either and evaluation those of both.
    """

    def __init__(self, width: int, size: int, *, apart: bool) -> None:
        super().__init__()
        self.size, self.apart, self.norm = size, apart, nn.BatchNorm2d(width)
        # Else answers before training would be of the sums' size.
        self.norm.running_var.fill_((size**2 * width) ** 2)  # type: ignore[union-attr]  # it is there

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Absolute differences (b width x y) of two maps of this shape."""
        if self.apart:
            a, b = self.norm(self.summed(one)), self.norm(self.summed(other))
        else:
            a, b = self.norm(self.summed(torch.cat([one, other]))).chunk(2)
        return (F.relu(a) - F.relu(b)).abs()

    def summed(self, x: torch.Tensor) -> torch.Tensor:
        """Sums over all channels and a window round each place, zeros outside, in every channel."""
        pooled = F.avg_pool2d(x.sum(1, keepdim=True), self.size, stride=1, padding=self.size // 2)
        return (self.size**2 * pooled).expand_as(x)


class Trunk(nn.Module):
    """A Res2Net with a stem of three convolutions: maps at strides 4, 4, 8, 16, 32, the first right after the stem.

    Args:
        stem: channels of the stem's first two convolutions.
        head: of its last.
        widths, depths: channels and blocks of each stage.
        split: channels of each split in each stage.
        splits: how many there are.
    """

    def __init__(
        self,
        channels: int,
        *,
        stem: int,
        head: int,
        widths: Sequence[int],
        depths: Sequence[int],
        split: Sequence[int],
        splits: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside, stride in ((channels, stem, 2), (stem, stem, 1), (stem, head, 1)):
            layers += [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
        self.stem = nn.Sequential(*layers)
        self.stages = build_stages([_block(one, splits) for one in split], head, widths, depths, (1, 2, 2, 2))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The five maps, finest first."""
        maps = [F.max_pool2d(self.stem(x), 3, 2, 1)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps


def _block(split: int, splits: int) -> Block:
    def block(inside: int, outside: int, stride: int, opens: bool) -> nn.Module:
        return Res2(inside, outside, stride, split=split, splits=splits, opens=opens)

    return block


class SubtractionNet(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        multiscale: whether differences are also taken of sums over windows (M2SNet).
        released: whether one norm of each window serves all units, as in the authors' code, whose statistics in training are no unit's in evaluation.
        width: of everything after the trunk, and of the trunk's finest map.
        stem, widths, depths, split, splits: see `Trunk`.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        multiscale: bool,
        released: bool,
        width: int,
        stem: int,
        widths: Sequence[int],
        depths: Sequence[int],
        split: Sequence[int],
        splits: int,
    ) -> None:
        if len(widths) != LEVELS - 1:
            raise ValueError(f"the trunk has {LEVELS - 1} stages, and {len(widths)} widths are given")
        super().__init__(dims, channels, classes, [1, 1], [32, 32])
        self.trunk = Trunk(channels, stem=stem, head=width, widths=widths, depths=depths, split=split, splits=splits)
        unit = partial(_unit, width, width)
        self.reduce = nn.ModuleDict({str(n): _unit(one, width) for n, one in enumerate(widths, start=2)})
        self.last = _unit(widths[-1], width)
        pairs = [(deep, fine) for fine in range(1, LEVELS) for deep in range(fine + 1, LEVELS + 1)]
        self.units = nn.ModuleDict({f"{deep}_{fine}": unit() for deep, fine in pairs})
        owners = ([ALL] if released else list(self.units)) if multiscale else []
        self.sums = nn.ModuleDict(
            {one: nn.ModuleList(Sums(width, size, apart=released) for size in WINDOWS) for one in owners}
        )
        self.before_deepest = unit()
        self.levels = nn.ModuleDict({str(n): unit() for n in range(1, LEVELS - 1)})
        self.out = nn.ModuleDict({str(n): unit() for n in range(2, LEVELS)})
        self.head = nn.Conv2d(width, classes, 3, padding=1)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        maps = self.trunk(image)
        found = self.differences(maps)
        features = name_maps(maps[1:])
        x = self.last(maps[-1])
        for level in range(LEVELS - 1, 0, -1):
            together = torch.stack([found[deep, level] for deep in range(level + 1, LEVELS + 1)]).sum(0)
            seen = self.levels[str(level)](together) if str(level) in self.levels else together
            x = resize(x, seen.shape[2:]) + seen
            x = self.out[str(level)](x) if level > 1 else x
            features[f"decoder.{level - 1}"] = x
        return SegOutput(resize(self.head(x), image.shape[2:]), features=features)

    def differences(self, maps: Sequence[torch.Tensor]) -> dict[tuple[int, int], torch.Tensor]:
        """Of each level and every deeper one (deep, fine), what the levels between them do not share; at the finer one's sides."""
        found = {(n, n): self.reduce[str(n)](x) if n > 1 else x for n, x in enumerate(maps, start=1)}
        for order in range(1, LEVELS):
            for deep in range(LEVELS, order, -1):
                fine = deep - order
                coarse = found[deep, fine + 1]
                if (deep, fine) == (LEVELS, 1):
                    coarse = self.before_deepest(coarse)
                unit = f"{deep}_{fine}"
                found[deep, fine] = self.units[unit](self.difference(unit, coarse, found[deep - 1, fine]))
        return found

    def difference(self, unit: str, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        """What a unit "DEEP_FINE" subtracts: two maps, the coarser one enlarged, and in M2SNet their sums over windows."""
        coarse = resize(coarse, fine.shape[2:])
        found = (coarse - fine).abs()
        if self.sums:
            for sums in self.sums[ALL if ALL in self.sums else unit]:  # type: ignore[attr-defined]  # a list of modules
                found = found + sums(coarse, fine)
        return found


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    multiscale: bool = True,
    released: bool = False,
    width: int,
    stem: int,
    widths: Sequence[int],
    depths: Sequence[int],
    split: Sequence[int],
    splits: int = 4,
) -> SubtractionNet:
    """The backbone "m2snet"."""
    return SubtractionNet(
        dims,
        channels,
        classes,
        multiscale=multiscale,
        released=released,
        width=width,
        stem=stem,
        widths=widths,
        depths=depths,
        split=split,
        splits=splits,
    )


def _unit(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU())


def convert(state: Mapping[str, Any]) -> Tensors:
    """The authors' weights of either network under our names.

    Raises:
        BadCall: a key of something else, or filters other than of ones.
    """
    theirs = unwrap(state)
    for key, value in theirs.items():  # the code keeps them out of its files on a GPU, and in them elsewhere
        if re.fullmatch(_FILTERS, key) and not bool((value == key.endswith("weight")).all()):
            raise BadCall(f"'{key}' holds other values than the fixed filter's. Give {FILE}.")

    def unit(m: Any) -> str:
        levels = m[1].split("_x")  # x5_x4_x3 goes from 5 to 3
        return f"units.{levels[0]}_{levels[-1]}.{m[2]}"

    return rename(
        theirs,
        (
            (r"resnet\.conv1\.(\d)\.(.+)", r"trunk.stem.\g<1>.\g<2>"),
            (r"resnet\.bn1\.(.+)", r"trunk.stem.7.\g<1>"),
            (r"resnet\.layer(\d)\.(.+)", lambda m: f"trunk.stages.{int(m[1]) - 1}.{m[2]}"),
            (r"conv_3\.norm\.(.+)", r"sums.all.0.norm.\g<1>"),
            (r"conv_5\.norm\.(.+)", r"sums.all.1.norm.\g<1>"),
            (r"x(\d)_dem_1\.(.+)", r"reduce.\g<1>.\g<2>"),
            (r"x5_dem_4\.(.+)", r"before_deepest.\g<1>"),
            (r"x5_dem_5\.(.+)", r"last.\g<1>"),
            (r"x(\d(?:_x\d)+)\.(.+)", unit),
            (r"level(\d)\.(.+)", r"levels.\g<1>.\g<2>"),
            (r"output1\.0\.(.+)", r"head.\g<1>"),
            (r"output(\d)\.(.+)", r"out.\g<1>.\g<2>"),
        ),
        FILE,
        dead=(r"resnet\.fc\..+", _FILTERS),
    )


def sizes_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What converted weights tell: dims, channels, classes and every option.

    Raises:
        BadCall: these are not all weights of such a network.
    """
    if (stages := count(state, r"trunk\.stages\.(\d+)\.")) != LEVELS - 1:
        raise BadCall(f"The weights have {stages} stages. Give {FILE}.")
    first = [f"trunk.stages.{n}.0." for n in range(stages)]
    return {
        "dims": 2,
        "channels": read_width(state, "trunk.stem.0.weight", 1, FILE),
        "classes": read_width(state, "head.weight", 0, FILE),
        "multiscale": any(key.startswith("sums.") for key in state),
        "released": any(key.startswith("sums.all.") for key in state),
        "width": read_width(state, "head.weight", 1, FILE),
        "stem": read_width(state, "trunk.stem.0.weight", 0, FILE),
        "widths": [read_width(state, f"{one}conv3.weight", 0, FILE) for one in first],
        "depths": [count(state, rf"trunk\.stages\.{n}\.(\d+)\.") for n in range(stages)],
        "split": [read_width(state, f"{one}convs.0.weight", 0, FILE) for one in first],
        "splits": count(state, r"trunk\.stages\.0\.0\.convs\.(\d+)\.") + 1,
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: logits, levels of the trunk, and differences."""
    state, image = convert(fixture.state()), fixture.inputs["image"]
    with torch.device("meta"):
        net = build(**sizes_of(state))
    net = load(net, state, FILE)
    with torch.no_grad():
        maps = net.trunk(image)
        differences = net.differences(maps)
        found = {"logits": net(image).logits}
    found |= {f"layer{n}": x for n, x in enumerate(maps) if n}
    for (deep, fine), x in differences.items():
        name = "_".join(f"x{n}" for n in range(deep, fine - 1, -1))
        found[f"x{deep}_dem_1" if deep == fine else name] = x
    return found
