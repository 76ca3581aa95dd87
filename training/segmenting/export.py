"""From a finished run to files a user may load: half-precision weights, a fact sheet, the card's table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ...imaging.errors import Unavailable
from ...imaging.guards.atomic import write_atomically
from ...models.backbones.table import backbone
from ...models.catalogue import ENTRIES
from ...models.checkpoints import half_precision
from ...models.inference.decisions import Decisions
from ...models.language.satmini.network import SatMiniConfig
from ...models.language.satmini.peak import measured_memory
from ...models.language.satmini.queried import QueriedConfig
from ..folders import Folders
from ..report_sections import CARD, write_card
from .config import RunConfig, network_of
from .evaluate import Score, decisions_of, train_volumes_ml, trained_model

_MARGIN = 0.5  # plausible volumes run from half the smallest seen to one and a half of the largest


def write(plan: RunConfig, found: Sequence[Score], folders: Folders) -> Path:
    """Write `<name>.safetensors`, `<name>.json` and the model's section of the card.

    Where the configuration was not trained here, the bundled weights are measured again: figures and claims change,
    weights stay. A structure is claimed when its Dice on held-out cases is above the copied atlas's, and at least
    `LEAST_DICE`, in every test; one without a held-out case is not claimed.

    Returns:
        The weights file.
    """
    own = all(entry.name != plan.name for entry in ENTRIES)
    folder = (own and folders.shelf) or folders.weights
    folder.mkdir(parents=True, exist_ok=True)
    if not folders.checkpoint(plan.name).exists():
        return _remeasured(plan, found, folder)
    model = trained_model(plan, folders)
    content = save(half_precision(model))
    weights = folder / f"{plan.name}.safetensors"
    write_atomically(weights, lambda file: file.write(content))
    facts = _facts(plan, found, hashlib.sha256(content).hexdigest(), folders, decisions_of(plan, model, folders))
    _write_facts(plan, found, facts, len(content), folder)
    return weights


def _remeasured(plan: RunConfig, scores: Sequence[Score], folder: Path) -> Path:
    """New figures and claims for the bundled weights.

    Raises:
        Unavailable: they are not here either.
    """
    weights, beside = folder / f"{plan.name}.safetensors", folder / f"{plan.name}.json"
    if not weights.exists() or not beside.exists():
        raise Unavailable(f"'{plan.name}' was neither trained here nor bundled. Run `ostensor fit` first.")
    facts = {**json.loads(beside.read_text(encoding="utf-8")), **_figures(plan, scores)}
    _write_facts(plan, scores, facts, weights.stat().st_size, folder)
    return weights


def _write_facts(plan: RunConfig, scores: Sequence[Score], facts: Mapping[str, Any], size: int, folder: Path) -> None:
    text = json.dumps(facts, indent=1) + "\n"
    write_atomically(folder / f"{plan.name}.json", lambda file: file.write(text.encode()))
    parameters = sum(value.numel() for value in network_of(plan).parameters())
    write_card(folder / CARD, plan.name, card_section(plan, scores, facts, parameters, size))


def _figures(plan: RunConfig, scores: Sequence[Score]) -> dict[str, Any]:
    """What was measured, and what may be claimed on the strength of it."""
    best: dict[str, Score] = {}
    for score in scores:
        best.setdefault(score.structure, score)  # the first test of a configuration is its main one
    unfit = {score.structure for score in scores if not score.may_be_claimed}
    return {
        "claimed": [name for name in plan.structures if name in best and name not in unfit],
        "metrics": {
            name: {
                "dice": round(score.dice, 4),
                "low": round(score.low, 4),
                "high": round(score.high, 4),
                "atlas": round(score.atlas, 4),
                "cases": score.cases,
                "dataset": score.dataset,
            }
            for name, score in best.items()
        },
    }


def _facts(
    plan: RunConfig, scores: Sequence[Score], sha256: str, folders: Folders, decisions: Decisions
) -> dict[str, Any]:
    cases = [(source.dataset, case) for source in plan.sources for case in source.dataset.cases(folders.data, "train")]
    plausible = {}
    for name, values in plan.structures.items():
        volumes = train_volumes_ml([case for dataset, case in cases if dataset.plausible], values)
        if volumes:
            plausible[name] = [round((1 - _MARGIN) * min(volumes), 2), round((1 + _MARGIN) * max(volumes), 2)]
    checkpoint = torch.load(folders.checkpoint(plan.name), map_location="cpu", weights_only=True)
    restricted = any(source.dataset.use == "research-only" for source in plan.sources)
    return {
        "name": plan.name,
        "title": plan.title,
        "vocabulary": list(plan.structures),
        **_figures(plan, scores),
        "network": plan.network.to_json(),
        "preparation": plan.preparation.to_json(),
        **_backbone_facts(plan),
        "spacing_mm": None if plan.preparation.longest else list(plan.preparation.spacing_mm),
        "modality": plan.modality,
        **decisions.to_json(),
        "licence": "; ".join(sorted({source.dataset.licence for source in plan.sources})),
        "purpose": "research-only" if restricted else "any",
        "sources": [text for source in plan.sources for text in source.dataset.sources],
        "seed": plan.schedule.seed,
        "steps": int(checkpoint["step"]),
        "sha256": sha256,
        "plausible_ml": plausible,
    }


def _backbone_facts(plan: RunConfig) -> dict[str, Any]:
    """What a card says of a network on a backbone."""
    if isinstance(plan.network, SatMiniConfig):
        return {}
    row = backbone(plan.network.backbone)
    return {
        "words": isinstance(plan.network, QueriedConfig),
        "paper": row.source,
        "deviations": [f"Built as {row.system}, {row.fidelity}.", *row.deviations],
        "notes": f"{row.system}, trained by the user.",
        **measured_memory(plan.network.to_json(), list(plan.structures), plan.view.patch),
    }


def card_section(plan: RunConfig, scores: Sequence[Score], facts: Mapping[str, Any], parameters: int, size: int) -> str:
    """The model's section of CARD.md, Markdown."""
    short = plan.name.removeprefix("sat-mini-")
    lines = [
        f"## {plan.name}",
        "",
        f"{plan.title}. {parameters / 1e6:.2f} M parameters, {size / 1e6:.1f} MB, {facts['steps']} steps, seed {facts['seed']}.",
        f"Trained on: {'; '.join(facts['sources'])}.",
        f"Licence of the data: {facts['licence']}. Use of these weights: **{facts['purpose']}**.",
        f"Reproduce: `ostensor fit {short}`, then `ostensor eval {short}`.",
        "",
        "| structure | tested on | cases | Dice | 95 % interval | copied atlas | marked outside, ml | claimed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        claimed = "yes" if score.structure in facts["claimed"] else "no"
        outside = "" if score.outside_ml is None else f"{score.outside_ml:.2f}"
        lines.append(
            f"| {score.structure} | {score.dataset} | {score.cases} | {score.dice:.3f} | "
            f"{score.low:.3f} to {score.high:.3f} | {score.atlas:.3f} | {outside} | {claimed} |"
        )
    if plan.missed:
        lines += ["", plan.missed]
    if plan.sided:
        lines += [
            "",
            "Left and right are told by the body's middle plane, which halves the pair's mask; the network does not tell them.",
        ]
    untested = [name for name in plan.structures if name not in {score.structure for score in scores}]
    if untested:
        lines += ["", f"Taught but without a held-out truth here, so not claimed: {', '.join(untested)}."]
    return "\n".join(lines) + "\n"
