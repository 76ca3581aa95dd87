"""Everything `ostensor eval referring` measures, engine by engine; what was measured once is kept for its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...imaging.guards.atomic import write_atomically
from ...models.language.referring.predictor import ReferringPredictor
from . import pairs as referring
from .cases import Subject, stacks, subjects
from .engines import Engine, Sentences, Terms
from .evaluate import SEED, AllOverlaps, Tallies, Tally, measure_sides, measure_slices, measure_stacks, measure_symmetry
from .metrics import Overlaps


@dataclass(frozen=True)
class Report:
    """Everything that was measured, by engine."""

    slices: Mapping[str, Tallies]
    sides: Mapping[str, Tallies]
    symmetry: Mapping[str, Tallies]
    stacks: Mapping[str, Tallies]
    overlaps: Mapping[str, AllOverlaps]


def evaluate(
    data: Path, *, predictors: Sequence[ReferringPredictor], threads: int | None = None, seed: int = SEED,
    thin: int = 1, kept: Path | None = None, tell: Callable[[str], None] = lambda text: None,
) -> Report:  # fmt: skip
    """Measure FLanS and LSMS as given, and the SAT-minis that lie here.

    Args:
        thin: look at every so many slices and stacks only.
        kept: folder of earlier measurements; one of the same weights, words, seed and `thin` is taken from there.
    """
    every = list(subjects(data, seed=seed))
    every = [one for n, one in enumerate(every) if n % thin == 0 or one.source == "sammed2d demo"]
    ours = [Sentences(predictor) for predictor in predictors]
    report: dict[str, dict[str, Any]] = {name: {} for name in Report.__dataclass_fields__}
    engines: list[Engine] = [*ours, Terms(threads)]
    for engine in engines:
        path = None if kept is None else kept / f"{engine.name}.json"
        key = _key(engine, seed, thin)
        found = None if path is None else _read(path, key)
        if found is None:
            tell(f"{engine.name}: {len(every)} slices")
            found = _measured(engine, every, data, seed, thin)
            if path is not None:
                _write(path, key, found)
        for part, values in found.items():
            report[part][engine.name] = values
    return Report(**report)


def _measured(engine: Engine, every: Iterable[Subject], data: Path, seed: int, thin: int) -> dict[str, Any]:
    """The engine's share of every part of the report."""
    slices: list[Tallies] = []
    sides: list[Tallies] = []
    overlaps: AllOverlaps = {}
    for subject in every:  # one slice after the other, so that an engine looks at each once
        slices.append(measure_slices(engine, [subject], seed=seed, overlaps=overlaps))
        sides.append(measure_sides(engine, [subject], seed=seed))
    found: dict[str, Any] = {"slices": _joined(slices), "sides": _joined(sides), "overlaps": overlaps}
    if isinstance(engine, Sentences):
        found["symmetry"] = measure_symmetry(engine, every, seed=seed)
        found["stacks"] = measure_stacks(engine, list(stacks(data))[::thin])
    return found


def _joined(parts: Sequence[Tallies]) -> Tallies:
    whole: Tallies = {}
    for part in parts:
        for key, tally in part.items():
            whole.setdefault(key, Tally()).values.extend(tally.values)
    return whole


def _key(engine: Engine, seed: int, thin: int) -> str:
    every = [
        referring.WORDS.read_text(encoding="utf-8"),
        *referring.every_sentence("train"),
    ]  # synonyms come from another table
    words = hashlib.sha256("\n".join(every).encode()).hexdigest()
    return f"weights {engine.weights}, words {words}, seed {seed}, every {thin}"


def _write(path: Path, key: str, found: Mapping[str, Any]) -> None:
    parts: dict[str, Any] = {
        part: {" | ".join(name): tally.values for name, tally in values.items()}
        for part, values in found.items()
        if part != "overlaps"
    }
    parts["overlaps"] = {" | ".join(name): [one.intersections, one.unions] for name, one in found["overlaps"].items()}
    text = json.dumps({"measured with": key, **parts})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """The engine's parts; None when there is no such file or it is of other weights, words or seed."""
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.pop("measured with") != key:
        return None
    return {
        part: {
            tuple(name.split(" | ")): Overlaps(*value) if part == "overlaps" else Tally(value)
            for name, value in values.items()
        }
        for part, values in stored.items()
    }
