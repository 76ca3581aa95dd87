"""PCT-Net: a U-Net whose coarse levels run convolutions and windowed attention side by side.

Paper: Wang et al. 2023, arXiv 2306.16925 (MIS-FM); code openmedlab/MIS-FM, net/pct_net.py (Apache-2.0).
Takes: volumes (b channels x y z). Returns: `SegOutput`; side answers of the three scales above the finest.
Weights: the authors' `pctnet_ct10k_volf.pt` through `convert`, with `released` and `legacy_relpos`; they read volumes as (z y x).
Left out: stochastic depth and dropout of the attention.
`released` repeats the code: windows of a stage are fixed by the size of the images it was built for, padding is seen, and weights of
all three resolution modes are there, of which one runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.windows import Sides, WindowBlock
from ...checkpoints import Tensors, count_numbers
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, halve_weights, name_maps
from ..official import Rule, State, load, rename, unwrap

FILE = "a state dict of openmedlab/MIS-FM's PCT-Net"
LEVELS = 5
MODES = (0, 1, 2)
_RULES: tuple[Rule, ...] = (
    (r".+\.(relative_position_index|norm_layer\..+)", ""),
    (r"pyramid_ct\.(\w+)\.trans\.(.+)\.relative_position_bias_table", r"\1.\2.table"),
    (r"pyramid_ct\.(\w+)\.trans\.(.+)", r"\1.\2"),
    (r"pyramid_ct\.(\w+)\.conv\.conv_conv\.(.+)", r"\1.conv.\2"),
    (r"pyramid_ct\.((?:down|up)\d)\.(.+)", r"\1.\2"),
    (r"pyramid_ct\.out_conv(\d)\.conv\.(.+)", r"out\1.\2"),
    (r"(embeddings|pred_heads)\.(\d)\.(conv\d)\.conv_conv\.(.+)", r"\1.\2.\3.\4"),
    (r"pred_heads\.(\d)\.out_conv(\d)\.conv\.(.+)", r"pred_heads.\1.out\2.\3"),
    (r"(embeddings|pred_heads)\.(\d)\.((?:proj|down\d|up\d)\..+)", r"\1.\2.\3"),
)


def _kernel(size: int, flat: int | None) -> tuple[int, int, int]:
    """Sides of a kernel; 1 along the axis `flat`."""
    return tuple(1 if axis == flat else size for axis in range(3))  # type: ignore[return-value]


def _conv(inside: int, outside: int, flat: int | None, size: int = 3) -> nn.Sequential:
    """BatchNorm, PReLU, convolution."""
    kernel = _kernel(size, flat)
    return nn.Sequential(nn.BatchNorm3d(inside), nn.PReLU(), nn.Conv3d(inside, outside, kernel, padding="same"))


def _twice(width: int, flat: int | None, dropout: float) -> nn.Sequential:
    """Two of them, dropout before the second convolution."""
    *first, conv = _conv(width, width, flat)
    return nn.Sequential(*_conv(width, width, flat), *first, nn.Dropout(dropout), conv)


class _Down(nn.Module):
    """Half the sides, then a convolution."""

    def __init__(self, inside: int, outside: int, flat: int | None = None, conv_flat: int | None = None) -> None:
        super().__init__()
        self.pool, self.conv = nn.MaxPool3d(_kernel(2, flat)), _conv(inside, outside, conv_flat)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b inside x y z) to (b outside ...)."""
        out: torch.Tensor = self.conv(self.pool(x))
        return out


class _Up(nn.Module):
    """Twice the sides, beside the skip, then a convolution."""

    def __init__(self, fine: int, coarse: int, flat: int | None = None) -> None:
        super().__init__()
        grow = nn.ConvTranspose3d(coarse, fine, _kernel(2, flat), _kernel(2, flat))
        self.up, self.conv = nn.Sequential(nn.BatchNorm3d(coarse), nn.PReLU(), grow), _conv(2 * fine, fine, flat)

    def forward(self, skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b fine ...) of a skip of that shape and a coarser map."""
        out: torch.Tensor = self.conv(torch.cat([skip, self.up(x)], dim=1))
        return out


class _Embedding(nn.Module):
    """The two finest levels on the way down, and the map that enters the third."""

    def __init__(
        self, channels: int, widths: Sequence[int], flat: Sequence[int | None], dropout: Sequence[float]
    ) -> None:
        super().__init__()
        kernel = _kernel(3, flat[0])
        self.proj = nn.Conv3d(channels, widths[0], kernel, padding="same")
        self.conv0, self.conv1 = (_twice(widths[n], flat[n], dropout[n]) for n in (0, 1))
        self.down1, self.down2 = _Down(widths[0], widths[1], *flat), _Down(widths[1], widths[2], flat[1])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maps of levels 0 and 1, and what level 2 gets."""
        fine = self.conv0(self.proj(image))
        coarse = self.conv1(self.down1(fine))
        return fine, coarse, self.down2(coarse)


class _Head(nn.Module):
    """The two finest levels on the way up, with their answers."""

    def __init__(
        self, classes: int, widths: Sequence[int], flat: Sequence[int | None], dropout: Sequence[float]
    ) -> None:
        super().__init__()
        self.up1, self.up2 = _Up(widths[0], widths[1], flat[0]), _Up(widths[1], widths[2], flat[1])
        self.conv0, self.conv1 = (_twice(widths[n], flat[n], dropout[n]) for n in (0, 1))
        self.out0, self.out1 = (_conv(widths[n], classes, None, 1) for n in (0, 1))

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps of levels 0 and 1 of their skips and of the map of level 2."""
        above = self.conv1(self.up2(coarse, x))
        return [self.conv0(self.up1(fine, above)), above]


class _Parallel(nn.Module):
    """Convolutions and windowed attention of the same map, summed."""

    def __init__(self, width: int, dropout: float, blocks: Sequence[WindowBlock]) -> None:
        super().__init__()
        self.conv, self.blocks = _twice(width, None, dropout), nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b c x y z) to the same shape."""
        out: torch.Tensor = self.conv(x) + self.blocks(x.movedim(1, -1)).movedim(-1, 1)
        return out


class PCTNet(SegmentationNetwork):
    """Five levels.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        features: channels of each level, finest first.
        depths, heads, windows: of the attention of the three coarse levels.
        dropout: of each level.
        mode: how many of the two finest levels neither mix nor pool along `flat_axis`.
        flat_axis: the axis between thick slices.
        legacy_relpos: see `windows.relative_index`.
        size: of the images the released code was built for; None: windows as asked for, padding is not seen.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, features: Sequence[int], depths: Sequence[int],
        heads: Sequence[int], windows: Sequence[int], dropout: Sequence[float], mode: int, flat_axis: int,
        legacy_relpos: bool, size: Sides | None,
    ) -> None:  # fmt: skip
        if not len(features) == len(dropout) == LEVELS or not len(depths) == len(heads) == len(windows) == 3:
            raise ValueError(
                "features and dropout are given for five levels; depths, heads and windows for the last three"
            )
        if mode not in MODES or flat_axis not in range(dims):
            raise ValueError(f"mode is 0, 1 or 2 and flat_axis 0, 1 or 2; not {mode} and {flat_axis}")
        divisor = [2 ** (LEVELS - 1 - (mode if axis == flat_axis else 0)) for axis in range(dims)]
        # With one voxel in the last level BatchNorm could not train on one volume.
        super().__init__(dims, channels, classes, divisor, [2 * by for by in divisor])
        self.mode = str(mode)
        flats = {n: [flat_axis if level < n else None for level in (0, 1)] for n in (MODES if size else (mode,))}
        self.embeddings = nn.ModuleDict(
            {str(n): _Embedding(channels, features, flat, dropout) for n, flat in flats.items()}
        )
        self.pred_heads = nn.ModuleDict({str(n): _Head(classes, features, flat, dropout) for n, flat in flats.items()})

        def parallel(level: int) -> _Parallel:
            n, width = level - 2, features[level]
            side, shifts = windows[n], True
            if size:
                least = min(whole // (by * 2**n // 4) for whole, by in zip(size, divisor, strict=True))
                side, shifts = (least, False) if least <= side else (side, True)
            blocks = [
                WindowBlock(
                    width,
                    heads[n],
                    (side,) * dims,
                    shifted=shifts and turn % 2 == 1,
                    colliding=legacy_relpos,
                    masked=size is None,
                )
                for turn in range(depths[n])
            ]
            return _Parallel(width, dropout[level], blocks)

        self.convtrans_e2, self.convtrans_e3, self.convtrans_e4 = (parallel(level) for level in (2, 3, 4))
        self.convtrans_d3, self.convtrans_d2 = parallel(3), parallel(2)
        self.down3, self.down4 = (_Down(features[n - 1], features[n]) for n in (3, 4))
        self.up3, self.up4 = (_Up(features[n - 1], features[n]) for n in (3, 4))
        self.out2, self.out3 = (_conv(features[n], classes, None, 1) for n in (2, 3))

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        head: Any = self.pred_heads[self.mode]
        *down, x = self.embeddings[self.mode](image)
        down.append(self.convtrans_e2(x))
        down.append(self.convtrans_e3(self.down3(down[2])))
        down.append(self.convtrans_e4(self.down4(down[3])))
        third = self.convtrans_d3(self.up4(down[3], down[4]))
        second = self.convtrans_d2(self.up3(down[2], third))
        up = [*head(down[0], down[1], second), second, third]
        outs = [out(x) for out, x in zip((head.out0, head.out1, self.out2, self.out3), up, strict=True)]
        return SegOutput(outs[0], halve_weights(outs[:0:-1]), name_maps(down, up[::-1]))


def build(
    dims: int, channels: int, classes: int, *, features: Sequence[int], depths: Sequence[int], heads: Sequence[int],
    windows: Sequence[int], dropout: Sequence[float], mode: int, flat_axis: int, legacy_relpos: bool, released: bool,
    size: Sides,
) -> PCTNet:  # fmt: skip
    """The backbone "pctnet".

    Args:
        released: windows as the released code makes them for images of `size`, which tells something then only.
    """
    return PCTNet(
        dims, channels, classes, features=features, depths=depths, heads=heads, windows=windows, dropout=dropout,
        mode=mode, flat_axis=flat_axis, legacy_relpos=legacy_relpos, size=size if released else None,
    )  # fmt: skip


def convert(state: State) -> Tensors:
    """The authors' state dict under our names, all three modes."""
    return rename(state, _RULES, FILE)


def options_of(
    state: State, size: Sides, mode: int, *, heads: Sequence[int] = (4, 8, 16), windows: Sequence[int] = (6, 6, 6),
    dropout: Sequence[float] = (0, 0, 0.2, 0.2, 0.2),
) -> dict[str, Any]:  # fmt: skip
    """Arguments of `build` for the authors' state dict.

    Args:
        size, mode, heads, windows, dropout: what no shape tells; the first two were the authors' `input_size` and `resolution_mode`.

    Raises:
        BadCall: it is none of theirs.
    """
    own = unwrap(state)
    try:
        widths = [own[f"embeddings.0.{name}.weight"].shape[0] for name in ("proj", "down1.conv.2", "down2.conv.2")]
        widths += [own[f"pyramid_ct.down{n}.conv.2.weight"].shape[0] for n in (3, 4)]
        depths = [count_numbers(own, rf"pyramid_ct\.convtrans_e{n}\.trans\.blocks\.(\d+)\.") for n in (2, 3, 4)]
        return {
            "dims": 3,
            "channels": own["embeddings.0.proj.weight"].shape[1],
            "classes": own["pred_heads.0.out_conv0.conv.2.weight"].shape[0],
            "features": widths,
            "depths": depths,
            "heads": list(heads),
            "windows": list(windows),
            "dropout": list(dropout),
            "mode": mode,
            "flat_axis": 0,
            "legacy_relpos": True,
            "released": True,
            "size": list(size),
        }
    except KeyError as error:
        raise BadCall(f"This is no PCT-Net: {error} is missing. Give {FILE}.") from None


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code, finest first."""
    state, sizes = fixture.state(), fixture.sizes
    options = options_of(
        state,
        sizes["input_size"],
        sizes["resolution_mode"],
        heads=sizes["num_heads"],
        windows=sizes["window_sizes"],
    )
    with torch.device("meta"):
        net = build(**options)
    load(net, convert(state), FILE)
    with torch.no_grad():
        said = net.answer(fixture.inputs["image"])
    found = {f"logits_{n}": x for n, x in enumerate([said.logits, *(one.logits for one in said.aux)])}
    found |= {f"e{n}": said.features[f"encoder.{n}"] for n in (2, 3, 4)}
    return found | {"logits": said.logits} | {f"d{n}": said.features[f"decoder.{n}"] for n in (2, 3)}
