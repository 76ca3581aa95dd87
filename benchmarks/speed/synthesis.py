"""How long a synthetic volume of 128 x 128 x 128 voxels takes through the tools, by every bundled engine.

Each is asked twice: first with loading the network, then warm. Processor time is that of this process and of every
process it started.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from ...imaging.errors import BadCall
from ...imaging.volume import BoolArray, Grid, Mask, Volume
from ...models.synthesis.available import SynthesisNetwork
from ...models.synthesis.scales import Made
from ...models.synthesizers import synthesis_networks
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import described
from .words import Took, timed

SIDE = 128
GOAL_S = 180


class _Peak(threading.Thread):
    """Most memory of this process and its children while it runs, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb, self._over = 0.0, threading.Event()

    def run(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.2):
            with contextlib.suppress(psutil.NoSuchProcess):  # a child that ends meanwhile
                every = [own, *own.children(recursive=True)]
                self.mb = max(self.mb, sum(one.memory_info().rss for one in every) / 1e6)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.mb


def run(*, side: int = SIDE, quality: str = "standard", threads: int = 2, engine: str = "") -> str:
    """A Markdown table.

    Args:
        engine: this one alone; "" for every one.
        quality: as `synthesize_image` takes it.
    """
    every = [None, *synthesis_networks().values()]
    asked = [one for one in every if engine in ("", "classical" if one is None else one.name)]
    if not asked:
        raise BadCall(f"Unknown engine '{engine}'. Known: {', '.join(('classical', *synthesis_networks()))}.")
    rows = [_asked(one, side, quality, threads) for one in asked]
    head = ["| engine | task | first, wall s | warm, wall s | warm, CPU s | peak MB |", "|---|---|---|---|---|---|"]
    foot = f"{side} x {side} x {side} voxels, quality {quality}, {threads} threads, goal {GOAL_S} s. {described()}."
    return "\n".join([*head, *rows, "", foot])


def _asked(one: SynthesisNetwork | None, side: int, quality: str, threads: int) -> str:
    """A row of the table; None is the classical engine, asked for a CT."""
    spacing = one.spacing_mm if one is not None else 2.0
    grid = Grid((side, side, side), np.diag([spacing, spacing, spacing, 1.0]))
    modality: Made = "ct" if one is None or "ct" in one.makes else "mr"
    names = one.vocabulary if one is not None and one.vocabulary else ("liver", "spleen", "left kidney")
    watch = _Peak()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            store=Path(folder), roots=(Path(folder),), threads=threads, toolsets=("core", "clinical", "synthesis")
        )
        with Desk(settings) as desk:
            scan = desk.store.add_image(Volume(_grey(names, grid, modality), grid, modality), source_name="blocks")
            ids = [
                desk.store.add_mask(Mask(mask, grid), image_id=scan.image_id, structure=name).mask_id
                for name, mask in zip(names, blocks(len(names), side), strict=True)
            ]
            watch.start()
            engine = "classical" if one is None else one.name

            def ask(seed: int) -> None:
                how = {"quality": quality, "seed": seed, "wait_s": 300}
                if one is not None and one.task == "translate":
                    answer = use(desk, "translate_image", image_id=scan.image_id, modality="mr", **how)
                else:
                    answer = use(desk, "synthesize_image", modality=modality, mask_ids=ids, engine=engine, **how)
                if not answer.result.model_dump().get("image_id"):
                    raise RuntimeError(f"{engine} took longer than five minutes")

            try:
                first = timed(lambda: ask(0))
                warm = timed(lambda: ask(1))
            finally:
                peak = watch.stop()
    return _row(engine, "synthesize" if one is None else one.task, first, warm, peak)


def blocks(count: int, side: int) -> list[BoolArray]:
    """Boxes side by side that together fill most of a volume."""
    edges = np.linspace(side // 8, side - side // 8, count + 1).astype(int)
    made = []
    for low, high in itertools.pairwise(edges):
        mask = np.zeros((side, side, side), np.bool_)
        mask[low:high, side // 4 : -side // 4, side // 8 : -side // 8] = True
        made.append(mask)
    return made


def _grey(names: tuple[str, ...], grid: Grid, modality: Made) -> npt.NDArray[np.int16]:
    """A scan to lay the masks on and to translate: blocks of rising values."""
    values = np.full(grid.shape, -1000 if modality == "ct" else 0, np.int16)
    for number, mask in enumerate(blocks(len(names), grid.shape[0])):
        values[mask] = 20 + 20 * number
    return values


def _row(engine: str, task: str, first: Took, warm: Took, peak: float) -> str:
    return f"| {engine} | {task} | {first.wall:.1f} | {warm.wall:.1f} | {warm.cpu:.1f} | {peak:.0f} |"


if __name__ == "__main__":
    print(run())
