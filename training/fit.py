"""`ostensor fit CONFIG`: from a TOML file and the data folder to a checkpoint and a log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ..imaging.errors import BadCall
from ..models.late_fusion import SatMini
from ..models.text import known_vectors
from ..retrieval.structures import StructureTable
from .config import APPEARANCES, RunConfig, data_folder, read_config
from .objectives import Batch, TextPrompted
from .sampling import Ready, draw, make_ready
from .survival import find_prognosis, fit_prognosis
from .trainer import Stream, Trainer

log = logging.getLogger(__name__)
RUNS = Path(__file__).resolve().parents[1] / "runs"


def fit(
    config: str | Path, *, device: str = "cpu", resume: bool = True, runs: Path = RUNS, until: int | None = None
) -> Path:
    """Train a configuration and answer its run folder.

    Args:
        resume: go on from the run's checkpoint when there is one.
        until: stop after this many steps; the schedule stays the same.
    """
    if (other := find_prognosis(config)) is not None:
        return fit_prognosis(other, data=data_folder(), runs=runs)
    plan = read_config(config)
    torch.manual_seed(plan.schedule.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    model = SatMini(plan.network)
    trainer = Trainer(model, objective_of(plan), plan.schedule, runs / plan.name, device=device)
    if resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    trainer.fit(stream_of(plan, data_folder()), until=until)
    return trainer.folder


def objective_of(plan: RunConfig) -> TextPrompted:
    """The text-prompted objective over the run's structures, with all their synonyms."""
    structures = plan.structures
    absent = sorted({name for source in plan.sources for name in source.dataset.absent} - set(structures))
    names = names_of([*structures, *absent])
    vectors = known_vectors()
    return TextPrompted(
        structures=structures,
        vectors={term: torch.from_numpy(vectors[term]) for terms in names.values() for term in terms},
        names=names,
        absent=absent,
        negatives=plan.negatives,
        queries=plan.queries,
        balance=plan.balance,
    )


def names_of(structures: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Structure -> itself and its synonyms; itself comes as often as all synonyms together."""
    table = StructureTable.bundled()
    names = {}
    for name in structures:
        synonyms = table.resolve(name).synonyms
        names[name] = (name,) * max(1, len(synonyms)) + tuple(synonyms)
    return names


def stream_of(plan: RunConfig, data: Path) -> Stream:
    """Batches of random views of the training cases, a function of (step, part) only."""
    pools: list[tuple[list[Ready], list[Ready], str, dict[int, int]]] = []
    for source in plan.sources:
        cases = source.dataset.cases(data, "train")
        ready = [
            item for case in cases for item in make_ready(case, plan.preparation, as_slices=plan.network.dims == 2)
        ]
        if not ready:
            raise BadCall(f"The data set '{source.dataset.name}' has no training cases. Check its folder.")
        real = [item for item in ready if item.image is not None]
        made = [item for item in ready if item.image is None]
        pools.append((real, made, source.dataset.name, dict(source.dataset.mirrored)))
    weights = np.array([source.weight for source in plan.sources])
    weights = weights / weights.sum()

    def batch(step: int, part: int) -> Batch:
        images, labels = [], []
        for item in range(plan.batch):
            rng = np.random.default_rng([plan.schedule.seed, step, part, 2, item])
            real, made, name, mirrored = pools[int(rng.choice(len(pools), p=weights))]
            pool = real if not made or (real and rng.random() < plan.real_share) else made
            image, label = draw(pool[int(rng.integers(len(pool)))], plan.view, rng, mirrored, APPEARANCES.get(name))
            images.append(image)
            labels.append(label)
        return Batch(torch.stack(images), torch.stack(labels))

    return batch


if __name__ == "__main__":
    import sys

    fit(sys.argv[1])
