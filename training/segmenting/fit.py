"""`ostensor fit CONFIG`: from a TOML file and the data folder to a checkpoint and a log."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ...imaging.errors import BadCall
from ...imaging.formats.atomic import write_atomically
from ...models.language.satmini.fixed_classes import FixedClasses
from ...models.language.satmini.network import SatMini
from ...models.text.encoders import known_vectors
from ...retrieval.anatomy.structures import StructureTable
from ..data.datasets import APPEARANCES
from ..folders import RUNS, data_folder
from ..objective import Batch, Objective
from ..prognosis.fit import fit_prognosis
from ..prognosis.plan import find_prognosis
from ..regimes.by_words import Supervised, TextPrompted
from ..runlog import read_log
from ..sampling import Ready, draw, make_ready
from ..start import FIRST, bundled_weights, widened
from ..trainer import Stream, Trainer
from .config import RunConfig, read_config

log = logging.getLogger(__name__)


def fit(
    config: str | Path,
    *,
    device: str = "cpu",
    resume: bool = True,
    runs: Path = RUNS,
    until: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
) -> Path:
    """Train a configuration and answer its run folder.

    Args:
        resume: go on from the run's checkpoint when there is one.
        until: stop after this many steps; the schedule stays the same.
        seed: another one than the configuration's; the run is then called NAME-seedN, a member of a pool.
        steps: of the whole schedule, in the place of the configuration's.

    Raises:
        BadCall: a prognosis model is to be a member of a pool.
    """
    if (seed is not None or steps is not None) and find_prognosis(config) is not None:
        raise BadCall(f"'{config}' is a prognosis model. --seed and --steps are for networks that segment.")
    if (other := find_prognosis(config)) is not None:
        return fit_prognosis(other, data=data_folder(), runs=runs)
    given = read_config(config)
    plan = member_of(given, seed=seed, steps=steps)
    torch.manual_seed(plan.schedule.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    trainer = Trainer(network_of(plan), objective_of(plan), plan.schedule, runs / plan.name, device=device)
    if resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    elif plan.start == "bundled":
        _load_bundled(trainer, given.name)
    stream, counts = stream_of(plan, data_folder())
    trainer.fit(stream, until=until)
    write_record(trainer, plan, counts)
    return trainer.folder


def member_of(plan: RunConfig, *, seed: int | None = None, steps: int | None = None) -> RunConfig:
    """The run with another seed, under a name of its own, or of another length."""
    if steps is not None:
        plan = replace(plan, schedule=replace(plan.schedule, steps=steps))
    if seed is None:
        return plan
    return replace(plan, name=f"{plan.name}-seed{seed}", schedule=replace(plan.schedule, seed=seed))


def network_of(plan: RunConfig) -> SatMini | FixedClasses:
    """The untrained network of a run."""
    if plan.objective == "supervised":
        return FixedClasses(plan.network, list(plan.structures))
    return SatMini(plan.network)


def _load_bundled(trainer: Trainer, name: str) -> None:
    given = {**trainer.model.state_dict(), **bundled_weights(name)}
    if isinstance(trainer.model, SatMini):
        given[FIRST] = widened(given[FIRST], trainer.model.config.channels)
    trainer.model.load_state_dict(given)
    trainer.average = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def objective_of(plan: RunConfig) -> Objective:
    """What the run optimises."""
    if plan.objective == "supervised":
        return Supervised(structures=plan.structures, balance=plan.balance)
    return _text_prompted(plan)


def _text_prompted(plan: RunConfig) -> TextPrompted:
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


def stream_of(plan: RunConfig, data: Path) -> tuple[Stream, dict[str, int]]:
    """Batches of random views of the training cases, a function of (step, part) only; and cases per data set."""
    counts: dict[str, int] = {}
    pools: list[tuple[list[Ready], list[Ready], str, dict[int, int]]] = []
    for source in plan.sources:
        cases = source.dataset.cases(data, "train")
        ready = [
            item
            for case in cases
            for item in make_ready(
                case, plan.preparation, as_slices=plan.network.dims == 2, neighbours=plan.network.neighbours
            )
        ]
        if not ready:
            raise BadCall(f"The data set '{source.dataset.name}' has no training cases. Check its folder.")
        counts[source.dataset.name] = len(cases)
        real = [item for item in ready if item.image is not None]
        made = [item for item in ready if item.image is None]
        if made and plan.network.neighbours:
            raise BadCall(
                f"'{source.dataset.name}' has label maps without images, whose pictures have no neighbours. Set neighbours = 0."
            )
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

    return batch, counts


def write_record(trainer: Trainer, plan: RunConfig, counts: Mapping[str, int]) -> None:
    """Write `run.json`: what was learned from what, how long it took and where."""
    columns = read_log(trainer.folder / "log.csv")
    record = {
        "name": plan.name,
        "objective": trainer.objective.name,
        "paper": trainer.objective.paper,
        "start": plan.start,
        "cases": dict(counts),
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "schedule": asdict(plan.schedule),
        "steps": trainer.step,
        "cpu_hours": round(sum(columns["cpu_s"]) / 3600, 2),
        "device": str(trainer.device),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "last_losses": {
            name: round(float(np.mean(values[-50:])), 4)
            for name, values in columns.items()
            if name not in ("step", "lr", "cpu_s")
        },
    }
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(trainer.folder / "run.json", lambda file: file.write(text.encode()))
