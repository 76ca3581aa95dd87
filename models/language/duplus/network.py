"""DuPLUS: one 3-D network for CT, MR and PET, steered by two texts.

Paper: "DuPLUS: Dual-Prompt Vision-Language Framework for Universal Medical Image Segmentation and
    Prognosis", arXiv 2510.03483.
Takes: images (b 1 x y z), sides multiples of 16; the modality of each; a context vector T1 (b text) for
    modality and body region; target vectors T2 (b n text), one per mask.
Returns: logits (b n x y z), independent sigmoids; above 0 is inside.
Weights: none published. A checkpoint in the authors' layout loads key by key (`load_duplus`).
Left out: the text tower (text vectors come in; `models/text/encoders.py`), and the unused organ_embedding buffer.

Module names follow the published state dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall

STRIDE = 16
STEMS = ("ct", "mr", "pet")
HEAD_WIDTH = 8
# Source: spec §3, three 1x1x1 layers 8-8-8-1: weights 64 + 64 + 8, then biases 8 + 8 + 1.
HEAD_PARTS = (64, 64, 8, 8, 8, 1)
HEAD_SIZE = sum(HEAD_PARTS)

Modulation = Literal["film", "gate"]
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class DuplusConfig:
    """Widths of a DuPLUS.

    Attributes:
        base: channels of the stems; deeper levels have 2, 4, 8 and 10 times as many.
        blocks: residual blocks of down1 to down4; up1 to up3 mirror the third to the first.
        text_dim: length of a text vector.
        pooled: width of the pooled image vector and of a target text beside it.
        hidden: hidden width of the modulation MLPs.
        modulation: "film" (paper) scales and shifts channels; "gate" (the released file) is one
            sigmoid map per level, shared by all channels.
    """

    base: int = 32
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    text_dim: int = 512
    pooled: int = 256
    hidden: int = 256
    modulation: Modulation = "film"

    @property
    def widths(self) -> tuple[int, int, int, int, int]:
        """Channels at strides 1, 2, 4, 8, 16."""
        return self.base, 2 * self.base, 4 * self.base, 8 * self.base, 10 * self.base

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DuplusConfig:
        """The configuration whose `vars` were written to a file."""
        a, b, c, d = values["blocks"]
        return cls(**{**values, "blocks": (a, b, c, d)})


# Spec §12: a faithful small one for a CPU.
TINY = DuplusConfig(base=8, blocks=(1, 1, 1, 1), text_dim=64, pooled=64, hidden=32)


class _PreConv(nn.Module):
    """InstanceNorm without parameters, ELU, 3x3x3 convolution. Source: spec §3, eps 1e-4."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inside, outside, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv(F.elu(F.instance_norm(x, eps=1e-4)))
        return result


class Film(nn.Module):
    """gamma * x + beta, one pair per channel, from the context vector."""

    def __init__(self, channels: int, config: DuplusConfig) -> None:
        super().__init__()
        last = nn.Linear(config.hidden, 2 * channels)
        with torch.no_grad():  # gammas start around 1, so that a new network is not switched off
            last.bias[:channels] += 1.0
        self.prompt_proj = nn.Sequential(nn.Linear(config.text_dim, config.hidden), nn.ELU(), last)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The modulated map."""
        gamma, beta = self.prompt_proj(context)[:, :, None, None, None].chunk(2, dim=1)
        result: torch.Tensor = gamma * x + beta
        return result


class Gate(nn.Module):
    """x times a one-channel sigmoid map, made by a 1x1x1 filter and a bias from the context vector."""

    def __init__(self, channels: int, config: DuplusConfig) -> None:
        super().__init__()
        self.prompt_proj = nn.Sequential(
            nn.Linear(config.text_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, channels + 1)
        )

    def map(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The gate (b 1 x y z), strictly between 0 and 1."""
        made = self.prompt_proj(context)
        score = torch.einsum("bc,bcxyz->bxyz", made[:, :-1], x) + made[:, -1, None, None, None]
        return torch.sigmoid(score)[:, None]

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The gated map."""
        return x * self.map(x, context)


class _Block(nn.Module):
    """Pre-activation residual block, then modulation by the context if there is any."""

    def __init__(self, inside: int, outside: int, modulated_by: DuplusConfig | None) -> None:
        super().__init__()
        self.conv1, self.conv2 = _PreConv(inside, outside), _PreConv(outside, outside)
        self.shortcut = _PreConv(inside, outside) if inside != outside else nn.Identity()
        if modulated_by is not None and modulated_by.modulation == "film":
            self.film = Film(outside, modulated_by)
        elif modulated_by is not None:
            self.dynamic_conv = Gate(outside, modulated_by)

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        y: torch.Tensor = self.conv2(self.conv1(x)) + self.shortcut(x)
        for name in ("film", "dynamic_conv"):
            if hasattr(self, name):
                y = getattr(self, name)(y, context)
        return y


class _Stem(nn.Module):
    def __init__(self, base: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(1, base, 3, padding=1, bias=False)
        self.conv2 = _Block(base, base, None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv2(self.conv1(x))
        return result


def _blocks(inside: int, outside: int, count: int, modulated_by: DuplusConfig | None) -> list[_Block]:
    return [_Block(inside if n == 0 else outside, outside, modulated_by) for n in range(count)]


class _Down(nn.Module):
    def __init__(self, inside: int, outside: int, count: int, config: DuplusConfig) -> None:
        super().__init__()
        self.block_list = nn.ModuleList([nn.MaxPool3d(2), *_blocks(inside, outside, count, config)])

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.block_list[0](x)
        for block in list(self.block_list)[1:]:
            x = block(x, context)
        return x


class _Up(nn.Module):
    def __init__(self, inside: int, outside: int, count: int, config: DuplusConfig | None) -> None:
        super().__init__()
        self.block_list = nn.ModuleList(_blocks(inside + outside, outside, count, config))

    def forward(self, x: torch.Tensor, skip: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(x, size=skip.shape[2:], mode="trilinear", align_corners=True)
        x = torch.cat([skip, x], dim=1)
        for block in self.block_list:
            x = block(x, context)
        return x


@dataclass(frozen=True)
class DuplusFeatures:
    """What the trunk makes of a window under a context; targets only pay for the head.

    Attributes:
        voxels: (b 8 x y z), what the class heads see.
        pooled: (b pooled), the image as one vector: F_dense of the prognosis branch.
        decoded: (b base x y z), the last decoder map, for averages inside masks.
    """

    voxels: torch.Tensor
    pooled: torch.Tensor
    decoded: torch.Tensor


class Duplus(nn.Module):
    """The segmentation network: `encode` a window once, `decode` any number of targets."""

    def __init__(self, config: DuplusConfig) -> None:
        super().__init__()
        self.config = config
        w, n = config.widths, config.blocks
        self.inc_ct, self.inc_mr, self.inc_pet = _Stem(w[0]), _Stem(w[0]), _Stem(w[0])
        self.down1, self.down2 = _Down(w[0], w[1], n[0], config), _Down(w[1], w[2], n[1], config)
        self.down3, self.down4 = _Down(w[2], w[3], n[2], config), _Down(w[3], w[4], n[3], config)
        self.up1, self.up2 = _Up(w[4], w[3], n[2], config), _Up(w[3], w[2], n[1], config)
        self.up3, self.up4 = _Up(w[2], w[1], n[0], config), _Up(w[1], w[0], 2, None)
        self.precls_conv = nn.Sequential(nn.GroupNorm(8, w[0]), nn.ELU(), nn.Conv3d(w[0], HEAD_WIDTH, 1))
        self.gap = nn.Sequential(
            nn.GroupNorm(16, w[4]), nn.ELU(), nn.AdaptiveAvgPool3d(1), nn.Conv3d(w[4], config.pooled, 1)
        )
        self.text_to_vision = nn.Linear(config.text_dim, config.pooled)
        self.controller = nn.Conv3d(2 * config.pooled, HEAD_SIZE, 1)

    def stem(self, image: torch.Tensor, modality: Sequence[int]) -> torch.Tensor:
        """(b base x y z): each image through the stem of its own modality, 0 CT, 1 MR, 2 PET."""
        stems = (self.inc_ct, self.inc_mr, self.inc_pet)
        return torch.cat([stems[code](one[None]) for one, code in zip(image, modality, strict=True)])

    def encode(self, image: torch.Tensor, modality: Sequence[int], context: torch.Tensor) -> DuplusFeatures:
        """The trunk over (b 1 x y z) under context vectors (b text).

        Raises:
            ValueError: sides that are no multiples of 16, or one voxel at the bottleneck.
        """
        sides = tuple(image.shape[2:])
        if any(side % STRIDE for side in sides) or max(sides) < 2 * STRIDE:
            raise ValueError(f"sides {sides} must be multiples of {STRIDE}, one at least {2 * STRIDE}")
        skips = [self.stem(image, modality)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1], context))
        x = skips[-1]
        for up, skip in zip((self.up1, self.up2, self.up3, self.up4), skips[-2::-1], strict=True):
            x = up(x, skip, context)
        return DuplusFeatures(self.precls_conv(x), self.gap(skips[-1]).flatten(1), x)

    def head_parameters(self, pooled: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The 153 numbers (b n 153) of each class's head, from its own text and the pooled image only."""
        text = F.elu(self.text_to_vision(targets))
        both = torch.cat([pooled[:, None].expand(-1, text.shape[1], -1), text], dim=-1)
        flat = self.controller(both.flatten(0, 1)[:, :, None, None, None])
        result: torch.Tensor = flat.reshape(*both.shape[:2], HEAD_SIZE)
        return result

    def decode(self, features: DuplusFeatures, targets: torch.Tensor) -> torch.Tensor:
        """Logits (b n x y z) of target vectors (b n text)."""
        return dynamic_heads(features.voxels, self.head_parameters(features.pooled, targets))

    def forward(
        self, image: torch.Tensor, modality: Sequence[int], context: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Logits (b n x y z), for training."""
        return self.decode(self.encode(image, modality, context), targets)


def dynamic_heads(voxels: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Three 1x1x1 layers per class as grouped convolutions: (b 8 x y z), (b n 153) -> (b n x y z)."""
    b, n = parameters.shape[:2]
    w1, w2, w3, b1, b2, b3 = parameters.reshape(b * n, HEAD_SIZE).split(HEAD_PARTS, dim=1)
    x = voxels[:, None].expand(-1, n, -1, -1, -1, -1).reshape(1, b * n * HEAD_WIDTH, *voxels.shape[2:])
    for weight, bias in ((w1, b1), (w2, b2)):
        kernel = weight.reshape(b * n * HEAD_WIDTH, HEAD_WIDTH, 1, 1, 1)
        x = F.elu(F.conv3d(x, kernel, bias.reshape(-1), groups=b * n))
    x = F.conv3d(x, w3.reshape(b * n, HEAD_WIDTH, 1, 1, 1), b3.reshape(-1), groups=b * n)
    return x.reshape(b, n, *voxels.shape[2:])


def masked_averages(decoded: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean of the last decoder map (b c x y z) inside each mask (b m x y z): (b m c); 0 for an empty mask."""
    weights = masks.to(decoded.dtype).flatten(2)
    sums = torch.einsum("bmv,bcv->bmc", weights, decoded.flatten(2))
    return sums / weights.sum(dim=2, keepdim=True).clamp(min=1.0)


def cleaned(state: State) -> dict[str, torch.Tensor]:
    """A published state dict without wrapper prefix, text tower and unused buffer; half precision widened."""
    names = {key.removeprefix("module."): value for key, value in state.items()}
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in names.items()
        if not key.startswith("text_encoder.") and key != "organ_embedding"
    }


def config_of(state: State) -> DuplusConfig:
    """The widths of a clean state dict.

    Raises:
        BadCall: it is no DuPLUS.
    """
    try:
        counts = [
            sum(key.startswith(f"down{level}.block_list.") and key.endswith("conv1.conv.weight") for key in state)
            for level in (1, 2, 3, 4)
        ]
        film = any(".film." in key for key in state)
        first = f"down1.block_list.1.{'film' if film else 'dynamic_conv'}.prompt_proj.0.weight"
        return DuplusConfig(
            base=state["inc_ct.conv1.weight"].shape[0],
            blocks=(counts[0], counts[1], counts[2], counts[3]),
            text_dim=state["text_to_vision.weight"].shape[1],
            pooled=state["text_to_vision.weight"].shape[0],
            hidden=state[first].shape[0],
            modulation="film" if film else "gate",
        )
    except KeyError as error:
        raise BadCall(f"This is no DuPLUS checkpoint: {error} is missing.") from None


def load_duplus(state: State) -> Duplus:
    """The network with these weights, in evaluation mode.

    Raises:
        BadCall: keys are missing or unexpected, or shapes differ.
    """
    state = cleaned(state)
    with torch.device("meta"):
        net = Duplus(config_of(state))
    try:
        net.load_state_dict(dict(state), assign=True)
    except RuntimeError as error:
        raise BadCall(f"The checkpoint does not fit DuPLUS: {str(error).splitlines()[-1].strip()}") from None
    return net.eval()
