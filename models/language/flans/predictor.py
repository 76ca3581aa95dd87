"""FLanS as a referring predictor asks it: features of a slice are kept, further sentences pay for the decoder only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....imaging.errors import Unavailable
from ...blocks.square import ELEMENTS, TURNS_ONLY
from ...interface import Orientation
from ...text.sentences import States, family_of
from ..referring.scan import Pointed, ReferringScan
from .network import Flans, FlansFeatures
from .symmetry import chosen


class ClipReader:
    """CLIP's tokenizer and the text tower inside a published FLanS; every sentence is filled up to 77 tokens.

    Raises:
        Unavailable: the tokenizer's files are not in `folder`.
    """

    def __init__(self, net: Flans, folder: Path) -> None:
        from transformers import CLIPTokenizer

        try:
            self._tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"The tokenizer of CLIP ViT-B/16 is not here. Put its files into the folder '{folder.name}' beside the weights."
            ) from error
        self._net = net

    def states(self, sentences: Sequence[str]) -> States:
        """See `referring_predictor.SentenceReader`; padding is read like words, as FLanS was taught."""
        length = self._net.config.tokens
        texts = list(sentences)
        tokens = self._tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        with torch.inference_mode():
            values = self._net.read(tokens["input_ids"].to(self._net.prompt_encoder.text_encoder_head.weight.device))
        lengths = [len(one) for one in self._tokenizer(texts)["input_ids"]]
        valid = tokens["attention_mask"].bool().numpy()
        return States(values.cpu().numpy(), valid, np.array(lengths) > length)


class FlansPointer:
    """A loaded FLanS.

    Args:
        upright: modalities whose upright look the canonicaliser was taught.
    """

    def __init__(self, net: Flans, *, device: str = "cpu", upright: Sequence[str] = ("ct", "unknown")) -> None:
        self.device, self.size, self._upright = torch.device(device), net.config.encoder.size, upright
        self._net = net.eval().to(self.device)

    def allowed(self, scan: ReferringScan, text: str, orientation: Orientation) -> tuple[int, ...] | None:
        """Elements the canonicaliser may choose from; None switches it off."""
        if self._net.config.scorer is None:
            return None
        if orientation == "auto":
            orientation = "header" if scan.grid.spacing_known else "unknown"
        if orientation == "header" or family_of(text) != "anatomy" or scan.modality not in self._upright:
            return None
        return TURNS_ONLY if orientation == "picture" else tuple(range(ELEMENTS))

    def point(
        self, scan: ReferringScan, slices: Sequence[int], words: torch.Tensor, valid: torch.Tensor,
        allowed: tuple[int, ...] | None,
    ) -> Pointed:  # fmt: skip
        """See `referring_predictor.Pointer`."""
        features = self._looked(scan, slices, allowed)
        logits = self._net.decode(features, words.to(self.device))[:, 0]
        found = features.weights.argmax(1).tolist() if features.weights is not None else [0] * len(slices)
        return Pointed(logits.cpu().numpy(), found)

    def _looked(self, scan: ReferringScan, slices: Sequence[int], allowed: tuple[int, ...] | None) -> FlansFeatures:
        """Features of some slices, from memory or made now."""
        group = "" if allowed is None else ",".join(map(str, allowed))
        new = [number for number in dict.fromkeys(slices) if (number, group) not in scan.kept]
        if new:
            picture, weights = scan.tensor(new, self.device), None
            if allowed is not None:
                may = torch.tensor([g in allowed for g in range(ELEMENTS)], device=self.device)
                weights = chosen(self._net.scores(picture), may).round()
            made = self._net.encode(picture, weights)
            for row, number in enumerate(new):
                scan.kept[number, group] = made.row(row)
        kept: list[Any] = [scan.kept[number, group] for number in slices]
        turned = None if allowed is None else torch.cat([one.weights for one in kept if one.weights is not None])
        fine = tuple(torch.cat(maps) for maps in zip(*(one.fine for one in kept), strict=True))
        return FlansFeatures(torch.cat([one.embedding for one in kept]), fine, turned)
