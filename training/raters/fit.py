"""`ostensor fit hippocampus-raters` and its `eval`: the probabilistic U-Net plain and with each distance of sets.

All three see the same slices, four made-up raters each (`raters.py`), and differ in nothing but the objective.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from ...imaging.errors import BadCall
from ...models.uncertainty.probunet import ProbUnet, ProbUnetConfig
from ..cases import Case
from ..configuration import Configuration
from ..data.datasets import DATASETS
from ..folders import Folders
from ..kinds import How
from ..objective import Batch
from ..report_sections import write_section
from ..sampling import View, draw
from ..scores import patient_interval
from ..start import averaged_weights
from ..trainer import Schedule, Stream, Trainer
from .judged import RATERS, Judged, judged_slices
from .pulaski import Distance, Pulaski, raters_of
from .set_distances import generalised_energy_distance, hausdorff_divergence, pairwise_iou

DRAWS = 7  # from the prior; Source: PULASki, arXiv 2312.15686
TITLES: Mapping[str, str] = {
    "none": "one rater by chance (plain)",
    "sinkhorn": "PULASki, Sinkhorn",
    "hausdorff": "PULASki, Hausdorff",
}


@dataclass(frozen=True)
class RatersRun:
    """A run as its TOML file says it.

    Attributes:
        structure, head: names in the data set; the second is what a rater leaves out.
        distances: one training each.
    """

    name: str
    data: str
    structure: str
    head: str
    distances: tuple[Distance, ...]
    batch: int
    patch: tuple[int, int]
    network: ProbUnetConfig
    schedule: Schedule

    def folder(self, distance: Distance, runs: Path) -> Path:
        """Where one training lies."""
        return runs / f"{self.name}-{distance}"


def read(given: Configuration) -> RatersRun:
    """The run of a configuration.

    Raises:
        BadCall: a key, data set, structure or distance that is not known.
    """
    given.refuse_unknown({field.name for field in fields(RatersRun)})
    values = given.values
    run = RatersRun(
        **{
            **values,
            "distances": tuple(values["distances"]),
            "patch": tuple(values["patch"]),
            "network": ProbUnetConfig(**values["network"]),
            "schedule": Schedule(**values["schedule"]),
        }
    )
    unknown = [name for name in run.distances if name not in TITLES]
    if unknown or run.data not in DATASETS:
        raise BadCall(
            f"Unknown distance or data set {unknown or run.data!r}. Known: {', '.join(TITLES)}; {', '.join(DATASETS)}."
        )
    if missing := {run.structure, run.head} - set(DATASETS[run.data].structures):
        raise BadCall(f"'{run.data}' does not outline {', '.join(sorted(missing))}.")
    return run


def slices_of(run: RatersRun, cases: Sequence[Case]) -> list[Judged]:
    """Judged slices of cases."""
    structures = DATASETS[run.data].structures
    return list(judged_slices(cases, structures[run.structure], structures[run.head]))


def fit(run: RatersRun, folders: Folders, how: How) -> Path:
    """Train one network per distance, and answer the last one's run folder."""
    stream = stream_of(run, slices_of(run, DATASETS[run.data].cases(folders.data, "train")))
    folder = folders.runs
    for distance in run.distances:
        trainer = trainer_of(run, distance, runs=folders.runs, device=how.device)
        if how.resume:
            trainer.resume()
        trainer.fit(stream, until=how.until)
        folder = trainer.folder
    return folder


def trainer_of(run: RatersRun, distance: Distance, *, runs: Path, device: str = "cpu") -> Trainer:
    """Network, objective and schedule in their run folder; the same first weights for every distance."""
    torch.manual_seed(run.schedule.seed)
    objective = Pulaski(len(RATERS), distance)
    return Trainer(ProbUnet(run.network), objective, run.schedule, run.folder(distance, runs), device=device)


def stream_of(run: RatersRun, slices: Sequence[Judged]) -> Stream:
    """Batches of random views, a function of (step, part) only."""
    view = View(patch=run.patch, rotate_deg=10, scale=0.1, elastic=0, shift=0.05, coarse=0, foreground=0)

    def batch(step: int, part: int) -> Batch:
        images, labels = [], []
        for item in range(run.batch):
            rng = np.random.default_rng([run.schedule.seed, step, part, 2, item])
            image, label = draw(slices[int(rng.integers(len(slices)))].ready, view, rng, {}, None)
            images.append(image)
            labels.append(label)
        return Batch(torch.stack(images), torch.stack(labels))

    return batch


@dataclass(frozen=True)
class Spread:
    """One held-out slice: how its draws stand to its raters.

    Attributes:
        ged: squared generalised energy distance, 1 - IoU.
        divergence: Hausdorff divergence of the sets per square root of pixel.
        best: mean over raters of the best IoU of any draw with them.
        drawn, judged: standard deviation of the marked pixels, as a share of their mean, over draws and over raters.
    """

    patient: str
    ged: float
    divergence: float
    best: float
    drawn: float
    judged: float


def spreads(net: ProbUnet, slices: Sequence[Judged], patch: tuple[int, int]) -> list[Spread]:
    """Every slice, seven draws each, seed 0."""
    found = []
    still = View(
        patch=patch, rotate_deg=0, scale=0, elastic=0, shift=0, coarse=0, noise=0, bias=0, gamma=0, foreground=0
    )
    generator = torch.Generator().manual_seed(0)
    for one in track(slices, description="draws", disable=not sys.stderr.isatty(), transient=True):
        image, labels = draw(one.ready, still, np.random.default_rng(0), {}, None)
        with torch.no_grad():
            masks = net.draws(image[None], DRAWS, generator) > 0
        raters = raters_of(labels[None], len(RATERS)) > 0
        pixels = [torch.flatten(m.float(), 2) for m in (masks, raters)]
        best = pairwise_iou(raters, masks)[0].max(dim=1).values
        sizes = [p[0].sum(dim=1).numpy() for p in pixels]
        found.append(
            Spread(
                one.patient,
                float(generalised_energy_distance(masks, raters)),
                float(hausdorff_divergence(*pixels)) / float(np.sqrt(pixels[0].shape[2])),
                float(best.mean()),
                *(float(s.std() / max(s.mean(), 1.0)) for s in sizes),
            )
        )
    return found


def trained(run: RatersRun, distance: Distance, runs: Path) -> ProbUnet:
    """The averaged weights of one training.

    Raises:
        Unavailable: it has not been trained here.
    """
    weights = averaged_weights(run.folder(distance, runs) / "checkpoint.pt", run.name, run.name)
    net = ProbUnet(run.network)
    net.load_state_dict(weights)
    return net.eval()


def measure(run: RatersRun, folders: Folders, *, every: int) -> dict[Distance, list[Spread]]:
    """All trainings on every so many held-out slices."""
    slices = slices_of(run, DATASETS[run.data].cases(folders.data, "test"))[::every]
    return {distance: spreads(trained(run, distance, folders.runs), slices, run.patch) for distance in run.distances}


def table(found: Mapping[Distance, Sequence[Spread]]) -> str:
    """Markdown: a row per training."""
    lines = [
        "| taught by | GED squared (95 % interval) | Hausdorff divergence | best IoU per rater | spread of sizes: draws | raters |",
        f"|{'---|' * 6}",
    ]
    for distance, rows in found.items():
        ged = np.array([row.ged for row in rows])
        low, high = patient_interval(ged, [row.patient for row in rows])
        cells = [
            f"{np.mean([getattr(row, name) for row in rows]):.3f}" for name in ("divergence", "best", "drawn", "judged")
        ]
        lines.append(f"| {TITLES[distance]} | {ged.mean():.3f} ({low:.3f} to {high:.3f}) | {' | '.join(cells)} |")
    count = len(next(iter(found.values())))
    return "\n".join([*lines, "", f"{count} held-out slices, {DRAWS} draws from the prior, four made-up raters."])


def write(run: RatersRun, found: Mapping[Distance, Sequence[Spread]], path: Path) -> None:
    """Put the table into the report."""
    text = f"{table(found)} {run.schedule.steps} steps of {run.batch} slices each, seed {run.schedule.seed}."
    write_section(f"several raters, {run.name}", text, path)
