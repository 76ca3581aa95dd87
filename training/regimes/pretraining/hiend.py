"""Hi-End-MAE: patches that were hidden are told from what an encoder says of the visible ones, at several of its depths.

Paper: Tang et al. 2025, arXiv 2502.08347; code FengheTan9/Hi-End-MAE b0df9c6 (Apache-2.0). The decoder asks the encoder's deep, middle
and shallow blocks in turn, so that each of them learns to be of use, and it is dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ....models.backbones.attention.hiend import EPS, Attention, Block, Encoder, HiEndUnetr, Mlp, place_codes
from ....models.backbones.official import count, load, read_width
from ....models.checkpoints import Tensors
from ....models.language.satmini.fixed_classes import FixedClasses
from ....models.parity import Fixture
from ...objective import LABELLED, MODEL, Batches, Objective, Roles, State
from ..row import Lesson

DECODER = "decoder"
"""Role of what is dropped after pretraining."""
BETAS = (0.9, 0.95)  # of AdamW; Source: FengheTan9/Hi-End-MAE
STEADY = 1e-6  # added to a patch's variance; Source: FengheTan9/Hi-End-MAE
FILE = "a state dict of Hi-End-MAE"


class CrossAttention(nn.Module):
    """Tokens look at those of a source."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(width, width, bias=bias), nn.Linear(width, 2 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width), the source's (b m width)."""
        q = self.q(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(source).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen: torch.Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return seen


class CrossBlock(nn.Module):
    """Attention among the tokens, to a source, then the MLP; the source is not normed."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.norm0, self.norm1, self.norm2 = (nn.LayerNorm(width, eps=EPS) for _ in range(3))
        self.self_attn = Attention(width, heads, bias=bias)
        self.cross_attn, self.mlp = CrossAttention(width, heads, bias=bias), Mlp(width)

    def forward(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width)."""
        x = x + self.self_attn(self.norm0(x))
        x = x + self.cross_attn(self.norm1(x), source)
        found: torch.Tensor = x + self.mlp(self.norm2(x))
        return found


class Decoder(nn.Module):
    """From what the encoder says of visible tokens to the grey values of all patches.

    Args:
        source: width of the encoder.
        values: of a patch, channels and voxels together.
        before: blocks among the tokens alone.
        across: blocks that ask the encoder, one depth each.
        bias: whether queries, keys and values have one.
    """

    def __init__(
        self, source: int, width: int, heads: int, values: int, *, before: int, across: int, bias: bool = True
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads cannot share {width} channels")
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.encoder_to_decoder = nn.ModuleList(nn.Linear(source, width) for _ in range(across + 1))
        self.blocks = nn.ModuleList(Block(width, heads, bias=bias) for _ in range(before))
        self.cross_attention_blocks = nn.ModuleList(CrossBlock(width, heads, bias=bias) for _ in range(across))
        self.norm, self.head = nn.LayerNorm(width, eps=EPS), nn.Linear(width, values)

    def depths(self, blocks: int) -> list[int]:
        """Which of the encoder's blocks are asked, from 0, the shallowest first: 3, 6 and 9 of 12."""
        across = len(self.cross_attention_blocks)
        return [blocks * n // (across + 1) for n in range(1, across + 1)]

    def forward(
        self, last: torch.Tensor, each: Sequence[torch.Tensor], shuffle: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        """Normed grey values of every patch (b n values).

        Args:
            last, each: as `Encoder` answers them.
            shuffle: (b n) patches, the visible ones first as the encoder got them.
            places: (1 n width) codes of positions.
        """
        x = self.encoder_to_decoder[-1](last)
        hidden = self.mask_token.expand(len(x), shuffle.shape[1] + 1 - x.shape[1], -1)
        unshuffle = shuffle.argsort(1)[:, :, None].expand(-1, -1, x.shape[2])
        tokens = torch.cat([x[:, 1:], hidden], dim=1).gather(1, unshuffle) + places
        x = torch.cat([x[:, :1], tokens], dim=1)
        for block in self.blocks:
            x = block(x)
        sources = [to(each[n]) for to, n in zip(self.encoder_to_decoder, self.depths(len(each)), strict=False)]
        for block, source in zip(self.cross_attention_blocks, reversed(sources), strict=True):
            x = block(x, source)
        found: torch.Tensor = self.head(self.norm(x))[:, 1:]
        return found


def as_patches(image: torch.Tensor, side: int) -> torch.Tensor:
    """Every patch's grey values (b n values), the channel running fastest."""
    x: torch.Tensor = (
        image.unflatten(4, (-1, side)).unflatten(3, (-1, side)).unflatten(2, (-1, side))
    )  # b c h p w p d p
    return x.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)


def predict(
    encoder: Encoder,
    decoder: Decoder,
    image: torch.Tensor,
    shuffle: torch.Tensor,
    visible: int,
    places: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Normed grey values of every patch, told from the first `visible` ones of `shuffle`; `places` of encoder and decoder."""
    tokens = encoder.patch_embed(image) + places[0]
    shown = tokens.gather(1, shuffle[:, :visible, None].expand(-1, -1, tokens.shape[2]))
    last, each = encoder(shown)
    found: torch.Tensor = decoder(last, each, shuffle, places[1])
    return found


def hidden_loss(said: torch.Tensor, patches: torch.Tensor, shuffle: torch.Tensor, visible: int) -> torch.Tensor:
    """Mean squared error over hidden patches, each normed by its own mean and variance."""
    mean, variance = patches.mean(2, keepdim=True), patches.var(2, keepdim=True, unbiased=False)
    wrong = (said - (patches - mean) / torch.sqrt(variance + STEADY)) ** 2
    hidden = shuffle[:, visible:, None].expand(-1, -1, wrong.shape[2])
    return wrong.gather(1, hidden).mean()


@dataclass(frozen=True)
class HiEndMae(Objective):
    """Tell hidden patches from visible ones. The encoder of a "hiend-unetr" and a decoder of its own learn; UNETR's convolutions do not.

    Attributes:
        ratio: share of patches that are hidden.
        width, heads, before, across: of the `Decoder`.
    """

    ratio: float = 0.75
    width: int = 48
    heads: int = 4
    before: int = 2
    across: int = 3

    name = "hiend-mae"
    paper = "Hi-End-MAE, arXiv 2502.08347"

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network whose encoder learns, and the decoder."""
        encoder = _net(model).encoder
        if len(encoder.blocks) <= self.across:
            raise BadCall(f"{self.across} depths of {len(encoder.blocks)} blocks cannot be asked. Set `across` lower.")
        source, values = encoder.cls_token.shape[2], encoder.patch_embed.proj.weight[0].numel()
        try:
            decoder = Decoder(source, self.width, self.heads, values, before=self.before, across=self.across)
            place_codes((1, 1, 1), self.width)
        except ValueError as error:
            raise BadCall(f"The options make no decoder: {error}. Correct them.") from error
        return {MODEL: model, DECODER: decoder}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """Encoder and decoder together."""
        return {"main": [*_net(roles[MODEL]).encoder.parameters(), *roles[DECODER].parameters()]}

    def optimizer(
        self, group: str, parameters: Sequence[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """AdamW with the authors' betas."""
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, betas=BETAS)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Term "hidden"; labels are not looked at."""
        image, encoder, decoder = batches[LABELLED].images, _net(roles[MODEL]).encoder, roles[DECODER]
        assert isinstance(decoder, Decoder)
        grid = [size // encoder.patch for size in image.shape[2:]]
        if any(size % encoder.patch for size in image.shape[2:]):
            raise BadCall(
                f"Images of {tuple(image.shape[2:])} voxels do not divide by {encoder.patch}. Change the patch."
            )
        count, visible = int(np.prod(grid)), int(np.prod(grid) * (1 - self.ratio))
        if not 0 < visible < count:
            raise BadCall(f"Of {count} patches {visible} would be visible. Change `ratio`, or give larger images.")
        shuffle = torch.from_numpy(np.stack([state.rng.permutation(count) for _ in image])).to(image.device)
        widths = encoder.cls_token.shape[2], self.width
        places = place_codes(grid, widths[0]).to(image), place_codes(grid, widths[1]).to(image)
        said = predict(encoder, decoder, image, shuffle, visible, places)
        return {"hidden": hidden_loss(said.float(), as_patches(image, encoder.patch), shuffle, visible)}


def _net(model: nn.Module) -> HiEndUnetr:
    net = model.net if isinstance(model, FixedClasses) else model
    if not isinstance(net, HiEndUnetr):
        raise BadCall('Hi-End-MAE teaches the backbone "hiend-unetr" and no other. Set it in [network].')
    return net


def teach_hiend(lesson: Lesson) -> HiEndMae:
    """The objective "hiend-mae"."""
    width, heads, before, across = (int(lesson.number(name)) for name in ("width", "heads", "before", "across"))
    return HiEndMae(lesson.number("ratio"), width, heads, before, across)


def reproduce(fixture: Fixture) -> Tensors:
    """Our loss, reconstruction and masked patches on a fixture of the official code, its permutation in the place of chance."""
    state, sizes, given = fixture.state(), fixture.sizes, fixture.inputs
    parts = {
        one: {k.removeprefix(f"{one}."): v for k, v in state.items() if k.startswith(f"{one}.")}
        for one in ("encoder", "decoder")
    }
    parts["decoder"] |= {k: v for k, v in state.items() if k.startswith(("encoder_to_decoder.", "mask_token"))}
    side = int(sizes["patch_size"])
    first = parts["encoder"]["patch_embed.proj.weight"]
    with torch.device("meta"):
        encoder = Encoder(
            first.shape[1], first.shape[0], count(parts["encoder"], r"blocks\.(\d+)\."),
            int(sizes["encoder"]["num_heads"]), side,
        )  # fmt: skip
        decoder = Decoder(
            first.shape[0], read_width(parts["decoder"], "mask_token", 2, FILE), int(sizes["decoder"]["num_heads"]),
            first[0].numel(), before=count(parts["decoder"], r"blocks\.(\d+)\."),
            across=count(parts["decoder"], r"cross_attention_blocks\.(\d+)\."),
            bias="cross_attention_blocks.0.cross_attn.q.bias" in parts["decoder"],
        )  # fmt: skip
    encoder, decoder = load(encoder, parts["encoder"], FILE), load(decoder, parts["decoder"], FILE)
    image, shuffle = given["image"], given["shuffle"].long()
    visible = int(shuffle.shape[1] * (1 - float(sizes["mask_ratio"])))
    places = state["encoder_pos_embed"], state["decoder_pos_embed"]
    with torch.no_grad():
        said = predict(encoder, decoder, image, shuffle, visible, places)
        patches = as_patches(image, side)
        hidden = torch.ones(shuffle.shape).scatter(1, shuffle[:, :visible], 0.0)[:, :, None]
        spread = torch.sqrt(patches.var(2, keepdim=True) + STEADY)
        return {
            "loss": hidden_loss(said, patches, shuffle, visible)[None],
            "reconstruction": said * spread + patches.mean(2, keepdim=True),
            "masked": patches * (1 - hidden),
        }
