"""finetune-SAM: a SAM without prompts whose mask tokens are classes, and the recipes by which it is taught.

Paper: Gu et al. 2024, "How to build the best medical image segmentation algorithm using foundation models: a comprehensive empirical study
    with Segment Anything Model", arXiv 2404.09957; mazurowski-lab/finetune-SAM, Apache-2.0.
Takes: pictures (b 1 size size) in [0, 1].
Returns: logits (b 1+classes n n) at four times the token grid, the first of what is no structure.
Weights: none of ours; a run begins with random ones or with a SAM the user imported (`ostensor fit finetune-sam`).
Left out: the tiny encoder (MobileSAM's), the branch for depth, tuning with boxes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import nn

from ...blocks.sam.decoder import DecoderConfig
from ...blocks.sam.resizing import resize_tables
from ...blocks.sam.sam import Sam
from ...blocks.sam.sizes import State, select_part
from ...blocks.sam.vit import EncoderConfig
from ...promptable.colours import MEAN, SPREAD
from .tuning import RANK, adapt_decoder_, adapt_encoder_, add_lora_to_decoder_, add_lora_to_encoder_, merge_lora_

Part = Literal["decoder", "encoder+decoder"]
Way = Literal["vanilla", "adapter", "lora"]
_TOKENS = ("sam.mask_decoder.mask_tokens.", "sam.mask_decoder.output_hypernetworks_mlps.")
_CLASSES = ("mask_decoder.mask_tokens.", "mask_decoder.output_hypernetworks_mlps.", "mask_decoder.iou_prediction_head.")


@dataclass(frozen=True)
class Recipe:
    """What learns, and how.

    Attributes:
        part: the mask decoder alone, or the image encoder with it.
        way: "vanilla" all weights of the part; "adapter" bottlenecks in it; "lora" low-rank terms on its queries and values.
        blocks: of the encoder that get adapters; negative numbers count from the last.
    """

    part: Part = "encoder+decoder"
    way: Way = "lora"
    rank: int = RANK
    blocks: tuple[int, ...] = (0, 1, -2, -1)

    def __post_init__(self) -> None:
        """Refuse what is no recipe.

        Raises:
            ValueError: a part or way that is not known.
        """
        for value, known in ((self.part, get_args(Part)), (self.way, get_args(Way))):
            if value not in known:
                raise ValueError(f"'{value}' is not among {', '.join(known)}")

    @property
    def encoder_learns(self) -> bool:
        """Whether the image encoder changes."""
        return self.part == "encoder+decoder"


@dataclass(frozen=True)
class ClassSamConfig:
    """Sizes; the defaults but the classes are SAM ViT-B's at the size finetune-SAM was taught at."""

    classes: int
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    recipe: Recipe = field(default_factory=Recipe)

    def to_json(self) -> dict[str, Any]:
        """For the file beside the weights."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassSamConfig:
        """From that file, or from a run's configuration."""
        encoder, decoder, recipe = (dict(values.get(key, {})) for key in ("encoder", "decoder", "recipe"))
        for one, key in ((encoder, "global_blocks"), (recipe, "blocks")):
            if key in one:
                one[key] = tuple(one[key])
        return cls(int(values["classes"]), EncoderConfig(**encoder), DecoderConfig(**decoder), Recipe(**recipe))


class ClassSam(nn.Module):
    """The network. What a recipe does not teach asks for no gradient."""

    def __init__(self, config: ClassSamConfig) -> None:
        super().__init__()
        self.config, self.size, recipe = config, config.encoder.size, config.recipe
        self.sam = Sam(
            config.encoder, config.decoder, masks=config.classes + 2
        )  # with nothing, and SAM's first, unused
        nn.init.trunc_normal_(self.sam.image_encoder.pos_embed, std=0.02)
        if recipe.way == "adapter":
            adapt_decoder_(self.sam.mask_decoder, config.decoder.width)
            if recipe.encoder_learns:
                depth = config.encoder.depth
                adapt_encoder_(self.sam.image_encoder, sorted({number % depth for number in recipe.blocks}))
        if recipe.way == "lora":
            add_lora_to_decoder_(self.sam.mask_decoder, recipe.rank)
            if recipe.encoder_learns:
                add_lora_to_encoder_(self.sam.image_encoder, recipe.rank)
        for name, value in self.named_parameters():
            value.requires_grad_(self.learns(name))

    def learns(self, name: str) -> bool:
        """Whether the recipe teaches a parameter; what belongs to the classes always learns."""
        recipe = self.config.recipe
        if name.startswith(_TOKENS):
            return True
        if recipe.way == "adapter":
            return not _plain(name)
        inside = name.startswith(("sam.image_encoder.", "sam.mask_decoder.transformer."))
        if recipe.way == "lora" and inside:
            return ".down." in name or ".up." in name
        return recipe.encoder_learns or not name.startswith("sam.image_encoder.")

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits of every class; see the head of this file."""
        mean, spread = (torch.tensor(one, device=pictures.device).view(3, 1, 1) for one in (MEAN, SPREAD))
        seen = self.sam.encode((255 * pictures - mean) / spread)
        prompts, side = self.sam.prompt_encoder, self.config.encoder.grid
        code, dense = prompts.pe_layer.of_grid(side), prompts.dense(len(seen), side)
        logits: torch.Tensor
        logits, _ = self.sam.mask_decoder(seen, code, None, dense, ambiguous=True)
        return logits

    def begin_with_(self, state: State) -> None:
        """Take over a SAM's weights; position tables are brought to this size, what belongs to the classes stays as it is.

        Args:
            state: of `blocks.sam.sam.Sam`.

        Raises:
            ValueError: a SAM of other sizes.
        """
        encoder = resize_tables(select_part(state, "image_encoder."), self.size, "bilinear")
        given = {**state, **{f"image_encoder.{key}": value for key, value in encoder.items()}}
        own = {_plain(key): value for key, value in self.sam.state_dict().items() if _plain(key)}
        wanted = [key for key in own if not key.startswith(_CLASSES)]
        wrong = [key for key in wanted if key not in given or given[key].shape != own[key].shape]
        if wrong:
            raise ValueError(f"its weights have other sizes: '{wrong[0]}' differs")
        with torch.no_grad():
            for key in wanted:
                own[key].copy_(given[key])


def _plain(key: str) -> str:
    """Name of an entry in a SAM without anything added; "" for what was added."""
    if any(one in key for one in (".down.", ".up.", ".adapter.", ".attn.1.", ".norm2.0.", ".norm4.0.")):
        return ""
    for old, new in (
        (".base.", "."),
        (".mlp.mlp.", ".mlp."),
        (".attn.0.", ".attn."),
        (".norm2.1.", ".norm2."),
        (".norm4.1.", ".norm4."),
    ):
        key = key.replace(old, new)
    return key


def merge(net: ClassSam) -> ClassSam:
    """A network without low-rank terms that answers the same; others are copied as they are."""
    merged = copy.deepcopy(net)
    if net.config.recipe.way == "lora":
        merge_lora_(merged)
        merged.config = replace(net.config, recipe=replace(net.config.recipe, way="vanilla"))
    return merged
