"""A predictor without weights: a structure is a threshold. Some names misbehave on purpose."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.volume import Volume
from ostensor.models.card import Card
from ostensor.models.interface import Cancelled, Decoded, Pointing, Referred


@dataclass(frozen=True)
class ToyFeatures:
    array: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.array.nbytes


class Toy:
    engine = "toy"

    def __init__(self, name: str) -> None:
        self.card = Card(
            name=name, title="toy", system="toy", paper="", task="segment", modalities=("ct",), dimensions=(3,),
            memory_mb=1000, licence="none", purpose="any", weights="none", weights_file="", fidelity="library",
            text_encoder="", intensity="percentile", region=(), sha256="0" * 64,
        )  # fmt: skip

    def encode(self, volume: Volume, *, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Any:
        if self.card.name == "slow":  # a hundred windows, each of which may be the last
            for window in range(100_000):
                if cancelled():
                    raise Cancelled
                progress(window / 100_000)
                time.sleep(0.001)
        if self.card.name == "gated":  # at work until a file is there
            while not Path(os.environ["TOY_GATE"]).exists():
                if cancelled():
                    raise Cancelled
                progress(0.5)
                time.sleep(0.01)
        if self.card.name == "stuck":
            progress(0.5)
            while True:
                time.sleep(1)
        progress(1.0)
        return ToyFeatures(np.array(volume.array))

    def decode(self, features: ToyFeatures, structures: Sequence[str]) -> list[Decoded]:
        return [self._one(features, name) for name in structures]

    def _one(self, features: ToyFeatures, name: str) -> Decoded:
        if name == "die":
            os.kill(os.getpid(), 9)
        errors = {"bad": BadCall("your fault"), "gone": Unavailable("get it"), "ours": Failed("our fault")}
        if name in errors:
            raise errors[name]
        if name == "bug":
            raise ZeroDivisionError("secret details")
        if name == "memory":
            raise MemoryError
        return Decoded(name, features.array > float(name), 0.75, 0.875)


class ToyThatRefers(Toy):
    def refer(self, features: ToyFeatures, sentences: Sequence[str], how: Pointing) -> list[Referred]:
        found = []
        for text in sentences:
            mask = features.array > float(text.split()[-1])
            mask[:, :, [z for z in range(mask.shape[2]) if z != how.index]] = False
            found.append(Referred(text, mask, 0.75, 0.875, "size", 6, (how.orientation,)))
        return found


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


class Hungry(Toy):
    """Has memory on a card in half precision ("hungry"), on the CPU only ("starved"), or nowhere."""

    def __init__(self, name: str, device: str, precision: str) -> None:
        super().__init__(name)
        on_card = device != "cpu"
        self.fits = {"hungry": precision == "bf16", "starved": not on_card, "nowhere": False}[name]

    def encode(self, volume: Volume, *, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Any:
        if not self.fits:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().encode(volume, progress=progress, cancelled=cancelled)


class Crowded(Toy):
    """Has no memory until it is loaded a second time; its engine says how often that was."""

    loads = 0

    def __init__(self, name: str) -> None:
        super().__init__(name)
        Crowded.loads += 1
        self.engine = f"load {Crowded.loads}"

    def encode(self, volume: Volume, *, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Any:
        if self.engine == "load 1":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().encode(volume, progress=progress, cancelled=cancelled)


def load(name: str, *, device: str, threads: int | None, precision: str = "auto") -> Toy:
    if name == "crowded":
        return Crowded(name)
    if name in ("hungry", "starved", "nowhere"):
        return Hungry(name, device, precision)
    if name == "refers":
        return ToyThatRefers(name)
    if name == "missing":
        raise Unavailable("no weights: run fit")
    return Toy(name)
