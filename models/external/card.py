"""Engines as cards of the catalogue: what they claim is theirs, what is measured is ours. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..card import Card, Measured
from .engine import Engine
from .shelf import engines, engines_folder, measured_cases, sha_of

SYSTEM = "external"
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # Student's t, two-sided 95 %, 1 to 9 degrees


def cards() -> tuple[Card, ...]:
    """A card for each engine of the user's."""
    return tuple(card_of(engine, measured_cases(engine.name)) for engine in engines())


def card_of(engine: Engine, cases: Mapping[str, Mapping[str, float]] | None = None) -> Card:
    """The card of an engine.

    Args:
        cases: what was measured of it here: case -> structure -> Dice.
    """
    known = (*engine.structures, *engine.unresolved)
    return Card(
        name=engine.name,
        title=engine.title,
        system=SYSTEM,
        paper="",
        task="refine" if engine.accepts == "clicks" else "segment",
        modalities=engine.modalities,
        dimensions=engine.dimensions,
        memory_mb=max(1, engine.memory_mb),
        licence=engine.licence,
        purpose=engine.purpose,
        weights="engine",
        weights_file=str(engines_folder() / engine.name / "engine.toml"),
        fidelity="external",
        text_encoder="",
        intensity="ct-hu" if engine.modalities == ("ct",) else "percentile",
        region=(),
        vocabulary=known,
        claimed=known,
        open_text=engine.accepts == "text",
        spacing_mm=_spacing(engine.options.get("spacing_mm")),
        sha256=sha_of(engine),
        notes=_notes(engine),
        measured=measured_of(cases or {}),
        channels=engine.channels,
        preferred=engine.prefer,
        facts={
            "adapter": engine.adapter,
            "where": engine.where,
            "orientation": engine.orientation,
            "orientation_from": engine.orientation_from,
            "licence_source": engine.licence_source,
            "is_here": not engine.folder or Path(engine.folder).is_dir(),
        },
    )


def measured_of(cases: Mapping[str, Mapping[str, float]]) -> dict[str, Measured]:
    """Structure -> its result on the user's labelled scans; the interval of one scan says nothing, [0, 1]."""
    by_structure: dict[str, list[float]] = {}
    for case in cases.values():
        for structure, dice in case.items():
            by_structure.setdefault(structure, []).append(dice)
    found = {}
    for structure, values in by_structure.items():
        mean, low, high = float(np.mean(values)), 0.0, 1.0
        if (n := len(values)) > 1:
            half = (_T95[n - 2] if n - 2 < len(_T95) else 1.96) * float(np.std(values, ddof=1)) / n**0.5
            low, high = max(0.0, mean - half), min(1.0, mean + half)
        found[structure] = Measured(mean, low, high, 0.0, n)
    return found


def _notes(engine: Engine) -> str:
    told = [f"Engine of the user's ({engine.adapter}); nothing it claims was measured by ostensor."]
    if engine.orientation_from == "assumed":
        told.append(
            f"Nobody has checked in which axes it was taught ({engine.orientation} is assumed): left and right may be "
            f"swapped until `ostensor engines check {engine.name} --image SCAN --mask LABELS` was run."
        )
    if len(engine.channels) > 1:
        told.append(f"Takes {len(engine.channels)} images on one grid: {', '.join(engine.channels)}.")
    return " ".join(told)


def _spacing(value: Any) -> tuple[float, float, float] | None:
    if not value:
        return None
    x, y, z = value
    return float(x), float(y), float(z)
