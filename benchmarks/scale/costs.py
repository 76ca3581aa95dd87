"""What one scan costs, stage by stage, measured through the tools on this machine."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from ...imaging.files import write_volume
from ...imaging.phantoms import torso_ct
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use

STRUCTURES = ("liver", "urinary bladder")
_FIELD_MM = ((-192.0, 192.0), (-192.0, 192.0), (-230.0, 220.0))
_SPACING_MM = (0.75, 0.75, 1.5)  # 512 x 512 x 300


@dataclass(frozen=True)
class Costs:
    """Of a CT of 512 x 512 x 300 voxels; processor seconds of server and workers together, bytes.

    Attributes:
        open_s: reading it from a file.
        first_s: the first question about it.
        further_s: another structure.
        measure_s, export_s: one mask.
        file_bytes: that arrive.
        image_bytes, mask_bytes: that are kept.
    """

    open_s: float
    first_s: float
    further_s: float
    measure_s: float
    export_s: float
    file_bytes: int
    image_bytes: int
    mask_bytes: int

    @classmethod
    def read(cls, path: Path) -> Costs:
        """Costs written by `write`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Keep them for another run of the simulation."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def measured() -> Costs:
    """Each stage once, in a process that has answered about another scan before."""
    with tempfile.TemporaryDirectory() as place:
        root, store = Path(place) / "scans", Path(place) / "store"
        root.mkdir()
        for name, spacing in (("warm", (4.0, 4.0, 4.0)), ("scan", _SPACING_MM)):
            made = torso_ct(spacing_mm=spacing, field_mm=_FIELD_MM, seed=1)
            write_volume(root / f"{name}.nii.gz", made.volume.array, made.volume.grid, synthetic=False)
        with Desk(Settings(store=store, roots=(root,), threads=1)) as desk:
            _one(desk, "warm.nii.gz")
            stages, masks = _one(desk, "scan.nii.gz")
        arrays = [path.stat().st_size for path in (store / "arrays" / "images").rglob("*.npy")]
        bits = [path.stat().st_size for path in (store / "arrays" / "masks").rglob("*.bits")]
        open_s, first_s, further_s, measure_s, export_s = stages
        return Costs(
            open_s,
            first_s,
            further_s,
            measure_s,
            export_s,
            file_bytes=(root / "scan.nii.gz").stat().st_size,
            image_bytes=max(arrays),
            mask_bytes=sum(bits) // max(1, len(bits)) if masks else 0,
        )


def _one(desk: Desk, name: str) -> tuple[list[float], list[str]]:
    open_s, opened = _timed(partial(use, desk, "open_image", path=name, modality="ct"))
    image = opened.result
    found = []
    asked: list[float] = []
    for structure in STRUCTURES:
        words = {"image_id": image.image_id, "structures": [structure], "wait_s": 300}
        took, answer = _timed(partial(use, desk, "segment", **words))
        asked.append(took)
        found += [row.mask_id for row in answer.result.masks if row.mask_id]
    one = {"mask_ids": found[:1]}
    measure_s = _timed(partial(use, desk, "measure", **one))[0] if found else 0.0
    export_s = _timed(partial(use, desk, "export", format="nifti", **one))[0] if found else 0.0
    return [open_s, *asked, measure_s, export_s], found


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = _processor_s()
    answer = work()
    time.sleep(0.05)  # the clock of other processes counts hundredths
    return _processor_s() - start, answer


def _processor_s() -> float:
    me = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (me, *me.children(recursive=True)))
