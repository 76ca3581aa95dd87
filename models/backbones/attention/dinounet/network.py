"""Dino U-Net: a frozen DINOv3, an adapter beside it, projections that keep detail, and a U-Net's decoder.

Paper: Gao et al. 2025, arXiv 2508.20909. Code: yifangao112/DinoUNet (its adapter files under the DINOv3 licence, not used here).
Takes: images (b channels x y). Returns: `SegOutput` with a side answer of each step of the decoder.
Weights: DINOv3's are gated and the user's to get (`load_tower`); without them a random transformer stands in. Left out: stochastic depth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from .....imaging.errors import BadCall
from ....blocks.gates import SqueezeExcitation
from ....blocks.layers import make_instance_norm
from ....blocks.nnunet import ConvNorm
from ....blocks.unet import LEAK
from ....checkpoints import Tensors, fill
from ....parity import Fixture
from ...network import SegmentationNetwork, SegOutput, halve_weights, name_maps
from ...official import State, count, load, rename
from .adapter import Adapter

FILE = "a checkpoint that the code of yifangao112/DinoUNet saved"
TOWER = "a DINOv3 ViT in the layout of transformers, such as facebook/dinov3-vits16-pretrain-lvd1689m"
SCALES = 4  # maps of the adapter, and layers of the transformer that it reads
STRIDE = 32
REDUCTION = 16  # of the squeeze; Source: released code
_OWN = r"decoder\.encoder\."
_DEAD = (
    r"encoder\..*",  # as _OWN again
    r".*\.all_modules\..*",
    rf"{_OWN}dinov3_adapter\.backbone\..*",
)
_RULES = (
    (rf"{_OWN}dinov3_adapter\.(level_embed|(interactions|spm|up|norm[1-4])\..+)", r"adapter.\1"),
    (rf"{_OWN}(fapm\.(shared_basis|(film_generators|shortcut_projections|specific_bases)\.\d)\.\w+)", r"\1"),
    (rf"{_OWN}(fapm\.refinement_blocks\.\d\.[\w.]+)", r"\1"),
    (rf"{_OWN}(ups\.\d\.up2\.\w+)", r"\1"),
    (r"decoder\.(stages\.\d)\.convs\.(\d+\.(conv|norm)\.\w+)", r"\1.\2"),
    (r"decoder\.((transpconvs|seg_layers)\.\d\.\w+)", r"\1"),
)


class _Separable(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.bn = make_instance_norm(2, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.bn(self.pointwise(self.depthwise(x))), LEAK)


class Fapm(nn.Module):
    """Fidelity-aware projection: what all scales share modulates what is a scale's own, and a refinement is added.

    Args:
        width: of the maps.
        rank: channels in between.
        widths: channels of each scale's answer.
    """

    def __init__(self, width: int, rank: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.shared_basis = nn.Conv2d(width, rank, 1)
        self.specific_bases = nn.ModuleList(nn.Conv2d(width, rank, 1) for _ in widths)
        self.film_generators = nn.ModuleList(nn.Conv2d(rank, 2 * rank, 1) for _ in widths)
        self.shortcut_projections = nn.ModuleList(
            nn.Identity() if now == rank else nn.Conv2d(rank, now, 1) for now in widths
        )
        self.refinement_blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(rank, now, 1),
                make_instance_norm(2, now),
                nn.LeakyReLU(LEAK),
                _Separable(now),
                nn.Conv2d(now, now, 1),
                SqueezeExcitation(now, max(1, now // REDUCTION), bias=True),
            )
            for now in widths
        )

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """A map of the same sides for each, see the class."""
        answers = []
        for n, x in enumerate(maps):
            factor, shift = self.film_generators[n](self.shared_basis(x)).chunk(2, dim=1)
            own = factor * self.specific_bases[n](x) + shift
            answers.append(self.refinement_blocks[n](own) + self.shortcut_projections[n](own))
        return answers


class _TwiceTwo(nn.Module):
    """One transposed convolution, applied twice: four times the sides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up2 = nn.ConvTranspose2d(width, width, 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grown: torch.Tensor = self.up2(self.up2(x))
        return grown


class DinoHead(nn.Module):
    """Everything but the transformer: from an image of three channels and tokens to logits.

    Args:
        width: of the tokens.
        inner, heads, points, ffn, value: see `Adapter`.
        rank: see `Fapm`.
        widths: channels of the four levels, finest first.
        convs: convolutions of each step of the decoder, coarsest first.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        inner: int,
        heads: int,
        points: int,
        ffn: int,
        value: int,
        rank: int,
        widths: Sequence[int],
        convs: Sequence[int],
    ) -> None:
        super().__init__()
        if len(widths) != SCALES or len(convs) != SCALES - 1 or min(convs) < 1:
            raise ValueError(f"widths: {SCALES} numbers, convs: {SCALES - 1} from 1 up")
        self.adapter = Adapter(width, inner, heads, points, ffn, value)
        self.fapm = Fapm(width, rank, widths)
        self.ups = nn.ModuleList(_TwiceTwo(now) for now in widths)
        ups = list(reversed(range(SCALES - 1)))
        self.transpconvs = nn.ModuleList(nn.ConvTranspose2d(widths[n + 1], widths[n], 2, 2) for n in ups)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNorm(2, (2 - (m > 0)) * widths[n], widths[n], 3) for m in range(count)))
            for n, count in zip(ups, convs, strict=True)
        )
        self.seg_layers = nn.ModuleList(nn.Conv2d(widths[n], classes, 1) for n in ups)

    def forward(self, picture: torch.Tensor, layers: Sequence[torch.Tensor], grid: tuple[int, int]) -> SegOutput:
        """Logits, side answers and maps; see `Adapter` for what is given."""
        down = [grow(x) for grow, x in zip(self.ups, self.fapm(self.adapter(picture, layers, grid)), strict=True)]
        x, up = down[-1], []
        for grow, join, skip in zip(self.transpconvs, self.stages, down[-2::-1], strict=True):
            x = join(torch.cat([grow(x), skip], dim=1))
            up.append(x)
        *coarse, logits = [head(x) for head, x in zip(self.seg_layers, up, strict=True)]
        return SegOutput(logits, halve_weights(coarse), name_maps(down, up))


class DinoUNet(SegmentationNetwork):
    """The network.

    Args:
        dims: 2.
        channels: of the input; one is repeated to the transformer's three, others pass a learned map to them.
        classes: see `SegmentationNetwork`.
        tower: what differs from transformers' `DINOv3ViTConfig`.
        taps: four layers of the transformer, from 0, that the adapter reads.
        ffn_ratio, value_ratio: see `Adapter`; shares of the tokens' width.
        others: see `DinoHead`.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        tower: Mapping[str, Any],
        taps: Sequence[int],
        ffn_ratio: float,
        value_ratio: float,
        **others: Any,
    ) -> None:
        from transformers import DINOv3ViTConfig, DINOv3ViTModel

        super().__init__(dims, channels, classes, [STRIDE] * 2, [2 * STRIDE] * 2)
        self.tower = cast(Any, DINOv3ViTModel(DINOv3ViTConfig(**tower))).requires_grad_(False).eval()
        config: Any = self.tower.config
        if STRIDE % config.patch_size or config.num_channels != 3:
            raise ValueError(f"tower: patches that divide {STRIDE} pixels, and three channels")
        if len(taps) != SCALES or not all(0 <= tap < config.num_hidden_layers for tap in taps):
            raise ValueError(f"taps: {SCALES} layers from 0 to {config.num_hidden_layers - 1}")
        self.taps, self.prefix, width = tuple(taps), 1 + config.num_register_tokens, config.hidden_size
        self.colours = nn.Identity() if channels in (1, 3) else nn.Conv2d(channels, 3, 1)
        self.head = DinoHead(width, classes, ffn=int(ffn_ratio * width), value=int(value_ratio * width), **others)

    def train(self, mode: bool = True) -> DinoUNet:
        """As `nn.Module.train`, but the transformer stays as it is in evaluation: in training it would stretch its positions."""
        super().train(mode)
        self.tower.eval()
        return self

    def look(self, picture: torch.Tensor) -> list[torch.Tensor]:
        """Normalised tokens of the layers that are read (b n width), without those that stand for no place."""
        with torch.no_grad():
            states = self.tower(picture, output_hidden_states=True).hidden_states
            return [self.tower.norm(states[tap + 1])[:, self.prefix :] for tap in self.taps]

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        picture = image.expand(-1, 3, -1, -1) if self.channels == 1 else self.colours(image)
        patch = self.tower.config.patch_size
        said: SegOutput = self.head(picture, self.look(picture), (image.shape[2] // patch, image.shape[3] // patch))
        return said


def load_tower(net: DinoUNet, state: Mapping[str, torch.Tensor]) -> DinoUNet:
    """The network with the user's DINOv3 in its place, still frozen.

    Args:
        state: of a `DINOv3ViTModel` of the same sizes, as its safetensors file holds it.

    Raises:
        BadCall: another transformer.
    """
    wanted = net.tower.state_dict()
    own = {key if key in wanted else f"model.{key}": value for key, value in state.items()}
    fill(net.tower, own, TOWER)
    return net


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    tower: Mapping[str, Any],
    taps: Sequence[int],
    inner: int = 64,
    heads: int = 16,
    points: int = 4,
    ffn_ratio: float = 0.25,
    value_ratio: float = 0.5,
    rank: int = 256,
    widths: Sequence[int],
    convs: Sequence[int],
) -> DinoUNet:
    """The backbone "dinounet"."""
    return DinoUNet(
        dims,
        channels,
        classes,
        tower=tower,
        taps=taps,
        inner=inner,
        heads=heads,
        points=points,
        ffn_ratio=ffn_ratio,
        value_ratio=value_ratio,
        rank=rank,
        widths=widths,
        convs=convs,
    )


def convert_head(state: State) -> Tensors:
    """The authors' weights by the names of `DinoHead`, without aliases and without the transformer.

    Raises:
        BadCall: another network's.
    """
    found = rename(state, _RULES, FILE, _DEAD)
    return {key: x.flatten(1) if re.fullmatch(r"fapm\..*\.fc\.\d\.weight", key) else x for key, x in found.items()}


def head_options_of(state: Mapping[str, torch.Tensor], heads: int) -> dict[str, Any]:
    """What `DinoHead` takes, `width` and `classes` among it, from converted weights.

    Args:
        heads: of deformable attention; no shape tells them. The authors' have 16.

    Raises:
        BadCall: parts are missing.
    """
    first = "adapter.interactions.0.extractor."
    try:
        value, width = state[f"{first}attn.value_proj.weight"].shape
        return {
            "width": width,
            "classes": state["seg_layers.0.weight"].shape[0],
            "inner": state["adapter.spm.stem.0.weight"].shape[0],
            "heads": heads,
            "points": state[f"{first}attn.attention_weights.bias"].shape[0] // heads,
            "ffn": state[f"{first}ffn.fc1.bias"].shape[0],
            "value": value,
            "rank": state["fapm.shared_basis.bias"].shape[0],
            "widths": [state[f"ups.{n}.up2.bias"].shape[0] for n in range(SCALES)],
            "convs": [count(state, rf"stages\.{n}\.(\d+)\.") for n in range(SCALES - 1)],
        }
    except KeyError as error:
        raise BadCall(f"This is no Dino U-Net: {error} is missing. Give {FILE}.") from None


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code, from the tokens it gives."""
    own, given, sizes = convert_head(fixture.state()), fixture.inputs, fixture.sizes
    with torch.device("meta"):
        head = DinoHead(**head_options_of(own, sizes["heads"]))
    load(head, own, FILE)
    picture, patch = given["image"].expand(-1, 3, -1, -1), sizes["patch_size"]
    grid = (picture.shape[2] // patch, picture.shape[3] // patch)
    with torch.no_grad():
        said = cast(SegOutput, head(picture, [given[f"tokens_{n}"] for n in range(SCALES)], grid))
    maps = [said.logits, *(one.logits for one in said.aux)]
    skips = {f"skip_{n}": said.features[f"encoder.{n}"] for n in range(SCALES)}
    return {**{f"logits_{n}": one for n, one in enumerate(maps)}, **skips}
