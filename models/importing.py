"""Bringing published weights: checked once, converted to safetensors, remembered with their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from ..imaging.errors import BadCall
from ..imaging.guards.atomic import write_atomically
from .card import Card
from .catalogue import USER_FOLDER, card, forget_cards
from .systems import SYSTEMS, System, system_of


def import_weights(name: str, files: Sequence[Path], *, accept_licence: bool, folder: Path = USER_FOLDER) -> Card:
    """Check and convert the authors' files, and answer the completed card.

    Args:
        files: as many as the system's row names, in its order.
        accept_licence: the user has read the licence note of the card.

    Raises:
        BadCall: not a model that takes user files, a wrong file, or the licence was not accepted.
    """
    entry = card(name)
    row = system_of(entry)
    if entry.weights != "user-file" or not row.files:
        raise BadCall(f"'{name}' takes no file of yours. Models that do: {', '.join(importable())}.")
    if len(files) != len(row.files):
        wanted = f"{len(row.files)} files" if len(row.files) > 1 else "one file"
        raise BadCall(f"'{name}' needs {wanted} ({', '.join(row.files)}); {len(files)} were given.")
    if not accept_licence:
        raise BadCall(
            f"Licence of '{name}': {entry.licence}; use: {entry.purpose}. Call again with --accept-licence if that is right for you."
        )
    content = save(row.code().convert(entry, files))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.safetensors", lambda file: file.write(content))
    facts = {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "sources": [file.name for file in files]}
    beside = json.dumps(facts, indent=1).encode()
    write_atomically(folder / f"{name}.json", lambda file: file.write(beside))
    forget_cards()
    return card(name)


def importable() -> tuple[str, ...]:
    """Models that take a user's files."""
    return tuple(one.name for row in SYSTEMS if row.files for one in row.cards if one.weights == "user-file")


def still_needed(entry: Card, folder: Path = USER_FOLDER) -> Path | None:
    """The folder for the text encoder's own files, while it is missing."""
    row: System = system_of(entry)
    needed = folder / row.beside
    return needed if row.beside and entry.weights == "user-file" and not needed.is_dir() else None
