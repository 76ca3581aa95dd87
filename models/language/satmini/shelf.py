"""Networks the user trained: cards made from the files that `ostensor eval CONFIG --export` left. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....imaging.errors import Failed
from ...card import Card, Measured

FOLDER = "trained"
"""Below the user's weights."""
BESIDE_MB = 440
"""Interpreter, torch and a small network of a process that has not seen an image."""


def state(folder: Path) -> tuple[tuple[str, int], ...]:
    """What lies there; changes when a network comes, goes or is trained anew."""
    return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.json")))


def cards(folder: Path) -> Iterator[Card]:
    """A card for each network there, with its weights beside.

    Raises:
        Failed: a file is damaged.
    """
    for beside in sorted(folder.glob("*.json")):
        weights = beside.with_suffix(".safetensors")
        if not weights.is_file():
            continue
        try:
            facts = json.loads(beside.read_text(encoding="utf-8"))
            yield card_of(facts, weights)
        except (KeyError, TypeError, ValueError) as error:
            raise Failed(
                f"The file {beside.name} beside trained weights is damaged ({type(error).__name__}: {error}). Export the "
                "network again with `ostensor eval CONFIG --export`, or remove both files."
            ) from error


def card_of(facts: dict[str, Any], weights: Path) -> Card:
    """The card of a trained network."""
    network, preparation = facts["network"], facts["preparation"]
    spacing = facts.get("spacing_mm")
    return Card(
        name=facts["name"],
        title=facts["title"],
        system="ostensor",
        paper=facts.get("paper", ""),
        task="segment",
        modalities=(facts["modality"],),
        dimensions=(3,) if network["dims"] == 3 else (2, 3),
        memory_mb=int(facts.get("memory_mb", BESIDE_MB)),
        licence=facts["licence"],
        purpose=facts["purpose"],
        weights="user-file",
        weights_file=str(weights),
        fidelity="own",
        text_encoder="MiniLM" if facts.get("words", True) else "none; a fixed list of structures",
        intensity={"ct": "ct-hu", "pet": "suv"}.get(preparation["intensity"], "percentile"),  # type: ignore[arg-type]  # of these three
        region=tuple(facts.get("region", ())),
        vocabulary=tuple(facts["vocabulary"]),
        claimed=tuple(facts["claimed"]),
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        sha256=facts["sha256"],
        size_bytes=weights.stat().st_size if weights.is_file() else 0,
        deviations=tuple(facts.get("deviations", ())),
        notes=facts.get("notes", "Trained by the user."),
        measured={
            name: Measured(row["dice"], row["low"], row["high"], row["atlas"], row["cases"])
            for name, row in facts.get("metrics", {}).items()
        },
        plausible_ml={name: (low, high) for name, (low, high) in facts.get("plausible_ml", {}).items()},
        facts=facts,
    )
