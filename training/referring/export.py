"""Weights, facts and card of a referring run, and the tables of `ostensor eval referring`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ...imaging.errors import Unavailable
from ...imaging.guards.atomic import write_atomically
from ...models.catalogue import forget_cards
from ...models.checkpoints import half_precision
from ...models.language.referring.predictor import ReferringPredictor
from ...models.load import load_predictor
from ..folders import Folders
from ..report_sections import CARD, write_card
from .evaluate import SEED, SHOWN, Tallies
from .fit import ReferringRun, trained
from .pairs import ORGANS
from .report import Report, evaluate
from .stream import DATASETS


def command(thin: int) -> str:
    """The command line that gives the tables again."""
    return "ostensor eval referring" + (f" --every {thin}" if thin > 1 else "")


def export_weights(run: ReferringRun, folders: Folders) -> Path:
    """Write `<name>.safetensors` (half precision) and `<name>.json` of a finished run; answers the weights file."""
    folder = folders.weights
    net = trained(run, folders.runs)
    content = save(half_precision(net))
    path = folder / f"{run.name}.safetensors"
    write_atomically(path, lambda file: file.write(content))
    checkpoint = torch.load(folders.checkpoint(run.name), map_location="cpu", weights_only=True)
    datasets = [DATASETS[name] for name in run.data]
    facts: dict[str, Any] = {
        "name": run.name,
        "title": run.title,
        "vocabulary": sorted({*ORGANS.values(), "kidneys"}),
        "claimed": [],
        "network": net.config.to_json(),
        "size": run.size,
        "licence": "; ".join(sorted({one.licence for one in datasets})),
        "purpose": "research-only" if any(one.use == "research-only" for one in datasets) else "any",
        "sources": [text for one in datasets for text in one.sources],
        "seed": run.schedule.seed,
        "steps": int(checkpoint["step"]),
        "parameters": sum(value.numel() for value in net.parameters()),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(facts, indent=1) + "\n"
    write_atomically(folder / f"{run.name}.json", lambda file: file.write(text.encode()))
    forget_cards()
    return path


def measure(
    where: Mapping[str, Path],
    folders: Folders,
    *,
    threads: int | None = None,
    seed: int = SEED,
    thin: int = 1,
    tell: Callable[[str], None],
) -> Report:
    """Measure networks; see `evaluate`. What was measured once is kept beside the runs.

    Args:
        where: name of each network -> the folder of its weights.

    Raises:
        Unavailable: none is here.
    """
    predictors = []
    for name, folder in where.items():
        try:
            loaded = load_predictor(name, threads=threads, folder=folder)
        except Unavailable as error:
            tell(str(error))
            continue
        assert isinstance(loaded, ReferringPredictor)
        predictors.append(loaded)
    if not predictors:
        raise Unavailable(
            "There is no referring network here. Train one with `ostensor fit flans` or `ostensor fit lsms`."
        )
    kept = folders.runs / "referring"
    return evaluate(folders.data, predictors=predictors, threads=threads, seed=seed, thin=thin, kept=kept, tell=tell)


def write_cards(runs: Sequence[ReferringRun], report: Report, folder: Path, *, thin: int = 1) -> None:
    """Put the figures of every measured network into its file of facts and into the card."""
    for run in runs:
        beside = folder / f"{run.name}.json"
        if run.name not in report.slices or not beside.is_file():
            continue
        facts = json.loads(beside.read_text(encoding="utf-8"))
        facts["referring"] = {
            "command": command(thin),
            "seed": SEED,
            "slices": _plain(report.slices[run.name]),
            "sides": _plain(report.sides[run.name]),
        }
        text = json.dumps(facts, indent=1) + "\n"
        write_atomically(beside, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]  # bound now
        write_card(folder / CARD, run.name, card_section(run, facts, report))
    forget_cards()


def _plain(tallies: Tallies) -> dict[str, list[float]]:
    return {" | ".join(key): [round(one.mean or 0.0, 4), len(one.values)] for key, one in sorted(tallies.items())}


def card_section(run: ReferringRun, facts: Mapping[str, Any], report: Report) -> str:
    """The network's section of CARD.md, Markdown."""
    size = facts["parameters"] * 2 / 1e6
    lines = [
        f"## {run.name}",
        "",
        f"{run.title}. {facts['parameters'] / 1e6:.2f} M parameters, {size:.1f} MB, {facts['steps']} steps, seed {facts['seed']}.",
        f"Trained on: {'; '.join(facts['sources'])}. Lesions were drawn, not real.",
        f"Licence of the data: {facts['licence']}. Use of these weights: **{facts['purpose']}**.",
        f"Reproduce: `ostensor fit {run.network}`, then `ostensor eval referring --export`; how these weights came about in several runs",
        "stands in docs/referring.md. It claims no structure: `segment` does not",
        "choose it by itself. Dice on held-out slices, wordings never seen in training (number of sentences):",
        "",
        *_table(
            ["tested on", *SHOWN],
            [
                [source, *(str(report.slices[run.name].get((source, family, "new"), "-")) for family in SHOWN)]
                for source in _sources(report.slices[run.name])
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def tables(report: Report, *, seed: int = SEED, thin: int = 1) -> str:
    """Every table, Markdown."""
    engines = list(report.slices)
    parts = [
        f"`{command(thin)}`, seed {seed}. Mean Dice (number of sentences); shares of right answers where nothing is to be found.",
        "",
        "### By family and wording",
        "",
        *_slices(report, engines),
        "",
        "### Overlap over all sentences with something to find",
        "",
        *_table(
            ["tested on", "wording", "network", "mIoU", "oIoU", "P@0.5", "P@0.7", "P@0.9", "sentences"],
            [
                [source, wording, engine, *found[source, wording].row()]
                for source in _sources(report.slices[engines[0]])
                for wording in ("taught", "new")
                for engine, found in report.overlaps.items()
                if (source, wording) in found
            ],
        ),
        "",
        "### The side that was named",
        "",
        *_table(
            ["pair", *engines],
            [
                [key[0], *(str(report.sides[engine].get(key, "-")) for engine in engines)]
                for key in sorted({key for one in report.sides.values() for key in one})
            ],
        ),
        "",
        "### The eight symmetries of the picture (BTCV, asked by name)",
        "",
        *_symmetry(report),
        "",
        "### Whole heart stacks (ACDC, 3-D Dice)",
        "",
        *_table(
            ["structure", *report.stacks],
            [
                [key[0], *(str(one.get(key, "-")) for one in report.stacks.values())]
                for key in sorted({key for one in report.stacks.values() for key in one})
            ],
        ),
    ]
    return "\n".join(parts) + "\n"


def _slices(report: Report, engines: Sequence[str]) -> list[str]:
    rows = []
    for source in _sources(report.slices[engines[0]]):
        keys = sorted({key for one in report.slices.values() for key in one if key[0] == source}, key=_order)
        rows += [
            [
                source,
                family,
                wording,
                *(str(report.slices[engine].get((source, family, wording), "-")) for engine in engines),
            ]
            for _source, family, wording in keys
        ]
    return _table(["tested on", "family", "wording", *engines], rows)


def _order(key: tuple[str, ...]) -> tuple[int, str]:
    families = (
        *SHOWN, "found at all", "absent: empty", "nothing: empty", "other sentence", "best single mask",
    )  # fmt: skip
    return families.index(key[1]), key[2]


def _sources(tallies: Tallies) -> list[str]:
    return list(dict.fromkeys(key[0] for key in tallies))


def _symmetry(report: Report) -> list[str]:
    rows = []
    for engine, found in report.symmetry.items():
        for mode in ("canonicaliser on", "canonicaliser off"):
            if not any(key[0] == mode for key in found):
                continue  # it has none
            for group in ("upright", "moved"):
                columns = [str(found.get((mode, group, what), "-")) for what in ("Dice", "agreement", "element")]
                rows.append([engine, mode, group, *columns])
    return _table(["network", "", "picture", "Dice", "agreement with the upright answer", "element found"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


MARK = "<!-- tables: written by `ostensor eval referring --export` -->\n"


def write_docs(report: Report, path: Path, *, thin: int = 1) -> None:
    """Put the tables below the mark in docs/referring.md; what stands above it is kept."""
    old = path.read_text(encoding="utf-8") if path.exists() else f"# Referring\n\n{MARK}"
    text = old.split(MARK)[0] + MARK + "\n" + tables(report, thin=thin)
    write_atomically(path, lambda file: file.write(text.encode()))
