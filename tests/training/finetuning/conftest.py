"""Runs of seconds on the tiny data set: a SAM and a SAM 2 of 32 pixels and a scan's slices as displayed."""

from types import ModuleType

import pytest

from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.labelled.finetunesam.network import ClassSamConfig, Recipe
from ostensor.models.labelled.sss.network import SssConfig
from ostensor.training.finetuning.methods import method
from ostensor.training.finetuning.run import FinetuneRun
from ostensor.training.sampling import View
from ostensor.training.segmenting.config import Source
from ostensor.training.trainer import Schedule

NETWORKS = {
    "finetune-sam": ClassSamConfig(
        2, EncoderConfig(32, 4, 32, 3, 4, 2.0, (1,), 4, 32), DecoderConfig(32, 1, 4, 48, 16, 8), Recipe("encoder+decoder", "vanilla")
    ),
    "sss": SssConfig(2, 64, 8, (1, 1, 2, 1), 1, (4, 2, 4, 2), (3,), (2, 2), 32, 24),
}  # fmt: skip


class Runs:
    """Makes runs on the tiny data set."""

    def __init__(self, tiny: ModuleType) -> None:
        self._tiny = tiny

    def __call__(self, name: str, steps: int = 3, **changes: object) -> FinetuneRun:
        plan, network = self._tiny.plan(), NETWORKS[name]
        size = network.encoder.size if isinstance(network, ClassSamConfig) else network.size
        view = View((size, size), rotate_deg=5, scale=0.05, elastic=0, noise=0.02, coarse=0, gamma=0, bias=0)
        values: dict[str, object] = {
            "name": name, "title": "Tiny", "modality": "mr", "method": name, "network": network, "start": "",
            "options": dict(method(name).options), "sources": (Source(self._tiny.DATASET, 1.0),), "tests": (self._tiny.DATASET,),
            "preparation": plan.preparation, "view": view, "batch": 4, "labelled": 2 if name == "sss" else 0,
            "schedule": Schedule(steps, 3e-3, 1e-3, 5, ema=0.9, save_every=1000, bf16=False),
        }  # fmt: skip
        return FinetuneRun(**{**values, **changes})  # type: ignore[arg-type]  # a table of settings


@pytest.fixture
def runs(tiny: ModuleType) -> Runs:
    """Makes runs by their method's name."""
    return Runs(tiny)
