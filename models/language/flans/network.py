"""FLanS: one picture and one free sentence in, one mask out; the answer turns with the picture.

Paper: Da et al. 2024, "Segment as You Wish: Free-Form Language-Based Segmentation for Medical Images",
    arXiv 2410.12831; read in code at LongchaoDa/SegmentAsYouWish (no licence file; nothing is copied).
Takes: square pictures in [0, 1] as displayed (patient's right on the left, front on top), and the states of a
    sentence's tokens, padding included.
Returns: logits at a quarter of the token size (stride 4 of 16-pixel tokens, stride 2 of 8-pixel ones).
Weights: the authors' file (models/language/flans/weights.py), or our small ones (`flans-mini`; its card says on what).
Left out: the steerable canonicaliser of ESCNN. Ours (models/language/flans/symmetry.py) has the same role and eight
    elements; the published file's canonicaliser is not loaded. The prompt generator stands in training/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.square import blend_applied, blend_undone
from .decoder import DecoderConfig, MaskDecoder, PromptEncoder
from .image import EncoderConfig, ImageEncoder
from .symmetry import Canonicaliser, ScorerConfig, chosen
from .text import TextTower, TowerConfig

DICE_WEIGHT = 10.0  # Source: released training code; BCE and prior weigh 1
ORGANS = 13  # classes of the published intention head


@dataclass(frozen=True)
class FlansConfig:
    """Sizes of a FLanS.

    Attributes:
        tower: the text transformer inside, or None when token states come from outside.
        text: width of a token state.
        tokens: states per sentence, padding included.
        intentions: classes of the optional intention head; 0 without it.
        pooling: how token logits become one answer of that head.
        scorer: the canonicaliser, or None without it.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    tower: TowerConfig | None = field(default_factory=TowerConfig)
    text: int = 512
    tokens: int = 77
    intentions: int = ORGANS
    pooling: Literal["mean", "max"] = "mean"
    scorer: ScorerConfig | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FlansConfig:
        """The configuration written by `to_json`."""
        parts: dict[str, Any] = dict(values)
        kinds = {"encoder": EncoderConfig, "decoder": DecoderConfig, "tower": TowerConfig, "scorer": ScorerConfig}
        for name, kind in kinds.items():
            if parts.get(name) is not None:
                tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in parts[name].items()}
                parts[name] = kind(**tuples)
        return cls(**parts)


# SAM ViT-B, CLIP ViT-B/16 text side. Source: spec of the released run.
OFFICIAL = FlansConfig()
# Spec §12, but a trunk taught before and two blocks behind it: patch 8, width 96, neck to 64, two-way decoder depth 2,
# 4 heads, MLP 128, 24 tokens.
MINI = FlansConfig(
    encoder=EncoderConfig(160, 8, 96, 2, 4, 3.0, (1,), 10, 64, trunk=(16, 32, 64, 96, 128, 160)),
    decoder=DecoderConfig(64, 2, 4, 128, 64, 16, fine=(64, 32)),
    tower=None,
    text=384,
    tokens=24,
    intentions=0,
    scorer=ScorerConfig(),
)


@dataclass(frozen=True)
class FlansFeatures:
    """A picture as the encoder sees it, good for any number of sentences.

    Attributes:
        embedding: (b out grid grid).
        fine: the trunk's maps, if any.
        weights: (b 8) one-hot of the element that was undone before encoding; None when nothing was.
    """

    embedding: torch.Tensor
    fine: tuple[torch.Tensor, ...] = field(default=())
    weights: torch.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return sum(one.numel() * one.element_size() for one in (self.embedding, *self.fine))

    def row(self, row: int) -> FlansFeatures:
        """One picture of the batch, as a copy of its own."""
        here = slice(row, row + 1)
        weights = None if self.weights is None else self.weights[here]
        return FlansFeatures(self.embedding[here].clone(), tuple(one[here].clone() for one in self.fine), weights)

    def repeated(self, times: int) -> FlansFeatures:
        """Every picture `times` in a row, for as many sentences each."""
        return FlansFeatures(
            self.embedding.repeat_interleave(times, 0),
            tuple(one.repeat_interleave(times, 0) for one in self.fine),
            None if self.weights is None else self.weights.repeat_interleave(times, 0),
        )


class Flans(nn.Module):
    """The network: `encode` a picture once, `decode` any sentence."""

    def __init__(self, config: FlansConfig) -> None:
        super().__init__()
        self.config = config
        tower = TextTower(config.tower) if config.tower is not None else None
        encoder, decoder = config.encoder, config.decoder
        self.image_encoder = ImageEncoder(encoder)
        self.prompt_encoder = PromptEncoder(decoder.width, config.text, encoder.size, decoder.mask_channels, tower)
        self.mask_decoder = MaskDecoder(decoder)
        if config.intentions:
            self.text_classification_head = nn.Linear(decoder.width, config.intentions)
        if config.scorer is not None:
            self.canonicaliser = Canonicaliser(config.scorer)

    def scores(self, picture: torch.Tensor) -> torch.Tensor:
        """How much each of the eight elements looks applied, (b 8).

        Raises:
            ValueError: this network has no canonicaliser.
        """
        if self.config.scorer is None:
            raise ValueError("this FLanS has no canonicaliser: the published one is not loaded")
        result: torch.Tensor = self.canonicaliser(picture)
        return result

    def encode(self, picture: torch.Tensor, weights: torch.Tensor | None = None) -> FlansFeatures:
        """Features of (b 3 size size), with the element of the one-hot `weights` (b 8) undone first."""
        upright = picture if weights is None else blend_undone(weights, picture)
        embedding, fine = self.image_encoder(upright)
        return FlansFeatures(embedding, tuple(fine), weights)

    def decode(self, features: FlansFeatures, states: torch.Tensor) -> torch.Tensor:
        """Logits (b 1 h w) of token states (b t text), turned back to the picture that was given."""
        side = features.embedding.shape[-1]
        code = self.prompt_encoder.pe_layer.of_grid(side)
        dense = self.prompt_encoder.dense(len(features.embedding), side)
        words = self.prompt_encoder.words(states)
        logits, _iou = self.mask_decoder(features.embedding, code, words, dense, features.fine)
        return logits if features.weights is None else blend_applied(features.weights, logits)

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token states (b t text) of token numbers (b t), by the tower inside."""
        states: torch.Tensor = self.prompt_encoder.text_encoder(tokens)
        return states

    def intentions(self, states: torch.Tensor) -> torch.Tensor:
        """Which organ the words mean, logits (b classes) pooled over all tokens."""
        each: torch.Tensor = self.text_classification_head(self.prompt_encoder.words(states))
        return each.mean(1) if self.config.pooling == "mean" else each.amax(1)

    def forward(
        self,
        picture: torch.Tensor,
        states: torch.Tensor,
        *,
        canonical: torch.Tensor | bool = False,
        allowed: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits (b k h w) of k sentences (b k t text) per picture, and the scores (b 8) if any were made.

        Args:
            canonical: for all pictures or each (b): find and undo its element first. Off for wording about
                the place in the picture: turning the picture would change the answer.
            allowed: see `flans_symmetry.chosen`.
        """
        features, scores = self.look(picture, canonical=canonical, allowed=allowed)
        logits = self.decode(features.repeated(states.shape[1]), states.flatten(0, 1))
        return logits.view(len(picture), states.shape[1], *logits.shape[2:]), scores

    def look(
        self, picture: torch.Tensor, *, canonical: torch.Tensor | bool = False, allowed: torch.Tensor | None = None
    ) -> tuple[FlansFeatures, torch.Tensor | None]:
        """Features with the element that was found undone, and the scores if any were made; see `forward`."""
        weights = scores = None
        if isinstance(canonical, torch.Tensor) or canonical:
            scores = self.scores(picture)
            weights = chosen(scores, allowed)
            if isinstance(canonical, torch.Tensor):
                identity = F.one_hot(torch.zeros_like(canonical, dtype=torch.long), weights.shape[1])
                weights = torch.where(canonical[:, None], weights, identity.to(weights.dtype))
        return self.encode(picture, weights), scores


def mask_losses(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Terms "dice" (10 times Dice, squared denominators) and "cross_entropy" (mean BCE); finite for empty targets.

    Source: released training code (spec §4). One pixel is added on both sides of the fraction.
    """
    p = torch.sigmoid(logits)
    overlap = 2 * (p * targets).sum((-2, -1)) + 1
    size = (p * p).sum((-2, -1)) + (targets * targets).sum((-2, -1)) + 1
    return {
        "dice": DICE_WEIGHT * (1 - overlap / size).mean(),
        "cross_entropy": F.binary_cross_entropy_with_logits(logits, targets),
    }
