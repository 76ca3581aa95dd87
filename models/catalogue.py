"""Every model this project knows, as cards. Torch-free.

What training found out about a bundled network (vocabulary, measured Dice, hash) stands in the
JSON file beside its weights; it is read on the first question, not at import.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from ..imaging.errors import BadCall, Failed
from .card import Card, Measured, Purpose
from .external.card import cards as engine_cards
from .external.shelf import state as engine_state
from .language.satmini import shelf
from .systems import SYSTEMS

ENTRIES: tuple[Card, ...] = tuple(one for row in SYSTEMS for one in row.cards)  # before they are completed
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
USER_FOLDER = platformdirs.user_data_path("ostensor", appauthor=False) / "weights"  # weights the user imported
_PERMISSIONS: Mapping[str, tuple[Purpose, ...]] = {"any": ("any",), "research-only": ("any", "research-only")}


def catalogue(folder: Path = WEIGHTS_FOLDER) -> tuple[Card, ...]:
    """Every card, completed from the files beside the bundled weights in `folder`, then the user's engines and trained networks.

    One that is added, changed or removed while a server runs is known with the next question.

    Raises:
        Failed: two cards have one name, or a file beside the weights is damaged.
    """
    return _cards(folder, engine_state(), shelf.state(USER_FOLDER / shelf.FOLDER))


@cache
def _cards(folder: Path, engines: object, trained: object) -> tuple[Card, ...]:
    del engines, trained  # what they were when this was asked
    found = {entry.name: entry for entry in engine_cards()}
    found |= {entry.name: entry for entry in shelf.cards(USER_FOLDER / shelf.FOLDER)}
    ours = {entry.name: _completed(entry, folder) for entry in unique(ENTRIES)}
    return (*ours.values(), *(entry for name, entry in found.items() if name not in ours))


def __getattr__(name: str) -> tuple[Card, ...]:
    """`CATALOGUE` is `catalogue()`, so that importing this file opens none."""
    if name == "CATALOGUE":
        return catalogue()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def unique(entries: Iterable[Card]) -> tuple[Card, ...]:
    """The entries, all of them, when their names differ.

    Raises:
        Failed: a name occurs twice.
    """
    found: dict[str, Card] = {}
    for entry in entries:
        if entry.name in found:
            raise Failed(f"The catalogue holds '{entry.name}' twice. Names must be unique. Rename one.")
        found[entry.name] = entry
    return tuple(found.values())


def card(name: str, *, folder: Path = WEIGHTS_FOLDER) -> Card:
    """The card of a model.

    Raises:
        BadCall: no such model; the three nearest names are offered.
    """
    known = {entry.name: entry for entry in catalogue(folder)}
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.0)
        offered = ", ".join(f"'{n}'" for n in near)
        raise BadCall(
            f"Unknown model '{name}'. {len(known)} are known, closest: {offered}. Call list_models to see all."
        )
    return known[name]


def segmenters(folder: Path = WEIGHTS_FOLDER) -> tuple[Card, ...]:
    """Cards of the models that segment by names, ready or not."""
    return tuple(entry for entry in catalogue(folder) if entry.task == "segment")


def models_for(
    structure: str,
    modality: str | None = None,
    dims: int | None = None,
    *,
    extent_mm: float | None = None,
    purpose: Purpose = "research-only",
    folder: Path = WEIGHTS_FOLDER,
) -> tuple[Card, ...]:
    """Models that are ready here, segment, and claim a structure: those the user prefers, then the best measured first.

    One that goes on from another's answer comes before that other.

    Args:
        structure: canonical name.
        modality: of the image; None or "unknown" matches every model.
        dims: 3 for a volume, 2 for a single slice; None matches every model.
        extent_mm: longest side of the image; None matches every model.
        purpose: what the answer is for; "any" leaves out models for research only.
    """
    fitting = [
        entry
        for entry in segmenters(folder)
        if entry.is_ready
        and structure in entry.claimed
        and (modality in (None, "unknown") or modality in entry.modalities)
        and (dims is None or dims in entry.dimensions)
        and entry.takes_extent(extent_mm)
        and entry.purpose in _PERMISSIONS[purpose]
    ]
    refined = {entry.facts["nested"]["coarse"] for entry in fitting if "nested" in entry.facts}
    return tuple(
        sorted(
            fitting,
            key=lambda entry: (
                not entry.is_preferred(structure),
                entry.name in refined,  # it only looks for the place; measured on the same scans the whole is better
                -_dice(entry, structure),
                entry.memory_mb,
            ),
        )
    )


def _dice(entry: Card, structure: str) -> float:
    measured = entry.measured.get(structure)
    return measured.dice if measured else 0.0


def _completed(entry: Card, folder: Path) -> Card:
    """A bundled entry with the facts of its file; unchanged (weights "none") when the files are missing."""
    if entry.weights == "user-file":
        return _imported(entry)
    if entry.weights != "none":
        return entry
    beside = folder / f"{entry.name}.json"
    if not beside.is_file() or not (folder / entry.weights_file).is_file():
        return entry
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        return replace(
            entry,
            weights="bundled",
            vocabulary=tuple(facts["vocabulary"]),
            claimed=tuple(facts["claimed"]),
            spacing_mm=_spacing(facts),
            licence=facts.get("licence", entry.licence),
            purpose=facts.get("purpose", entry.purpose),
            sha256=facts["sha256"],
            size_bytes=(folder / entry.weights_file).stat().st_size,
            measured=_measured(facts.get("metrics", {})),
            plausible_ml={name: (low, high) for name, (low, high) in facts.get("plausible_ml", {}).items()},
            facts=facts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(
            f"The file {beside.name} beside the weights is damaged ({type(error).__name__}: {error}). "
            "It must hold vocabulary, claimed and sha256. Export the network again with `ostensor fit --export`."
        ) from error


def _imported(entry: Card) -> Card:
    """A card whose weights the user has imported, with their hash; unchanged when they have not."""
    beside, weights = USER_FOLDER / f"{entry.name}.json", USER_FOLDER / f"{entry.name}.safetensors"
    if not beside.is_file() or not weights.is_file():
        return entry
    facts = json.loads(beside.read_text(encoding="utf-8"))
    return replace(
        entry, weights_file=str(weights), sha256=facts["sha256"], size_bytes=weights.stat().st_size, facts=facts
    )


def forget_cards() -> None:
    """Read the files beside the weights again on the next question."""
    _cards.cache_clear()


@contextmanager
def replace_entries(entries: tuple[Card, ...]) -> Iterator[None]:
    """The catalogue holds these cards and no others while the block runs; for benchmarks with networks of their own."""
    global ENTRIES
    kept, ENTRIES = ENTRIES, entries
    forget_cards()
    try:
        yield
    finally:
        ENTRIES = kept
        forget_cards()


def _measured(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Measured]:
    return {
        name: Measured(row["dice"], row["low"], row["high"], row["atlas"], row["cases"])
        for name, row in metrics.items()
    }


def _spacing(facts: Mapping[str, Any]) -> tuple[float, float, float] | None:
    values = facts.get("spacing_mm")
    if not values:
        return None
    x, y, z = values if isinstance(values, list) else [values] * 3
    return float(x), float(y), float(z)
