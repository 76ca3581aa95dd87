"""The limits of `segment_described` and of retrieval: one sentence on a warm slice, one query on a warm index.

Processor time is that of this process and of every process it started; other work on the machine lengthens the
wall time only.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import psutil

from ...imaging.errors import Unavailable
from ...imaging.phantoms import torso_ct
from ...retrieval.anatomy.structures import StructureTable
from ...retrieval.passages.corpus import bundled_passages
from ...tools.desk.desk import Desk
from ...tools.desk.knowledge import Knowledge, build
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import described

SIDE = 512
SENTENCES = (
    "the kidney on the patient's left", "the largest organ", "the organ that stores bile", "the left-most structure",
    "a dark area in the liver", "the structure below the spleen", "the smaller of the two kidneys",
    "the upper half of the liver", "the structure next to the left kidney", "the brightest structure",
)  # fmt: skip
ASKED_OF_NETWORKS = SENTENCES[:4]


@dataclass(frozen=True)
class Took:
    """Time of one call, in seconds.

    Attributes:
        cpu: of this process and its children.
    """

    wall: float
    cpu: float


def run(
    *, scan: str = "phantom", index: bool = True, store: Path | None = None, queries: int = 40, threads: int = 2
) -> str:
    """A Markdown table.

    Args:
        scan: "phantom" (the middle slice of imaging/phantoms.py at 512 x 512) or a picture or scan of one slice.
        index: ask the index, too.
        store: one whose index is built; without it, one is built here and timed.
        queries: how many different queries.
    """
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = _slice(Path(folder)) if scan == "phantom" else Path(scan).resolve()
        rows += _described(path, Path(folder), threads)
        if index:
            rows += [] if store else [_built(Path(folder) / "store", threads)]
            rows += _asked(store or Path(folder) / "store", queries)
    lines = ["| what | processor time, median | largest | wall time, median | largest |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    where = "the phantom's middle slice, 512 x 512" if scan == "phantom" else path.name
    return "\n".join([*lines, "", f"{where}, {threads} threads. {described()}."])


def timed(work: Callable[[], object]) -> Took:
    """How long something takes here and in the processes started from here."""
    before, started = _cpu(), time.perf_counter()
    work()
    return Took(time.perf_counter() - started, _cpu() - before)


def _cpu() -> float:
    own = psutil.Process()
    every = [own, *own.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in every) + sum(own.cpu_times()[2:4])


def _slice(folder: Path) -> Path:
    """The torso's slice through kidneys, liver and spleen, at 0.8 mm, filled up with air to 512 x 512."""
    volume = torso_ct(spacing_mm=(0.8, 0.8, 40.0)).volume
    middle = volume.array[:, :, volume.array.shape[2] // 2]
    array = np.full((SIDE, SIDE, 1), middle.min(), dtype=np.float32)
    shape = tuple(min(SIDE, n) for n in middle.shape)
    array[: shape[0], : shape[1], 0] = middle[: shape[0], : shape[1]]
    path = folder / "slice.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, volume.grid.affine), path)
    return path


def _described(path: Path, folder: Path, threads: int) -> list[tuple[str, ...]]:
    settings = Settings(store=folder / "store", roots=(path.parent, folder), threads=threads)
    rows = []
    with Desk(settings) as desk:
        image = str(use(desk, "open_image", path=str(path)).result.model_dump()["image_id"])

        def ask(text: str, model: str) -> None:
            use(desk, "segment_described", image_id=image, description=text, model=model, wait_s=300)

        for model, texts in (("auto", SENTENCES), ("flans", ASKED_OF_NETWORKS), ("lsms", ASKED_OF_NETWORKS)):
            first = timed(lambda model=model: ask("the liver", model))  # type: ignore[misc]  # bound now
            took = [timed(lambda text=text, model=model: ask(text, model)) for text in texts]  # type: ignore[misc]
            rows.append(_row(f"`segment_described` model={model}, first sentence, loading included", [first], "s"))
            rows.append(_row(f"`segment_described` model={model}, {len(texts)} further sentences", took, "s"))
    return rows


def _built(store: Path, threads: int) -> tuple[str, ...]:
    took = timed(lambda: build(store, threads=threads))
    return _row(f"`ostensor index build`, {len(bundled_passages())} passages", [took], "s")


def _asked(store: Path, count: int) -> list[tuple[str, ...]]:
    """Queries of the warm index.

    Raises:
        Unavailable: the store's index is missing or of other passages.
    """
    names = [row.name for row in StructureTable.bundled().rows]
    asked = [f"what lies near the {name}" for name in names[:: len(names) // count][:count]]
    knowledge = Knowledge(store, remember=0)
    if knowledge.lacking:
        raise Unavailable(knowledge.lacking)
    try:
        knowledge.retriever.search("warm up")
        whole = timed(lambda: [knowledge.retriever.search(text, 10) for text in asked])
        took = [Took(whole.wall / count, whole.cpu / count)]  # the clock of other processes ticks in 10 ms
        memory, pid = knowledge.retriever.nbytes / 1e6, knowledge.worker.pid
        resident = psutil.Process(pid).memory_info().rss / 1e6 if pid is not None else 0.0
    finally:
        knowledge.close()
    return [
        _row(f"one query of the index, warm, mean of {count}, encoder on one thread", took, "ms"),
        ("memory of the index", f"{memory:.1f} MB", "-", "-", "-"),
        ("memory of the encoder's process", f"{resident:.0f} MB", "-", "-", "-"),
    ]


def _row(what: str, took: list[Took], unit: str) -> tuple[str, ...]:
    scale = {"s": 1.0, "ms": 1000.0}[unit]
    cpu, wall = [one.cpu * scale for one in took], [one.wall * scale for one in took]
    figures = (statistics.median(cpu), max(cpu), statistics.median(wall), max(wall))
    return (what, *(f"{figure:.3g} {unit}" for figure in figures))
