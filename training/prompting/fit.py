"""`ostensor fit prompt-2d` and `prompt-3d`: from a configuration to a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from ...imaging.errors import BadCall
from ...models.promptable.scribbleprompt.network import ScribbleConfig, ScribbleUnet
from ..configuration import Configuration
from ..folders import Folders
from ..kinds import How
from ..objective import Batch
from ..start import bundled_weights
from ..trainer import Schedule, Stream, Trainer
from .objective import Rounds
from .pictures import Drawn, draw
from .pool import Page, pages
from .sets import SETS
from .volumes import Block, blocks, draw_block


@dataclass(frozen=True)
class PromptRun:
    """A run as its TOML file says it.

    Attributes:
        dims: 2 or 3.
        size: pixels or voxels per side of what the network is taught on.
        view: the same in use.
        coarse: share of the steps at half that size, four or eight times cheaper.
        rounds: of prompts per batch.
        batch, coarse_batch: pictures at once.
        most: pages kept of a set.
        made: chance of a superpixel in the place of a label.
        sets: that are trained on, and their weights in the draw.
        unseen: sets that are measured on, never trained on, and how many structures of each; fixed before any result was looked at.
        tried: what was tried for the goals that were missed; for the card.
        start: "random", or a bundled 2-D network of the same widths that a 3-D one begins with.
        unseen_modality: the kind of picture none of `sets` has.
    """

    name: str
    title: str
    dims: int
    size: int
    view: int
    coarse: float
    rounds: int
    batch: int
    coarse_batch: int
    most: int
    made: float
    sets: dict[str, float]
    unseen: dict[str, int]
    unseen_modality: str
    start: str
    tried: str
    network: ScribbleConfig
    schedule: Schedule


def read(given: Configuration) -> PromptRun:
    """The run of a configuration.

    Raises:
        BadCall: a key or set that is not known, a set whose terms forbid training, or one that is both trained on and unseen.
    """
    given.refuse_unknown({field.name for field in fields(PromptRun)})
    values = given.values
    network = ScribbleConfig(
        tuple(values["network"]["features"]), values["dims"], bool(values["network"].get("guided", False))
    )
    run = PromptRun(
        **{
            **values,
            "network": network,
            "schedule": Schedule(**values["schedule"]),
        }
    )
    if unknown := sorted({*run.sets, *run.unseen} - set(SETS)):
        raise BadCall(f"Unknown set '{unknown[0]}'. Known: {', '.join(SETS)}.")
    if both := sorted(set(run.sets) & set(run.unseen)):
        raise BadCall(f"'{both[0]}' is to be trained on and to be unseen. Take it out of one of the two.")
    if forbidden := [name for name in run.sets if SETS[name].use == "evaluation"]:
        raise BadCall(f"The terms of '{forbidden[0]}' ({SETS[forbidden[0]].licence}) allow no training. Leave it out.")
    if run.size % (2 * network.stride):
        raise BadCall(f"`size` must be a multiple of {2 * network.stride}, got {run.size}.")
    return run


def fit(run: PromptRun, folders: Folders, how: How) -> Path:
    """Train, and answer the run folder."""
    stream = stream_of(run, folders.data)
    trainer = trainer_of(run, folders.runs, device=how.device)
    if how.resume:
        trainer.resume()
    trainer.fit(stream, until=how.until)
    return trainer.folder


def trainer_of(run: PromptRun, runs: Path, *, device: str = "cpu") -> Trainer:
    """Network, objective and schedule in their run folder."""
    torch.manual_seed(run.schedule.seed)
    net = ScribbleUnet(run.network)
    if run.start != "random":
        net.load_state_dict(deepened(bundled_weights(run.start)))
    return Trainer(net, Rounds(run.rounds, guided=run.network.guided), run.schedule, runs / run.name, device=device)


def deepened(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A 2-D network's weights for three dimensions: every kernel a third of itself in each of three slices.

    On a scan that is the same in every slice the deeper network answers as the flat one. Source: Carreira and Zisserman 2017 (I3D).
    """
    return {
        key: value if value.dim() != 4 else (value[..., None] / value.shape[-1]).repeat(1, 1, 1, 1, value.shape[-1])
        for key, value in weights.items()
    }


def stream_of(run: PromptRun, data: Path) -> Stream:
    """Batches of random views, a function of (step, part) only."""
    if run.dims == 3:
        return stream_of_pool(run, {name: blocks(name, data, run.most) for name in run.sets})
    return stream_of_pool(run, {name: pages(name, data, run.most) for name in run.sets})


def stream_of_pool(run: PromptRun, pool: Mapping[str, Sequence[Page] | Sequence[Block]]) -> Stream:
    """Batches of views of these pages or scans."""
    names = list(pool)
    weights = np.array([run.sets[name] for name in names])

    def batch(step: int, part: int) -> Batch:
        is_coarse = step < run.coarse * run.schedule.steps
        size, count = (run.size // 2, run.coarse_batch) if is_coarse else (run.size, run.batch)
        drawn = []
        for item in range(count):
            rng = np.random.default_rng([run.schedule.seed, step, part, 2, item])
            own = pool[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
            drawn.append(_drawn(own[int(rng.integers(len(own)))], size, run.made, rng))
        images = torch.from_numpy(np.stack([one.image for one in drawn]))[:, None]
        return Batch(images, torch.from_numpy(np.stack([one.mask for one in drawn]).astype(np.uint8)))

    return batch


def _drawn(one: Page | Block, size: int, made: float, rng: np.random.Generator) -> Drawn:
    return draw_block(one, size, rng) if isinstance(one, Block) else draw(one, size, rng, made=made)
