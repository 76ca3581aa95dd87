"""From a finished synthesis run to files a user may load: half-precision weights, facts, and a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from ...imaging.guards.atomic import write_atomically
from ..folders import Folders
from .evaluate import SEED, SEGMENTERS, STEPS, SynthesisScore, trained
from .run import SynthesisRun

CARD = "SYNTHESIS.md"
HEAD = """# Bundled synthesis networks

Measured by `ostensor eval paint-… --export` on patients (or the body) kept out of training, {steps} denoising steps, seed {seed}.
SSIM, PSNR and FSIM on grey values in [-1, 1]. Dice: our segmenter on the image against the mask that made it; it was taught on
the same training patients, so it is optimistic; "real image" is its Dice on the true image. "Prior fill" paints each label with its training mean;
for translation it is a table of the mean target value of each source value. Nearest: root mean square distance
to the most similar training slice (0 is a copy); a synthetic image that is nearer than real held-out images are would point at
memorised patients. Images are synthetic for life, for training, testing and teaching only. Not for clinical use.
"""


def write(run: SynthesisRun, scores: Sequence[SynthesisScore], folders: Folders) -> Path:
    """Write `<name>.safetensors`, `<name>.json` and the network's section of SYNTHESIS.md."""
    folder = folders.weights
    net = trained(run, folders)
    content = save({key: value.half().contiguous() for key, value in net.state_dict().items()})
    path = folder / f"{run.name}.safetensors"
    write_atomically(path, lambda file: file.write(content))
    record = json.loads((folders.runs / run.name / "run.json").read_text(encoding="utf-8"))
    dataset = run.dataset
    facts = {
        "name": run.name,
        "title": run.title,
        "vocabulary": list(run.structures) if run.task == "synthesize" else [],
        "claimed": list(run.structures) if run.task == "synthesize" else [],
        "task": run.task,
        "makes": [run.modality] if run.task == "synthesize" else ["ct", "mr"],
        "plan": {**vars(run.plan), "vocabulary": list(run.structures)},
        "network": {**vars(run.network), "channels": list(run.network.channels)},
        "sampler": "rflow",
        "spacing_mm": run.spacing_mm,
        "longest": run.longest,
        "canonical": run.canonical,
        "licence": dataset.licence,
        "purpose": dataset.use,
        "sources": list(dataset.sources),
        "seed": run.schedule.seed,
        "steps": record["steps"],
        "cpu_minutes": record["cpu_minutes"],
        "sha256": hashlib.sha256(content).hexdigest(),
        "measured": [vars(score) for score in scores],
    }
    text = json.dumps(facts, indent=1) + "\n"
    write_atomically(folder / f"{run.name}.json", lambda file: file.write(text.encode()))
    parameters = sum(value.numel() for value in net.parameters())
    _write_section(folder / CARD, run, section(run, scores, record, parameters, len(content)))
    return path


def section(
    run: SynthesisRun, scores: Sequence[SynthesisScore], record: dict[str, float], parameters: int, size: int
) -> str:
    """The network's part of the card, Markdown."""
    reach = "the female body" if run.task == "translate" else f"{scores[0].cases} held-out patients"
    lines = [
        f"## {run.name}",
        "",
        f"{run.title}. {parameters / 1e6:.2f} M parameters, {size / 1e6:.1f} MB, {record['steps']} steps of {run.batch} "
        f"slices ({record['cpu_minutes']} CPU minutes), seed {run.schedule.seed}.",
        f"Trained on: {'; '.join(run.dataset.sources)}. Licence of the data: {run.dataset.licence}. "
        f"Use of these weights: **{run.dataset.use}**.",
        f"Reproduce: `ostensor fit {run.name}`, `ostensor fit {run.rival}`, `ostensor eval {run.name} --export`.",
        "",
        f"{scores[0].slices} slices of {reach}"
        + (f"; segmenter {SEGMENTERS[run.data]}." if run.data in SEGMENTERS else "; no segmenter of such pictures."),
        "",
        "| made by | SSIM | PSNR, dB | FSIM | mask Dice, mean | nearest training slice | z steps against real |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in scores:
        dice = f"{sum(one.dice.values()) / len(one.dice):.3f}" if one.dice else "-"
        steps = "-" if one.jitter is None else f"{one.jitter:.2f}"
        same = one.maker == "real image"
        alike = ["-"] * 3 if same else [f"{one.ssim:.3f}", f"{one.psnr:.1f}", f"{one.fsim:.3f}"]
        lines.append(f"| {one.maker} | {' | '.join(alike)} | {dice} | {one.nearest:.3f} | {steps} |")
    structures = list(scores[0].dice)
    if structures:
        lines += ["", "| mask Dice | " + " | ".join(structures) + " |", "|---" * (len(structures) + 1) + "|"]
        lines += [f"| {one.maker} | " + " | ".join(f"{one.dice[s]:.3f}" for s in structures) + " |" for one in scores]
    return "\n".join(lines) + "\n"


def _write_section(path: Path, run: SynthesisRun, text: str) -> None:
    head = HEAD.format(steps=STEPS, seed=SEED)
    old = path.read_text(encoding="utf-8") if path.exists() else head
    _start, *sections = old.split("\n## ")
    kept = {part.split("\n", 1)[0].strip(): f"## {part}".rstrip() + "\n" for part in sections}
    kept[run.name] = text.rstrip() + "\n"
    whole = head + "\n" + "\n".join(kept[key] for key in sorted(kept))
    write_atomically(path, lambda file: file.write(whole.encode()))
