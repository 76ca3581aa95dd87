"""IMIS-Net's names: CLIP's text tower, which lies frozen in the authors' file, and the sentence a name is put into.

Part of IMIS-Net (network.py). The tokenizer's files are not in that file; they are looked for on the first name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ....imaging.errors import Unavailable
from ...blocks.sam.sizes import State
from ...checkpoints import count_numbers, fill

TEMPLATE = "A segmentation area of a {}."  # Source: uni-medical/IMIS-Bench
HEAD = 64  # channels of a head in every CLIP; weights do not tell
FOLDER = "clip"  # beside the weights: the tokenizer's files of CLIP ViT-B/32
_PREFIX = "text_model."
_COUNTER = "embeddings.position_ids"  # that older transformers saved


def select_tower(state: State) -> dict[str, torch.Tensor]:
    """The tower's entries under transformers' own names; none where the file holds no tower."""
    found = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if name.startswith(_PREFIX) and not name.endswith(_COUNTER):
            found[name.removeprefix(_PREFIX).removeprefix(_PREFIX)] = value
    return found


def load_tower(state: State, whose: str) -> Any:
    """transformers' `CLIPTextModel` with these weights, under its own names; every size is read from them.

    Raises:
        BadCall: another network.
        KeyError: an entry that tells a size is missing.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary, width = state["embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=state["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=count_numbers(state, r"encoder\.layers\.(\d+)\."),
        num_attention_heads=max(1, width // HEAD),
        max_position_embeddings=state["embeddings.position_embedding.weight"].shape[0],
        bos_token_id=vocabulary - 2,  # the last two are CLIP's start and end
        eos_token_id=vocabulary - 1,
    )
    return fill(CLIPTextModel(config), state, whose)


def put_in_sentence(name: str) -> str:
    """The sentence IMIS-Net was taught with: lower case, single blanks for underscores and hyphens."""
    return TEMPLATE.format(re.sub(r"\s+", " ", name.lower().replace("_", " ").replace("-", " ")).strip())


class NameReader:
    """A name as the pooled vector of its sentence.

    Args:
        tower: transformers' `CLIPTextModel`.
        folder: that holds the tokenizer's files.
    """

    def __init__(self, tower: Any, folder: Path) -> None:
        self._tower, self._folder = tower, folder
        self._tokenizer: Any = None

    def read(self, names: Sequence[str]) -> torch.Tensor:
        """Vectors (names text).

        Raises:
            Unavailable: the tokenizer's files are not there.
        """
        if self._tokenizer is None:
            self._tokenizer = _read_tokenizer(self._folder)
        sentences = [put_in_sentence(name) for name in names]
        length = int(self._tower.config.max_position_embeddings)
        tokens: Any = self._tokenizer(
            sentences, padding=True, truncation=True, max_length=length, return_tensors="pt"
        ).to(self._tower.device)
        pooled: torch.Tensor = self._tower(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return pooled


def _read_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The tokenizer of CLIP ViT-B/32 is not here, so names cannot be read. Put its files into the folder '{folder.name}' "
            "beside the weights, or point without a text."
        ) from error
