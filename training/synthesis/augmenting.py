"""Does it pay? A small segmenter on few real cases, with and without synthetic pairs beside them.

`ostensor fit paint-hippocampus --augment synthetic`. Three arms learn equally long from N labelled cases:
"real" alone; "synthetic" (half of each batch painted from deformed masks of the N cases); "augpaint_style"
(half of each batch real slices of the N cases whose surroundings are repainted without a condition).
The synthesis network saw every training patient and its masks, not only the N: its arms know more than N cases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice
from ...models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ...models.synthesis.networks.denoiser import Denoiser
from ...models.synthesis.networks.diffusion import DiffusionTask, Run
from ...models.synthesis.networks.samplers import Sampler
from ...models.synthesis.scales import Float
from ..folders import Folders
from ..objective import Batch
from ..regimes.by_words import Supervised
from ..trainer import Schedule, Stream, Trainer
from .evaluate import trained
from .fit import cases_of
from .run import Slices, SynthesisRun, padded

ARMS = ("real", "synthetic", "augpaint_style")
COUNTS, SEEDS = (2, 5, 10), (0, 1, 2)
STEPS, BATCH, PAIRS, TESTED = 80, 8, 24, 12
SAMPLING = 5  # denoising steps of the pairs
DILATE = 2  # pixels of the real image kept around the label


@dataclass(frozen=True)
class Pairs:
    """Pictures (n x y) with their labels (n x y)."""

    pictures: Float
    labels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def compare(
    run: SynthesisRun, folders: Folders, *, counts: Sequence[int] = COUNTS, seeds: Sequence[int] = SEEDS
) -> Path:
    """Train every arm, write the table, and answer its file; what is in `results.json` already is not done again."""
    if run.task != "synthesize":
        raise BadCall(f"'{run.name}' paints no masks. Use paint-hippocampus.")
    network = trained(run, folders)
    assert isinstance(network, Denoiser)
    train, test = cases_of(run, "train", folders.data), _tested(cases_of(run, "test", folders.data))
    folder = folders.runs / f"augment-{run.name}"
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, float] = _read(folder / "results.json")
    for seed in seeds:
        for count in counts:
            if all(f"{arm} {count} {seed}" in done for arm in ARMS):
                continue
            few = _few(train, count, seed)
            real, made = slices_with_labels(few, run), pairs(few, run, network, seed)
            for arm in ARMS:
                key = f"{arm} {count} {seed}"
                if key not in done:
                    net = _taught(run, real, made.get(arm), seed, folder / key.replace(" ", "-"))
                    done[key] = _dice(net, test, run)
                    _write(folder / "results.json", done)
    return _report(run, done, counts, seeds, len(test), folders.docs / "augmentation.md")


def _read(path: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _write(path: Path, done: dict[str, float]) -> None:
    text = json.dumps(done, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def _tested(cases: Sequence[Slices]) -> list[Slices]:
    kept = sorted({case.patient for case in cases})[:TESTED]
    return [case for case in cases if case.patient in kept]


def _few(train: Sequence[Slices], count: int, seed: int) -> list[Slices]:
    patients = sorted({case.patient for case in train})
    drawn = {patients[i] for i in np.random.default_rng(seed).permutation(len(patients))[:count]}
    return [case for case in train if case.patient in drawn]


def slices_with_labels(cases: Sequence[Slices], run: SynthesisRun) -> Pairs:
    """Every slice of the cases, cut or padded to the run's patch."""
    pictures = np.concatenate([_fitted(case.pictures, run, -1.0) for case in cases])
    labels = np.concatenate([_fitted(case.labels.astype(np.float32), run, 0.0) for case in cases])
    return Pairs(pictures, labels.astype(np.uint8))


def _fitted(stack: Float, run: SynthesisRun, fill: float) -> Float:
    full = padded(stack, run.patch, fill)
    start = [(n - side) // 2 for n, side in zip(full.shape[-2:], run.patch, strict=True)]
    return full[..., start[0] : start[0] + run.patch[0], start[1] : start[1] + run.patch[1]]


def pairs(few: Sequence[Slices], run: SynthesisRun, network: Denoiser, seed: int) -> dict[str, Pairs]:
    """The synthetic pairs of both kinds, drawn from the few cases alone."""
    rng = np.random.default_rng([seed, len(few)])
    labelled = [(case, z) for case in few for z in range(len(case.pictures)) if case.labels[z].any()]
    drawn = [labelled[int(rng.integers(len(labelled)))] for _ in range(PAIRS)]
    task = DiffusionTask(network, Sampler("rflow"))
    generator = torch.Generator().manual_seed(seed)
    how = Run(SAMPLING)
    moved = [_deformed(case, z, run, rng) for case, z in drawn]
    maps = torch.from_numpy(np.stack([one for one, _ in moved]))
    noise = torch.randn((len(drawn), 1, *run.patch), generator=generator)
    synthesized = torch.cat(
        [task.sample(n, m, generator, how) for n, m in zip(noise.split(8), maps.split(8), strict=True)]
    )
    real = np.stack([_fitted(case.pictures[z], run, -1.0) for case, z in drawn])
    labels = np.stack([_fitted(case.labels[z].astype(np.float32), run, 0.0) for case, z in drawn]).astype(np.uint8)
    keep = np.stack([ndimage.binary_dilation(one > 0, iterations=DILATE) for one in labels]).astype(np.float32)
    images, kept = torch.from_numpy(real)[:, None], torch.from_numpy(keep)[:, None]
    around = torch.cat([
        task.sample_inpaint(i, k, None, n, generator, how)
        for i, k, n in zip(images.split(8), kept.split(8), noise.split(8), strict=True)
    ])  # fmt: skip
    return {
        "synthetic": Pairs(synthesized[:, 0].clamp(-1, 1).numpy(), np.stack([one for _, one in moved])),
        "augpaint_style": Pairs(around[:, 0].clamp(-1, 1).numpy(), labels),
    }


def _deformed(
    case: Slices, z: int, run: SynthesisRun, rng: np.random.Generator
) -> tuple[Float, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Condition (c x y) and labels (x y) of a slice, turned, scaled and moved a little with its neighbours."""
    around = np.clip(np.arange(z - run.neighbours, z + run.neighbours + 1), 0, len(case.labels) - 1)
    stack = _fitted(case.labels[around].astype(np.float32), run, 0.0)
    angle, scale = rng.uniform(-0.25, 0.25), rng.uniform(0.85, 1.15, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    middle = (np.array(run.patch) - 1) / 2
    offset = middle - turn @ middle + rng.uniform(-3, 3, 2)
    moved = np.stack([ndimage.affine_transform(one, turn, offset, order=0) for one in stack]).astype(np.uint8)
    return run.plan.of_stack(moved.transpose(1, 2, 0), run.names)[run.neighbours], moved[run.neighbours]


def _taught(run: SynthesisRun, real: Pairs, made: Pairs | None, seed: int, folder: Path) -> FixedClasses:
    torch.manual_seed(seed)
    net = FixedClasses(ClassesConfig(2, options={"features": (12, 24, 48), "finest": 12}), list(run.structures))
    objective = Supervised({name: (label,) for label, name in run.names.items()})
    schedule = Schedule(steps=STEPS, learning_rate=3e-3, warm_up=10, bf16=False, save_every=10_000, seed=seed, ema=0.98)
    trainer = Trainer(net, objective, schedule, folder)
    trainer.fit(_stream(real, made, seed))
    net.load_state_dict(trainer.average)
    return net.eval()


def _stream(real: Pairs, made: Pairs | None, seed: int) -> Stream:
    """Half of each batch comes from the made pairs where there are some; every picture is varied alike."""

    def batch(step: int, part: int) -> Batch:
        rng = np.random.default_rng([seed, step, part])
        pictures, labels = [], []
        for item in range(BATCH):
            pool = made if made is not None and item % 2 else real
            number = int(rng.integers(len(pool.pictures)))
            shift = tuple(int(n) for n in rng.integers(-3, 4, 2))
            picture = np.roll(pool.pictures[number], shift, (0, 1)) * rng.uniform(0.8, 1.2) + rng.uniform(-0.2, 0.2)
            pictures.append(picture.astype(np.float32))
            labels.append(np.roll(pool.labels[number], shift, (0, 1)).astype(np.int64))
        return Batch(torch.from_numpy(np.stack(pictures))[:, None], torch.from_numpy(np.stack(labels)))

    return batch


@torch.no_grad()
def _dice(net: FixedClasses, test: Sequence[Slices], run: SynthesisRun) -> float:
    """Mean Dice of the structures in 3-D over the held-out cases."""
    found = []
    for case in test:
        pictures, labels = _fitted(case.pictures, run, -1.0), _fitted(case.labels.astype(np.float32), run, 0.0)
        logits = net.image_features(torch.from_numpy(np.ascontiguousarray(pictures))[:, None]).numpy()
        for channel, label in enumerate(run.names):
            found.append(dice(logits[:, channel] > 0, labels == label))
    return float(np.mean(found))


def _report(
    run: SynthesisRun, done: dict[str, float], counts: Sequence[int], seeds: Sequence[int], tested: int, path: Path
) -> Path:
    lines = [
        "# Do synthetic pairs pay?",
        "",
        f"`ostensor fit {run.name} --augment synthetic`: Dice of a small 2-D segmenter on {tested} held-out real cases",
        f"({', '.join(run.structures)}), taught on N real cases for {STEPS} steps of {BATCH} slices; mean of seeds "
        f"{', '.join(map(str, seeds))}, and lowest to highest.",
        f"Half of each batch of the other two arms comes from {PAIRS} synthetic pairs ({SAMPLING} denoising steps each).",
        "The synthesis network was taught on all training patients and their masks, so its arms know more than N cases.",
        "",
        "| N real cases | " + " | ".join(ARMS) + " |",
        "|---|---|---|---|",
    ]
    for count in counts:
        cells = []
        for arm in ARMS:
            values = [done[f"{arm} {count} {seed}"] for seed in seeds]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path
