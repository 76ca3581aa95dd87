"""`ostensor fit flans` and `ostensor fit lsms`: the small referring networks, trained by the one trainer."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...models.language.flans import network as flans
from ...models.language.flans.image import Trunk
from ...models.language.lsms import network as lsms
from ...models.text.sentences import SentenceEncoder, States
from ..configuration import Configuration
from ..folders import Folders
from ..kinds import How
from ..objective import Objective
from ..start import averaged_weights, bundled_weights
from ..trainer import Schedule, Trainer
from .objective import FlansObjective, LsmsObjective, Vocabulary
from .pairs import every_sentence
from .stream import DATASETS, stream_of

log = logging.getLogger(__name__)
STATES = "sentences.npz"  # in the run folder: token states of every sentence that is taught
_AT_ONCE = 128  # sentences per pass of the language model


@dataclass(frozen=True)
class ReferringRun:
    """A run as its TOML file says it; see `referring_objective` and `referring_stream` for the numbers.

    Attributes:
        size: pixels per side.
        trunk: bundled SAT-mini whose U-Net the image encoder begins with; empty without one.
        start: name of the bundled weights it begins with; "" begins with random ones.
    """

    name: str
    title: str
    network: Literal["flans", "lsms"]
    data: Mapping[str, float]
    schedule: Schedule
    batch: int
    sentences: int = 4
    moved: float = 0.5
    lesions: float = 0.5
    contrast: float = 0.1
    size: int = 128
    trunk: str = ""
    frozen: float = 0.0
    forget: float = 0.0
    named: float = 0.55
    opposed: float = 0.0
    rivals: float = 0.0
    start: str = ""

    def untrained(self) -> flans.Flans | lsms.Lsms:
        """The network before its first step, a trunk without its weights; seed the generator first."""
        return flans.Flans(flans.MINI) if self.network == "flans" else lsms.Lsms(lsms.MINI)


def read(given: Configuration) -> ReferringRun:
    """The run of a configuration.

    Raises:
        BadCall: a key, data set or network that is not known, or a size that does not fit.
    """
    given.refuse_unknown({field.name for field in fields(ReferringRun)})
    values = given.values
    run = ReferringRun(**{**values, "start": given.start(), "schedule": Schedule(**values["schedule"])})
    if run.network == "flans" and run.size != flans.MINI.encoder.size:
        raise BadCall(f"FLanS takes pictures of {flans.MINI.encoder.size} pixels, not {run.size}. Change `size`.")
    missing = set(run.data) - set(DATASETS)
    if missing or run.network not in ("flans", "lsms"):
        wrong = f"data sets {sorted(missing)}" if missing else f"network '{run.network}'"
        raise BadCall(f"Unknown {wrong}. Known: {', '.join(DATASETS)}; flans, lsms. Change the configuration.")
    return run


def fit(run: ReferringRun, folders: Folders, how: How) -> Path:
    """Train a referring network and answer its run folder."""
    torch.manual_seed(run.schedule.seed)
    net = run.untrained()
    if run.trunk:
        load_trunk(net, run.trunk)
    if run.start:
        net.load_state_dict({**net.state_dict(), **bundled_weights(run.start)})
    trainer = Trainer(net, objective_of(run, folders.runs), run.schedule, folders.runs / run.name, device=how.device)
    if how.resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    stream = stream_of(
        run.data,
        folders.data,
        seed=run.schedule.seed,
        batch=run.batch,
        size=run.size,
        lesions=run.lesions,
    )
    trainer.fit(stream, until=how.until)
    return trainer.folder


def load_trunk(net: flans.Flans | lsms.Lsms, name: str) -> None:
    """Give an image encoder's trunk the weights of a bundled SAT-mini.

    Raises:
        BadCall: the network has no trunk.
        Unavailable: the weights are not here.
    """
    trunk = net.image_encoder.patch_embed if isinstance(net, flans.Flans) else None
    if not isinstance(trunk, Trunk):
        raise BadCall("This network has no trunk. Take `trunk` out of the configuration.")
    known, own = bundled_weights(name), trunk.state_dict()
    wanted = {key: known.get(key) for key in own if not key.endswith("num_batches_tracked")}
    if any(value is None or value.shape != own[key].shape for key, value in wanted.items()):
        raise BadCall(f"'{name}' is no U-Net of the trunk's shape. Take a 2-D SAT-mini with the same channels.")
    trunk.load_state_dict({**own, **wanted})


def objective_of(run: ReferringRun, runs: Path) -> Objective:
    """The run's objective, with the states of all its sentences."""
    vocabulary = vocabulary_of(runs / run.name / STATES)
    if run.network == "flans":
        return FlansObjective(
            vocabulary,
            run.sentences,
            run.moved,
            frozen=run.frozen,
            forget=run.forget,
            named=run.named,
            opposed=run.opposed,
            rivals=run.rivals,
        )
    return LsmsObjective(vocabulary, run.contrast, run.forget)


def vocabulary_of(path: Path) -> Vocabulary:
    """States of every sentence of the training part, from the file if it holds them, else made and written."""
    sentences = every_sentence("train")
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            if list(stored["sentences"]) == sentences:
                return Vocabulary(
                    sentences, States(stored["values"].astype(np.float32), stored["valid"], stored["cut"])
                )
    encoder = SentenceEncoder()
    parts = [encoder.states(sentences[n : n + _AT_ONCE]) for n in range(0, len(sentences), _AT_ONCE)]
    values = np.concatenate([part.values for part in parts]).astype(np.float16)
    valid, cut = (np.concatenate([getattr(part, name) for part in parts]) for name in ("valid", "cut"))
    if cut.any():
        raise BadCall(f"The sentence '{sentences[int(cut.argmax())]}' is too long to be taught. Shorten it.")
    buffer = io.BytesIO()
    np.savez(buffer, sentences=np.array(sentences), values=values, valid=valid, cut=cut)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
    return Vocabulary(sentences, States(values.astype(np.float32), valid, cut))


def trained(run: ReferringRun, runs: Path) -> flans.Flans | lsms.Lsms:
    """The averaged weights of a run.

    Raises:
        Unavailable: the run has no checkpoint yet.
    """
    weights = averaged_weights(runs / run.name / "checkpoint.pt", run.name, run.network)
    net = run.untrained()
    net.load_state_dict(weights)
    return net.eval()
