"""Models that draw from marks, beside the toys of `desk_toy`: plain rules, and one whose answer depends on its own last one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import desk_toy
import numpy as np
from scipy import ndimage

from ostensor.imaging.volume import Volume
from ostensor.models.inference.prompts import check_prompts
from ostensor.models.interface import Drawing, Prompt

NEAR = 20  # grey values that count as alike
CARDS = (
    *desk_toy.CARDS,
    desk_toy.card("toy-flat", task="refine", dimensions=(2, 3), claimed=(), sha256="4" * 64),
    desk_toy.card("toy-ball", task="refine", claimed=(), sha256="3" * 64, purpose="research-only"),
)


@dataclass(frozen=True)
class Seen:
    volume: Volume

    @property
    def nbytes(self) -> int:
        return 1


class Pointer:
    engine = "toy"
    takes = frozenset({"point", "-point", "mask", "box"})

    def __init__(self, name: str) -> None:
        self.card = next(entry for entry in CARDS if entry.name == name)

    def encode(self, volume: Volume, *, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Seen:
        progress(1.0)
        return Seen(volume)


class Ball(Pointer):
    """What is alike about each point, within a ball that is a voxel larger each time it goes on: its radius is its logits."""

    def decode(self, features: Seen, prompts: Sequence[Prompt], previous: Any = None) -> Drawing:
        volume = features.volume
        check_prompts(prompts, volume.grid, self.takes, self.card.name)
        radius = 4 if previous is None else previous + 1
        found = np.zeros(volume.grid.shape, np.bool_)
        for one in prompts:
            if one.kind == "mask":
                found |= one.array
        places = np.indices(volume.grid.shape)
        for one in prompts:
            if one.kind == "point":
                far = sum((places[n] - one.at[n]) ** 2 for n in range(3))
                alike = np.abs(volume.array.astype(int) - int(volume.array[one.at])) <= NEAR
                ball = alike & (far <= radius**2)
                found = found | ball if one.positive else found & ~ball
        return Drawing(found, radius, 0.875)


class Flat(Pointer):
    """In each slice that is pointed at: parts as bright as the points, the middle of boxes, or the mask, that touch them."""

    by_slices = True

    def decode(self, features: Seen, prompts: Sequence[Prompt], previous: Any = None) -> Drawing:
        volume = features.volume
        check_prompts(prompts, volume.grid, self.takes, self.card.name)
        found = np.zeros(volume.grid.shape, np.bool_)
        for z in range(volume.grid.shape[2]):
            found[:, :, z] = self._slice(np.asarray(volume.array[:, :, z], int), prompts, z)
        return Drawing(found, "drawn", 0.75)

    def _slice(self, grey: np.ndarray, prompts: Sequence[Prompt], z: int) -> np.ndarray:
        seeds, apart = np.zeros(grey.shape, np.bool_), np.zeros(grey.shape, np.bool_)
        for one in prompts:
            if one.kind == "point" and one.at[2] == z:
                (seeds if one.positive else apart)[one.at[:2]] = True
            elif one.kind == "box" and one.box[2][0] <= z < one.box[2][1]:
                seeds[tuple((low + high) // 2 for low, high in one.box[:2])] = True
            elif one.kind == "mask":
                seeds |= one.array[:, :, z]
        return grown(grey, seeds) & ~grown(grey, apart)


def grown(grey: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    if not seeds.any():
        return seeds
    parts, _ = ndimage.label(np.abs(grey - np.median(grey[seeds])) <= NEAR)
    return np.isin(parts, np.unique(parts[seeds])[np.unique(parts[seeds]) > 0])


def load(name: str, *, device: str, threads: int | None) -> Any:
    kinds = {"toy-ball": Ball, "toy-flat": Flat}
    return kinds[name](name) if name in kinds else desk_toy.load(name, device=device, threads=threads)
