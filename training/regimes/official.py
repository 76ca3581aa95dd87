"""Losses and other ways to learn whose official numbers are known: one row each. Torch-free.

What is a system has its row in `models/systems.py` instead; `benchmarks/accuracy/parity.py` reads both tables.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from ...models.parity import Against


@dataclass(frozen=True)
class Loss:
    """A loss, or another piece of training.

    Attributes:
        name: whose it is.
        module: below `ostensor.training`; has `reproduce(fixture)`.
        parity: the fixtures `reproduce` understands.
    """

    name: str
    module: str
    parity: tuple[Against, ...]

    def code(self) -> ModuleType:
        """The file that computes it; imports torch."""
        return importlib.import_module(f"ostensor.training.{self.module}")


LOSSES: tuple[Loss, ...] = (
    Loss("PULASki losses", "raters.pulaski", (Against("soumickmj/PULASki", ("sinkhorn",)),)),
    Loss("MambaClinix loss", "regimes.region_tversky", (Against("CYB08/MambaClinix-PyTorch", ("tversky",)),)),
    Loss("LossNet", "regimes.lossnet", (Against("Xiaoqi-Zhao-DLUT/MSNet-M2SNet", ("lossnet",)),)),
)  # fmt: skip
