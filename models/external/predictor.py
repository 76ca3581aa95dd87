"""An engine in a process of its own, as a model like any other: resident, cancellable, its geometry proven."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ...imaging.volume import BoolArray, Volume
from ..card import Card
from ..interface import Decoded, Running
from .adapters import adapter_of
from .engine import Engine, read_engine
from .orientation import turn_to
from .process import EngineProcess
from .refusals import refusal
from .shelf import check_files, is_current

Array = npt.NDArray[Any]
Tell = Callable[[float, str], None]
KEPT_ANSWERS = 4  # label maps of the scans asked about last


@dataclass(frozen=True)
class Found:
    """What an engine said of one scan, on the scan's own grid.

    Attributes:
        labels: numbers of its label map, or where masks overlap (number x y z) booleans.
        asked: structures that were asked for; None when it looked for everything it knows.
    """

    labels: Array
    asked: frozenset[str] | None

    def has(self, structures: Sequence[str]) -> bool:
        """Whether these were looked for."""
        return self.asked is None or set(structures) <= self.asked


def load(card: Card, path: Path, how: Running) -> Any:
    """The engine behind a card, its files compared with what they were.

    Args:
        path: its engine.toml.

    Raises:
        OstensorError: files are missing or changed, code that nobody trusts, a server that is away.
    """
    engine = read_engine(path.read_text(encoding="utf-8"))
    adapter = adapter_of(engine.adapter)
    check_files(engine)
    if adapter.takes_code and not engine.trust_code:
        raise refusal(
            "engine_code_untrusted",
            f"'{engine.name}' holds code that would run. If you trust it, add it again with --trust-code.",
        )
    if adapter.client:
        return adapter.client_of()(card, engine)
    return HostedPredictor(card, engine, how)


class HostedPredictor:
    """An engine that runs in a process of ours; started with the first question."""

    def __init__(self, card: Card, engine: Engine, how: Running) -> None:
        self.card, self.spec, self.how = card, engine, how
        self.engine = engine.adapter
        self._process: EngineProcess | None = None
        self._answers: OrderedDict[str, Found] = OrderedDict()

    def look(
        self,
        volumes: Sequence[Volume],
        key: str,
        structures: Sequence[str],
        *,
        progress: Tell,
        cancelled: Callable[[], bool],
    ) -> tuple[list[Decoded], bool]:
        """One mask per structure.

        Args:
            volumes: one for each channel, on one grid.
            key: of the scan; what was found is kept under it. "" keeps nothing.

        Returns:
            The masks, and whether the engine had to be asked.

        Raises:
            BadCall: a scan the engine does not take.
            OstensorError: it is missing, changed, crashed, out of memory, hangs, or its answer is not on the scan's grid.
        """
        known = self._answers.get(key) if key else None
        asked = known is None or not known.has(structures)
        if known is None or asked:
            known = self._ask(volumes, structures, progress, cancelled)
            if key:
                self._answers[key] = known
                self._answers.move_to_end(key)
                while len(self._answers) > KEPT_ANSWERS:
                    self._answers.popitem(last=False)
        return [self._decoded(known.labels, name) for name in structures], asked

    def is_current(self) -> bool:
        """Whether its engine.toml still says what it was loaded from."""
        return is_current(self.spec, Path(self.card.weights_file))

    def close(self) -> None:
        """End its process."""
        if self._process is not None:
            self._process.close()
        self._process = None

    def _decoded(self, labels: Array, structure: str) -> Decoded:
        values = self.spec.values_of(structure)
        if not values:
            raise BadCall(f"'{self.spec.name}' does not know '{structure}'. list_models tells what it knows.")
        if labels.ndim == 4:
            mask: BoolArray = np.any(labels[[v for v in values if v < len(labels)]], axis=0)
        else:
            mask = np.equal(labels, values[0]) if len(values) == 1 else np.isin(labels, values)
        return Decoded(structure, mask, None, None)

    def _ask(
        self, volumes: Sequence[Volume], structures: Sequence[str], progress: Tell, cancelled: Callable[[], bool]
    ) -> Found:
        check_channels(self.spec, volumes)
        grid = volumes[0].grid
        turn = turn_to(grid, self.spec.orientation)
        process = self._running(progress, cancelled)
        folder = process.folder.run()
        try:
            turned = turn.grid(grid)
            files = []
            for number, volume in enumerate(volumes):
                np.save(folder / f"image{number}.npy", turn.of(volume.array))
                files.append(str(folder / f"image{number}.npy"))
            answer = process.ask(
                "run",
                lambda share, message: progress(0.1 + 0.85 * share, message or f"{self.spec.name} looks"),
                cancelled,
                images=files,
                affine=turned.affine.tolist(),
                spacing=list(turned.spacing_mm),
                folder=str(folder),
                wanted=sorted({v for name in structures for v in self.spec.values_of(name)}),
            )
            labels = read_answer(self.spec, folder / "answer.npy", turned.shape)
            whole = answer.get("whole", True)
            labels = np.stack([turn.back(one) for one in labels]) if labels.ndim == 4 else turn.back(labels)
            return Found(labels, None if whole else frozenset(structures))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _running(self, progress: Tell, cancelled: Callable[[], bool]) -> EngineProcess:
        if self._process is not None and self._process.is_alive:
            return self._process
        self.close()
        progress(0.02, f"starting {self.spec.name}")
        adapter = adapter_of(self.spec.adapter)
        self._process = EngineProcess(
            self.spec.name,
            adapter.hosted,
            python=self.spec.python,
            memory_mb=self.spec.memory_mb,
            threads=self.how.threads,
            network=self.spec.network,
            environment=adapter.environment,
            data_limit=self.spec.device == "cpu",
            cancelled=cancelled,
        )
        try:
            told = self._process.ask(
                "load",
                lambda share, message: progress(0.02 + 0.08 * share, message),
                cancelled,
                weights=str(Path(self.spec.folder)) if self.spec.folder else "",
                device=self.spec.device if self.how.device == "cpu" else self.how.device,
                threads=self.how.threads or 0,
                options=dict(self.spec.options),
                classes={one.label: list(one.values) for one in self.spec.classes},
            )
        except BaseException:
            self.close()
            raise
        self.engine = f"{self.spec.adapter} {told.get('version', '')}".strip() + f", network: {self._process.network}"
        return self._process


def check_channels(engine: Engine, volumes: Sequence[Volume]) -> None:
    """Refuse too few or too many images, other grids, and scans without a voxel size.

    Raises:
        BadCall: one of these.
    """
    wanted = len(engine.channels)
    if len(volumes) != wanted:
        raise BadCall(
            f"'{engine.name}' takes {wanted} image{'s' if wanted > 1 else ''} ({', '.join(engine.channels)}), in this order; "
            f"{len(volumes)} came. Give the others in `channels` of segment."
        )
    if any(not volume.grid.same_as(volumes[0].grid) for volume in volumes[1:]):
        raise BadCall("The channels do not lie on one grid. Register and resample them first, then open them again.")
    if not volumes[0].grid.spacing_known:
        raise BadCall(f"'{engine.name}' needs the voxel size. Open the image again with spacing_mm.")


def read_answer(engine: Engine, path: Path, shape: tuple[int, int, int]) -> Array:
    """The label map an engine wrote, proven to be one on the grid it was given.

    Raises:
        Failed: it is missing, of another shape or type, or holds numbers no label map has.
    """
    broken = f"The answer of '{engine.name}' cannot be used: "
    if not path.is_file():
        raise refusal(
            "engine_geometry_broken", f"{broken}it wrote no mask. Run `ostensor engines check {engine.name}`."
        )
    try:
        labels: Array = np.lib.format.open_memmap(path, mode="r")  # only its shape is read, whatever its size
    except (ValueError, OSError):
        raise refusal("engine_geometry_broken", f"{broken}its file is damaged. Call again.") from None
    most = 1 + max((value for one in engine.classes for value in one.values), default=0)
    if labels.ndim == 4 and labels.dtype == np.bool_ and labels.shape[1:] == shape and len(labels) <= most:
        return labels
    if labels.shape != shape:
        raise refusal("engine_geometry_broken", f"{broken}it has shape {labels.shape}, the scan {shape}.")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
            raise refusal("engine_geometry_broken", f"{broken}it holds NaN or fractions, not labels.")
        labels = labels.astype(np.int32)
    if labels.dtype.kind not in "iub" or (labels.size and (labels.min() < 0 or labels.max() > 65535)):
        raise refusal("engine_geometry_broken", f"{broken}it holds numbers that are no labels.")
    return labels.astype(np.uint8 if not labels.size or labels.max() < 256 else np.uint16)
