"""Held-out slices with everything that can be said of them, in taught and in new wordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...imaging.volume import Grid, Volume
from ...models.inference.pictures import LEVEL_HU, WIDTH_HU, displayed, displayed_labels, frame_of
from ..data import acdc, btcv
from .pairs import LEAST_PIXELS, Bool, Family, Part, Referral, referrals
from .stream import common_values, with_lesions

_DISPLAY = np.diag([-1.0, -1.0, 1.0, 1.0])  # columns to the patient's left, rows to the back
_ABSENT_EACH = 2  # absent descriptions drawn per slice
# File names of the demo pictures -> canonical names.
_DEMO = {"liver": 6, "spleen": 1, "aorta": 8, "inferior_vena_cava": 9}
Source = Literal["btcv", "btcv with drawn lesions", "acdc", "sammed2d demo"]


@dataclass(frozen=True)
class Subject:
    """One held-out slice.

    Attributes:
        volume: the slice as a scan of its own, without voxel size.
        labels: (rows columns) as displayed, values of `referring.ORGANS`.
        scale: its pixels per pixel of a network's picture.
    """

    source: Source
    patient: str
    name: str
    volume: Volume
    labels: npt.NDArray[np.uint8]
    scale: float

    def refer(self, part: Part, seed: int, *, families: Sequence[Family] | None = None) -> list[Referral]:
        """One sentence per description; absent ones are drawn, `_ABSENT_EACH` per slice."""
        rng = np.random.default_rng([seed, part == "test", *self.name.encode()])
        found: list[Referral] = []
        for family, described in referrals(self.labels, part).items():
            if families is not None and family not in families:
                continue
            if family in ("absent", "attribute") and len(described) > 2 * _ABSENT_EACH:
                count = _ABSENT_EACH if family == "absent" else 3 * _ABSENT_EACH
                described = [described[i] for i in rng.permutation(len(described))[:count]]
            if family == "anatomy" and self.source == "sammed2d demo":
                described = [one for one in described if one[2].sum() >= LEAST_PIXELS * self.scale**2]
            found += [
                Referral(texts[int(rng.integers(len(texts)))], family, key, mask) for key, texts, mask in described
            ]
        return found


def subjects(data: Path, *, seed: int, stacks_every: int = 4) -> Iterator[Subject]:
    """Every held-out slice of BTCV, plain and with lesions drawn in, some of ACDC, and the demo pictures.

    Args:
        stacks_every: of the slices of a heart stack, every so many.
    """
    for case in btcv.DATASET.cases(data, "test"):
        assert case.volume is not None
        labels = displayed_labels(case.labels, case.grid)[0]
        yield _subject("btcv", case.patient, case.name, case.volume, labels)
        yield from _with_lesions(case.patient, case.name, case.volume, labels, seed)
    for case in acdc.DATASET.cases(data, "test"):
        assert case.volume is not None
        for z in range(2, case.grid.shape[2] - 1, stacks_every):
            one = Volume(case.volume.array[:, :, z : z + 1], Grid((*case.grid.shape[:2], 1), np.eye(4), False), "mr")
            labels = common_values(displayed_labels(case.labels[:, :, z : z + 1], one.grid)[0], "acdc")
            if labels.any():
                yield _subject("acdc", case.patient, f"{case.name}:{z}", one, labels)
    yield from _demo(data / "sammed2d_demo")


def _subject(source: Source, patient: str, name: str, volume: Volume, labels: npt.NDArray[np.uint8]) -> Subject:
    frame = frame_of(displayed(volume)[0])
    return Subject(source, patient, name, volume, labels, frame.side / 128)


def _with_lesions(
    patient: str, name: str, volume: Volume, labels: npt.NDArray[np.uint8], seed: int
) -> Iterator[Subject]:
    picture = displayed(volume)[0]
    scale = frame_of(picture).side / 128
    rng = np.random.default_rng([seed, *name.encode()])
    changed, values = with_lesions(picture, labels, rng, scale=scale)
    if (values >= 100).any():
        hu = ((changed - 0.5) * WIDTH_HU + LEVEL_HU).T[:, :, None]
        grid = Grid(hu.shape, _DISPLAY, spacing_known=False)
        yield Subject("btcv with drawn lesions", patient, name, Volume(hu, grid, "ct"), values, scale)


def _demo(folder: Path) -> Iterator[Subject]:
    """CT slices of the demo whose organs we know; stored with the back on top."""
    for path in sorted((folder / "images").glob("amos_000*.png")):
        array = np.asarray(Image.open(path).convert("L"))[::-1]
        labels = np.zeros(array.shape, dtype=np.uint8)
        for organ, value in _DEMO.items():
            for mask in (folder / "masks").glob(f"{path.stem}_{organ}_*.png"):
                labels[np.asarray(Image.open(mask).convert("L"))[::-1] > 127] = value
        flat = np.ascontiguousarray(array.T[:, :, None])
        volume = Volume(flat, Grid(flat.shape, _DISPLAY, spacing_known=False), "unknown")
        yield _subject("sammed2d demo", path.stem, path.stem, volume, labels)


@dataclass(frozen=True)
class Stack:
    """A held-out heart as a volume: name -> mask (x y z)."""

    patient: str
    name: str
    volume: Volume
    masks: dict[str, Bool]


def stacks(data: Path) -> Iterator[Stack]:
    """Every held-out stack of ACDC."""
    for case in acdc.DATASET.cases(data, "test"):
        assert case.volume is not None
        masks = {name: np.isin(case.labels, values) for name, values in acdc.DATASET.structures.items()}
        yield Stack(case.patient, case.name, case.volume, masks)
