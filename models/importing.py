"""Bringing published weights: checked once, converted to safetensors, remembered with their hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import save

from ..imaging.arrays import write_atomically
from ..imaging.errors import BadCall
from .card import Card
from .catalogue import USER_FOLDER, card, forget_cards
from .sat import VARIANTS
from .sat_loader import language_model_state, load_sat, load_text_head, read_checkpoint, sat_config

ENCODER_FOLDER = "biolord"  # below the user's weights folder: the text encoder's own files


def import_weights(
    name: str, segmentation: Path, text: Path, *, accept_licence: bool, folder: Path = USER_FOLDER
) -> Card:
    """Convert a SAT checkpoint and its text side, and answer the completed card.

    Args:
        segmentation, text: the authors' two files.
        accept_licence: the user has read the licence note of the card.

    Raises:
        BadCall: not a model that takes user files, a wrong file, or the licence was not accepted.
    """
    entry = card(name)
    if name not in VARIANTS:
        raise BadCall(f"'{name}' takes no file of yours. Models that do: {', '.join(VARIANTS)}.")
    if not accept_licence:
        raise BadCall(
            f"Licence of '{name}': {entry.licence}; use: {entry.purpose}. Call again with --accept-licence if that is right for you."
        )
    state = read_checkpoint(segmentation)
    load_sat(state, sat_config(state, expected=name))
    text_state = read_checkpoint(text)
    load_text_head(text_state)
    kept = {f"segmentation.{key}": value.contiguous() for key, value in state.items()}
    kept |= {
        f"text.{key}": value.contiguous()
        for key, value in text_state.items()
        if key.startswith(("projection_layer.", "modality_embed."))
    }
    kept |= {f"words.{key}": value.contiguous() for key, value in language_model_state(text_state).items()}
    content = save(kept)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.safetensors", lambda file: file.write(content))
    facts = {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "source": segmentation.name}
    beside = json.dumps(facts, indent=1).encode()
    write_atomically(folder / f"{name}.json", lambda file: file.write(beside))
    forget_cards()
    return card(name)
