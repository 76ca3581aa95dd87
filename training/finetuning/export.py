"""Dice of a taught SAM on held-out patients, and its files for users: half-precision weights, facts, the card's section."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...models.catalogue import card, forget_cards
from ...models.checkpoints import half_precision
from ...models.labelled.slices import SlicePredictor
from ..folders import Folders
from ..report_sections import CARD, write_card
from ..segmenting.evaluate import Score, evaluate_on, write_table
from .fit import trained
from .run import FinetuneRun


def measure(run: FinetuneRun, folders: Folders) -> list[Score]:
    """Scores of the run's averaged weights on its tests, beside the copied atlas."""
    predictor = SlicePredictor(trained(run, folders), card(run.method), list(run.structures))
    return [score for dataset in run.tests for score in evaluate_on(dataset, run, predictor, folders.data)]


def write(run: FinetuneRun, scores: Sequence[Score], folders: Folders) -> Path:
    """Write `<method>.safetensors`, `<method>.json` and the card's section; answers the weights file.

    A structure is claimed as of `segmenting.evaluate.Score.may_be_claimed`, in every test.

    Raises:
        BadCall: the run's scans are of a kind the card does not name.
    """
    if run.modality not in card(run.method).modalities:
        raise BadCall(
            f"The card of '{run.method}' is for {', '.join(card(run.method).modalities)} and these scans are {run.modality}. "
            "Such a run is measured by `ostensor eval`, not exported."
        )
    net = trained(run, folders)
    content = save(half_precision(net))
    weights = folders.weights / f"{run.method}.safetensors"
    write_atomically(weights, lambda file: file.write(content))
    facts = facts_of(run, net, scores, hashlib.sha256(content).hexdigest(), folders)
    text = json.dumps(facts, indent=1) + "\n"
    write_atomically(folders.weights / f"{run.method}.json", lambda file: file.write(text.encode()))
    write_card(folders.weights / CARD, run.method, card_section(run, scores, facts))
    forget_cards()
    return weights


def facts_of(run: FinetuneRun, net: Any, scores: Sequence[Score], sha256: str, folders: Folders) -> dict[str, Any]:
    """What is known of the weights; our figures stand under "dice", because the card is that of a published system."""
    unfit = {score.structure for score in scores if not score.may_be_claimed}
    tested = {score.structure for score in scores}
    entry = card(run.method)
    checkpoint = torch.load(folders.checkpoint(run.name), map_location="cpu", weights_only=True)
    return {
        "name": run.method,
        "title": run.title,
        "vocabulary": list(run.structures),
        "claimed": [name for name in run.structures if name in tested and name not in unfit],
        "dice": [asdict(score) for score in scores],
        "network": net.config.to_json(),
        "taught": asdict(run.network.recipe) if hasattr(run.network, "recipe") else dict(run.options),
        "fidelity": entry.fidelity,
        "deviations": list(entry.deviations),
        "start": run.start or "random",
        "modality": run.modality,
        "licence": "; ".join(sorted({source.dataset.licence for source in run.sources})),
        "purpose": "research-only" if any(source.dataset.use == "research-only" for source in run.sources) else "any",
        "sources": [text for source in run.sources for text in source.dataset.sources],
        "seed": run.schedule.seed,
        "steps": int(checkpoint["step"]),
        "parameters": sum(value.numel() for value in net.parameters()),
        "sha256": sha256,
    }


def card_section(run: FinetuneRun, scores: Sequence[Score], facts: dict[str, Any]) -> str:
    """The model's section of CARD.md, Markdown."""
    taught = f"{run.labelled} patients with outlines" if run.labelled else "all training patients"
    lines = [
        f"## {run.method}",
        "",
        f"{run.title}. Fidelity: {facts['fidelity']}. {facts['parameters'] / 1e6:.2f} M parameters, {facts['steps']} steps, "
        f"seed {facts['seed']}, begun with {facts['start']} weights, {taught}.",
        f"Trained on: {'; '.join(facts['sources'])}.",
        f"Licence of the data: {facts['licence']}. Use of these weights: **{facts['purpose']}**.",
        f"Reproduce: `ostensor fit {run.name}`, then `ostensor eval {run.name}`.",
        "",
        write_table(scores),
        "",
        f"Claimed: {', '.join(facts['claimed']) or 'nothing'}. Differs from what was published:",
        "",
        *(f"- {one}" for one in facts["deviations"]),
    ]
    return "\n".join(lines) + "\n"
