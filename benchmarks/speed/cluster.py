"""What a Ray cluster adds to a warm call: the same request, asked of a local worker and of a replica in turn."""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...imaging.errors import BadCall
from ...imaging.phantoms import torso_ct
from ...imaging.volume import Grid
from ...models import catalogue
from ...workers.cluster.address import cluster_of
from ...workers.cluster.client import ClusterWorkers
from ...workers.local import LocalWorkers, Segmented, Workers
from ...workers.protocol import SegmentRequest, WorkerOptions
from ..machine import described

SHAPES = ((64, 64, 48), (128, 128, 96), (256, 256, 160))
MODEL = "sat-mini-torso"
WARMING = 20  # calls of each that are not counted: Serve's own paths are slow at first


def run(workers: str = "ray", *, calls: int = 200) -> str:
    """A Markdown table: the median warm call of both at three sizes, one structure and five, and the difference.

    Raises:
        BadCall: `workers` names no cluster.
        Unavailable: as `ClusterWorkers`.
    """
    address = cluster_of(workers)
    if address is None:
        raise BadCall(
            "--workers local is what the cluster is compared with. Name a cluster: ray, ray://auto or ray://HOST:PORT."
        )
    card = catalogue.card(MODEL)
    options = WorkerOptions(threads=1)
    local, cluster = LocalWorkers(options), ClusterWorkers(address, options)
    lines = [
        "| scan | structures | local, ms: median | fastest | cluster, ms: median | fastest | added: median | fastest | masks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    added = []
    try:
        with TemporaryDirectory() as folder:
            for shape in SHAPES:
                path = _scan(Path(folder), shape)
                for names in (card.claimed[:1], card.claimed[:5]):
                    seen = _Seen(path, shape, names)
                    ours, theirs, same = seen.compare(local, cluster, calls)
                    typical, fastest = (
                        (of(ours), of(theirs), of(theirs) - of(ours)) for of in (statistics.median, min)
                    )
                    added.append(typical[2])
                    cells = [f"{ms:.1f}" for pair in zip(typical, fastest, strict=True) for ms in pair]
                    size = " x ".join(map(str, shape))
                    lines.append(
                        f"| {size} | {len(names)} | {' | '.join(cells)} | {'identical' if same else 'DIFFERENT'} |"
                    )
    finally:
        cluster.close()
        local.close()
    told = (
        f"{calls} calls of each in turn, {MODEL}, features kept, after {WARMING} that are not counted; --workers {workers}, "
        f"added {min(added):.1f} to {max(added):.1f} ms (medians), machine load {os.getloadavg()[0]:.1f}. ray {importlib.metadata.version('ray')}, {described()}."
    )
    return "\n".join([*lines, "", told])


class _Seen:
    """One request about a scan, as often as one likes."""

    def __init__(self, path: Path, shape: tuple[int, int, int], names: Sequence[str]) -> None:
        self.path, self.names = path, tuple(names)
        self.grid = Grid(shape, np.diag([300.0 / shape[0], 300.0 / shape[1], 240.0 / shape[2], 1.0]))

    def compare(self, local: Workers, cluster: Workers, calls: int) -> tuple[list[float], list[float], bool]:
        """Milliseconds of each call of both, and whether their masks are the same."""
        ours, theirs = self._ask(local), self._ask(cluster)
        same = all(np.array_equal(a.array, b.array) for a, b in zip(ours.masks, theirs.masks, strict=True))
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(WARMING + calls):
            for workers, found in zip((local, cluster), times, strict=True):
                began = time.perf_counter()
                assert not self._ask(workers).encoded
                if number >= WARMING:
                    found.append(1000 * (time.perf_counter() - began))
        return *times, same

    def _ask(self, workers: Workers) -> Segmented:
        request = SegmentRequest(
            uuid.uuid4().hex, str(self.path), self.grid, "ct", False, self.path.stem, MODEL, self.names
        )
        return workers.run(request, on_progress=lambda share, words: None, cancelled=threading.Event())


def _scan(folder: Path, shape: tuple[int, int, int]) -> Path:
    """The torso phantom at this size."""
    scan = torso_ct(seed=0).volume.array
    index = np.ix_(*(np.arange(edge) * have // edge for edge, have in zip(shape, scan.shape, strict=True)))
    path = folder / f"{shape[0]}.npy"
    np.save(path, np.ascontiguousarray(scan[index]).astype(np.int16))
    return path
