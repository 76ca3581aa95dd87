"""Measure two bundled networks as one and write its facts: `python -m ostensor.training.segmenting.nested DATA WEIGHTS_FOLDER`.

`hippocampus-in-head`: the brain network says where in a head the hippocampi are, the hippocampus network draws them in a
crop, which is all it was taught. Nothing is trained. The rival is the better of the other head's labels, copied, and the
brain network alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray
from ...models.card import Card
from ...models.catalogue import WEIGHTS_FOLDER, card
from ...models.inference.preprocess import Preparation
from ...models.interface import Predictor, Running
from ...models.language.satmini.weights import load
from ...models.load import load_predictor
from ..cases import Case
from ..data.brain import OTHER_HEADS
from ..report_sections import CARD, write_card
from ..scores import patient_interval
from .atlas import copied, placed

NAME, COARSE, FINE = "hippocampus-in-head", "sat-mini-brain", "sat-mini-hippocampus"
MARGIN_MM = 8.0  # as the crops of the hippocampus data leave around it
_SIDES = {"left": "left hippocampus", "right": "right hippocampus"}
_ANSWERS = {
    "left hippocampus": (["left"], "hippocampi"),
    "right hippocampus": (["right"], "hippocampi"),
    "hippocampi": (["left", "right"], "hippocampi"),
    "anterior hippocampus": (["left", "right"], "anterior hippocampus"),
    "posterior hippocampus": (["left", "right"], "posterior hippocampus"),
}
_MARGIN = 0.5  # plausible volumes run from half the smallest seen to one and a half of the largest


def facts_of(folder: Path) -> dict[str, Any]:
    """What the card needs, without figures."""
    coarse, fine = (json.loads((folder / f"{one}.json").read_text(encoding="utf-8")) for one in (COARSE, FINE))
    return {
        "name": NAME,
        "title": "Hippocampi in T1 MR of the head, found by the brain network and drawn by the hippocampus network",
        "vocabulary": list(_ANSWERS),
        "network": coarse["network"],
        "preparation": coarse["preparation"],
        "spacing_mm": fine["spacing_mm"],
        "modality": "mr",
        "licence": fine["licence"],
        "purpose": "any",
        "sources": [*coarse["sources"], *fine["sources"]],
        "sha256": fine["sha256"],
        "nested": {
            "coarse": COARSE,
            "sha256": hashlib.sha256((folder / f"{COARSE}.safetensors").read_bytes()).hexdigest(),
            "boxes": _SIDES,
            "margin_mm": MARGIN_MM,
            "answers": {name: list(how) for name, how in _ANSWERS.items()},
        },
        "fine": {"network": fine["network"], "preparation": fine["preparation"]},
    }


def measure(data: Path, entry: Card, folder: Path) -> dict[str, dict[str, Any]]:
    """Structure -> Dice of the nested networks, of the coarse one alone and of the copied labels, and true volumes."""
    cases = OTHER_HEADS.cases(data, "test")
    how = Running(threads=1)
    nested = load(entry, folder / f"{FINE}.safetensors", how)
    coarse = load_predictor(COARSE, threads=1)
    rows: dict[str, dict[str, list[float]]] = {
        name: {"dice": [], "coarse": [], "atlas": [], "ml": []} for name in OTHER_HEADS.structures
    }
    preparation = Preparation.from_json(entry.facts["preparation"])
    for case in cases:
        other = next(one for one in cases if one.patient != case.patient)
        target = placed(case, preparation)
        copy = copied(placed(other, preparation), target)
        ours, alone = _drawn(nested, case), _drawn(coarse, case)
        for name, values in OTHER_HEADS.structures.items():
            truth = np.isin(case.labels, values)
            rows[name]["ml"].append(float(truth.sum() * case.grid.voxel_ml))
            rows[name]["dice"].append(dice(ours[name], truth))
            rows[name]["coarse"].append(dice(alone[name], truth))
            rows[name]["atlas"].append(dice(np.isin(copy, values), np.isin(target.labels, values)))
    return {name: {**row, "patients": [case.patient for case in cases]} for name, row in rows.items()}


def _drawn(predictor: Predictor, case: Case) -> dict[str, BoolArray]:
    assert case.volume is not None
    features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
    return {one.structure: one.array for one in predictor.decode(features, list(OTHER_HEADS.structures))}


def write(data: Path, folder: Path = WEIGHTS_FOLDER) -> Mapping[str, Mapping[str, Any]]:
    """Measure, and write `hippocampus-in-head.json` and its section of the card; what does not beat its rivals is not claimed."""
    facts = facts_of(folder)
    rows = measure(data, replace(card(FINE), name=NAME, facts=facts), folder)
    metrics: dict[str, dict[str, Any]] = {}
    claimed = []
    for name, row in rows.items():
        low, high = patient_interval(np.array(row["dice"]), row["patients"])
        rival = max(float(np.mean(row["atlas"])), float(np.mean(row["coarse"])))
        metrics[name] = {
            "dice": round(float(np.mean(row["dice"])), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "atlas": round(rival, 4),
            "cases": len(row["dice"]),
            "dataset": OTHER_HEADS.name,
        }
        if metrics[name]["dice"] > rival:
            claimed.append(name)
    plausible = {  # of the first head alone: the other's atlas draws the hippocampus twice as large as anyone else
        name: [round(row["ml"][0] * _MARGIN, 2), round(row["ml"][0] * (1 + _MARGIN), 2)] for name, row in rows.items()
    }
    facts |= {"claimed": claimed, "metrics": metrics, "plausible_ml": plausible}
    text = json.dumps(facts, indent=1) + "\n"
    write_atomically(folder / f"{NAME}.json", lambda file: file.write(text.encode()))
    size = sum(value.numel() for one in (COARSE, FINE) for value in load_file(folder / f"{one}.safetensors").values())
    write_card(folder / CARD, NAME, _section(rows, facts, size))
    return rows


def _section(rows: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any], parameters: int) -> str:
    lines = [
        f"## {NAME}",
        "",
        f"{facts['title']}. No weights of its own: `{COARSE}` and `{FINE}`, {parameters / 1e6:.2f} M parameters together; crops "
        f"reach {MARGIN_MM:g} mm beyond what the first marks.",
        f"Licence of the data: {facts['licence']}. Use: **{facts['purpose']}**.",
        f"Reproduce: `python -m ostensor.training.segmenting.nested DATA models/weights`. Measured on {', '.join(rows['hippocampi']['patients'])}: "
        "two heads nobody here was trained on, one labelled by FreeSurfer, one drawn by hand after another definition.",
        "",
        "| structure | heads | Dice of each | brain network alone | the other head's labels, copied | claimed |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        each, coarse, atlas = (", ".join(f"{value:.3f}" for value in row[key]) for key in ("dice", "coarse", "atlas"))
        lines.append(
            f"| {name} | {len(row['dice'])} | {each} | {coarse} | {atlas} | {_yes(name in facts['claimed'])} |"
        )
    return "\n".join([*lines, "", "Front and back part are drawn as well but not claimed: no head at hand tells them."])


def _yes(so: bool) -> str:
    return "yes" if so else "no"


def _main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        sys.exit("usage: python -m ostensor.training.segmenting.nested DATA WEIGHTS_FOLDER")
    sys.stdout.write(json.dumps(write(Path(arguments[0]), Path(arguments[1])), indent=1) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
