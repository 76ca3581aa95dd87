"""Kinds of adapters, one row each. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from ....models.rows import row_of
from ..row import Fidelity


@dataclass(frozen=True)
class AdapterRow:
    """A way to add a change of low rank to a layer's weight.

    Attributes:
        name: as configurations say it in `kind`; with `dora` it is the paper's DoRA of it.
        system, number, source, fidelity, deviations: see `ObjectiveRow`.
    """

    name: str
    source: str
    system: str = "LoRA on U-Net"
    number: int = 70
    fidelity: Fidelity = "reconstruction"
    deviations: tuple[str, ...] = ()


_START = "How factors start is our choice: normal, so that the change begins of the size of a fresh layer, and one of them 0."
_FOLLOWED = "arXiv 2508.01772 (no code seen)"

ADAPTERS: tuple[AdapterRow, ...] = (
    AdapterRow("lora-c", f"{_FOLLOWED}; Hu et al. 2021, arXiv 2106.09685", deviations=(_START,)),
    AdapterRow("conv-lora", f"{_FOLLOWED}; Hugging Face's peft for convolutions", deviations=(_START,)),
    AdapterRow("cp-lora", f"{_FOLLOWED}; DoRA: Liu et al. 2024, arXiv 2402.09353", deviations=(_START,)),
)


def adapter_row(name: str) -> AdapterRow:
    """The row of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(ADAPTERS, name, "kind of adapters")
