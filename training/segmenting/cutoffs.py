"""The logit from which a voxel counts as inside, per structure, chosen where the network was taught and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice_of_counts
from ...models.language.satmini.engine import Segmenter
from ...models.language.satmini.fixed_classes import FixedClasses
from ...models.text.encoders import known_vectors
from ..folders import Folders
from ..regimes.by_words import masks_of
from .config import RunConfig
from .streams import stream_of

TRIED = tuple(np.arange(-1.0, 4.01, 0.25).round(2).tolist())
BATCHES = 40  # fresh views of training scans


def cutoffs_of(plan: RunConfig, net: Segmenter, folders: Folders) -> dict[str, float]:
    """Structure -> cutoff, remembered in the run's folder.

    Views are drawn as in training, at steps after its end. All views together give a structure's Dice under each of
    `TRIED`; the best one is taken.
    """
    kept = folders.runs / plan.name / "cutoffs.json"
    if kept.exists():
        return {name: float(value) for name, value in json.loads(kept.read_text(encoding="utf-8")).items()}
    found = best_cutoffs(plan, net, folders.data)
    text = json.dumps(found, indent=1) + "\n"
    write_atomically(kept, lambda file: file.write(text.encode()))
    return found


def best_cutoffs(plan: RunConfig, net: Segmenter, data: Path) -> dict[str, float]:
    """Structure -> the cutoff of greatest Dice over fresh training views."""
    stream, _counts = stream_of(plan, data)
    names = list(plan.structures)
    both, marked = np.zeros((len(names), len(TRIED))), np.zeros((len(names), len(TRIED)))
    true = np.zeros(len(names))
    with torch.inference_mode():
        for number in range(BATCHES):
            batch = stream(plan.schedule.steps + number, 0)
            if isinstance(net, FixedClasses):
                logits = net.image_features(batch.images)
            else:
                vectors = known_vectors()
                logits = net(batch.images, torch.from_numpy(np.stack([vectors[name] for name in names])))
            truth = masks_of(batch.labels, list(plan.structures.values())).bool()
            axes = (0, *range(2, truth.dim()))
            true += truth.sum(axes).numpy()
            for n, cutoff in enumerate(TRIED):
                inside = logits > cutoff
                both[:, n] += (inside & truth).sum(axes).numpy()
                marked[:, n] += inside.sum(axes).numpy()
    best = {}
    for n, name in enumerate(names):
        if true[n]:
            found = [dice_of_counts((b, m, true[n])) for b, m in zip(both[n], marked[n], strict=True)]
            best[name] = TRIED[int(np.argmax(found))]
    return best
