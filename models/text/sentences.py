"""Sentences as token states, and what kind of wording they use.

The referring networks read every token of a frozen all-MiniLM-L6-v2, not one vector per sentence.
Torch is loaded when an encoder is made, not at import.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .encoders import checked_minilm_folder, load_language_model, normalised_term

TOKENS = 24
Family = Literal["anatomy", "position", "size"]

_POSITION = re.compile(
    r"\b(left|right|upper|top|bottom|lower)[- ]?most\b|\b(furthest|farthest|nearest|closest)\b"
    r"|\b(left|right|top|bottom|upper|lower)\b[^.]*\b(of|in) the (picture|image)\b|\b(highest|lowest|higher|upper|lower) (of|one|organ|up|down)\b"
    r"|\b(left|right|upper|lower) edge\b|\blowest\b|\bhighest\b"
)
_SIZE = re.compile(
    r"\b(largest|biggest|smallest|tiniest|larger|smaller|bigger|lesser|littlest|most sizeable|greatest|least|most pixels|most room"
    r"|less large|fewest|maximum size|minimum size)\b"
)
_SIDE = re.compile(r"\b(left|right)\b")


def family_of(sentence: str) -> Family:
    """Whether a sentence points by place in the picture, by size, or names what it means."""
    text = normalised_term(sentence)
    if _POSITION.search(text):
        return "position"
    return "size" if _SIZE.search(text) else "anatomy"


def names_a_side(sentence: str) -> bool:
    """Whether it speaks of the patient's left or right, so that mirroring would change its meaning."""
    return family_of(sentence) == "anatomy" and _SIDE.search(normalised_term(sentence)) is not None


@dataclass(frozen=True)
class States:
    """Token states of sentences.

    Attributes:
        values: (n tokens width) float32, zero where padded.
        valid: (n tokens) boolean; at least start and end are valid.
        cut: (n) boolean, True where words were left off because the sentence is too long.
    """

    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    cut: npt.NDArray[np.bool_]


class SentenceEncoder:
    """MiniLM that answers every token's state; errors as `MiniLmEncoder`."""

    def __init__(self) -> None:
        loaded = load_language_model(checked_minilm_folder(), "MiniLM")
        self._tokenizer, self._network = loaded.tokenizer, loaded.network

    def states(self, sentences: Sequence[str]) -> States:
        """States of lower-cased sentences, at most `TOKENS` tokens each."""
        import torch

        texts = [normalised_term(sentence) for sentence in sentences]
        tokens = self._tokenizer(texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._network(**tokens).last_hidden_state
        valid = tokens["attention_mask"].bool()
        lengths = [len(one) for one in self._tokenizer(texts, truncation=True, max_length=256)["input_ids"]]
        values = (hidden * valid[..., None]).numpy().astype(np.float32)
        return States(values, valid.numpy(), np.array(lengths) > TOKENS)
