"""Weights, facts and card of a run, and its part of docs/interactive.md."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from ...imaging.guards.atomic import write_atomically
from ...models.catalogue import forget_cards
from ...models.checkpoints import half_precision
from ...models.promptable.scribbleprompt.network import ScribbleUnet
from ..folders import Folders
from ..report_sections import CARD, write_card, write_section
from ..start import averaged_weights
from .fit import PromptRun
from .measuring.evaluate import NETWORK, SHOWN
from .measuring.report import Report, tables
from .sets import SETS

COMMAND = "ostensor eval interactive"


def export_weights(run: PromptRun, folders: Folders) -> Path:
    """Write `<name>.safetensors` (half precision) and `<name>.json` of a run; answers the weights file."""
    net = ScribbleUnet(run.network)
    net.load_state_dict(averaged_weights(folders.checkpoint(run.name), run.name, run.name))
    content = save(half_precision(net))
    path = folders.weights / f"{run.name}.safetensors"
    write_atomically(path, lambda file: file.write(content))
    checkpoint = torch.load(folders.checkpoint(run.name), map_location="cpu", weights_only=True)
    taught = [SETS[name] for name in run.sets]
    facts: dict[str, Any] = {
        "name": run.name,
        "title": run.title,
        "vocabulary": [],
        "claimed": [],
        "network": {"features": list(run.network.features), "dims": run.dims},
        "size": run.view,
        "purpose": "research-only" if any(one.use == "research-only" for one in taught) else "any",
        "sources": sorted({f"{one.name} ({one.licence})" for one in taught}),
        "seed": run.schedule.seed,
        "steps": int(checkpoint["step"]),
        "parameters": sum(value.numel() for value in net.parameters()),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    _write_facts(facts, folders.weights)
    return path


def _write_facts(facts: dict[str, Any], folder: Path) -> None:
    text = json.dumps(facts, indent=1) + "\n"
    write_atomically(folder / f"{facts['name']}.json", lambda file: file.write(text.encode()))
    forget_cards()


def write_figures(run: PromptRun, report: Report, folders: Folders) -> None:
    """Put what was measured into the facts, the card and the section "How good" of docs/interactive.md."""
    folder = folders.weights
    facts = json.loads((folder / f"{run.name}.json").read_text(encoding="utf-8"))
    rows = report.chosen(NETWORK, "clicks")
    mean = np.array([one.dice for one in rows]).mean(axis=0)
    facts["interactive"] = {
        "command": report.command,
        "structures": len(rows),
        "unseen": run.unseen,
        "dice": {str(number): round(float(value), 4) for number, value in zip(SHOWN, mean, strict=True)},
        "missed": report.missed(),
        "tables": tables(report),
    }
    _write_facts(facts, folder)
    size = (folder / f"{run.name}.safetensors").stat().st_size
    write_card(folder / CARD, run.name, card_section(run, facts, size))
    write_docs(folder, folders.docs / "interactive.md")


def card_section(run: PromptRun, facts: dict[str, Any], size: int) -> str:
    """The network's section of CARD.md, Markdown."""
    lines = [
        f"## {run.name}",
        "",
        f"{run.title} (ScribblePrompt's network, narrower). {facts['parameters'] / 1e6:.2f} M parameters, {size / 1e6:.1f} MB, "
        f"{facts['steps']} steps, seed {facts['seed']}.",
        f"Trained on: {'; '.join(facts['sources'])}. Several are CC BY-SA, so the weights are, too. Use of these weights: **{facts['purpose']}**.",
        f"Reproduce: `ostensor fit {run.name}`, then `{facts['interactive']['command']} --export`. It is pointed at and claims no structure.",
        f"Never trained on, fixed beforehand in its configuration: {', '.join(run.unseen)}.",
        "",
        *facts["interactive"]["tables"].splitlines()[2:],
        run.tried,
    ]
    return (
        "\n".join(line.replace("### ", "**").rstrip() + ("**" if line.startswith("### ") else "") for line in lines)
        + "\n"
    )


def write_docs(weights: Path, path: Path) -> None:
    """The section "How good" of docs/interactive.md, of every network that was measured."""
    text = [
        f"`{COMMAND}`, on sets the networks were never trained on. A made-up person begins with a click into the middle of the structure (or a box, or "
        "what three readers drew in MedScribble) and then clicks into the middle of the largest error; each method gets its own "
        "corrections. Mean Dice with 95 % bootstrap intervals over patients. Pictures have 128 pixels on their longer side, for everybody. In "
        "scans the rivals see only the structure's box and 8 voxels around, which helps them, at no more than 64,000 voxels.",
    ]
    for beside in sorted(weights.glob("prompt-*.json")):
        text += ["", json.loads(beside.read_text(encoding="utf-8")).get("interactive", {}).get("tables", "")]
    write_section("How good", "\n".join(text), path)
