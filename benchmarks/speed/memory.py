"""Memory a request was thought to need, beside what the worker's process had at its peak."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...imaging.phantoms import torso_ct
from ...imaging.volume import Grid
from ...models import catalogue
from ...models.card import Card
from ...models.interface import Pointing
from ...models.memory import request_mb
from ...workers.local import LocalWorkers
from ...workers.protocol import ReferRequest, SegmentRequest, WorkerOptions
from ..machine import described

SIZES = ((128, 128, 96), (256, 256, 160))
WORDS = 12
RIGHT = 0.3  # a prediction further off than this is no prediction


def run(*, report: Callable[[float, str], None] = lambda share, words: None) -> str:
    """A Markdown table: each bundled network at two sizes of scan, in a process of its own each."""
    cards = [one for one in catalogue.catalogue() if one.weights == "bundled" and one.task in ("segment", "refer")]
    lines = ["| model | scan | predicted, MB | measured, MB | predicted / measured |", "|---|---|---|---|---|"]
    ratios = []
    todo = [(card, shape) for card in cards for shape in _shapes(card)]
    for number, (card, shape) in enumerate(todo):
        report(number / len(todo), card.name)
        grid = Grid(shape, np.diag([300.0 / shape[0], 300.0 / shape[1], 240.0 / max(shape[2], 2), 1.0]))
        predicted, measured = request_mb(card, grid, WORDS), _peak_mb(card, grid)
        ratios.append(predicted / measured)
        size = " x ".join(str(edge) for edge in shape)
        lines.append(f"| {card.name} | {size} | {predicted} | {measured} | {ratios[-1]:.2f} |")
    fine = sum(abs(ratio - 1) <= RIGHT for ratio in ratios)
    told = f"{fine} of {len(ratios)} within {RIGHT:.0%}; lowest {min(ratios):.2f}, highest {max(ratios):.2f}. {described()}."
    return "\n".join([*lines, "", told])


def _shapes(card: Card) -> tuple[tuple[int, int, int], ...]:
    return SIZES if card.task == "segment" else ((512, 512, 1),)


def _peak_mb(card: Card, grid: Grid) -> int:
    """Greatest resident memory, in MB, of a fresh worker's process that answered one request."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npy"
        scan = torso_ct(seed=0).volume.array if card.modalities[0] == "ct" else torso_ct(seed=0).volume.array + 1000
        index = np.ix_(*(np.arange(edge) * have // edge for edge, have in zip(grid.shape, scan.shape, strict=True)))
        np.save(path, np.ascontiguousarray(scan[index]).astype(np.int16))
        workers = LocalWorkers(WorkerOptions(threads=1))
        try:
            kind, more = (
                (ReferRequest, {"pointing": Pointing("slice", None)}) if card.task == "refer" else (SegmentRequest, {})
            )
            names = ("the liver",) if card.task == "refer" else card.claimed[:WORDS]
            request = kind(
                uuid.uuid4().hex, str(path), grid, card.modalities[0], False, "k", card.name, tuple(names), **more  # type: ignore[arg-type]
            )  # fmt: skip
            workers.run(request, on_progress=lambda share, words: None, cancelled=threading.Event())
            status = Path(f"/proc/{workers.pid}/status").read_text(encoding="ascii")
        finally:
            workers.close()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) // 1024
