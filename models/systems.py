"""Every system there is, published or our own: one row each. Torch-free.

A row names the file that loads its networks; nothing of it is imported before it is needed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from .card import Card
from .duplus_card import CARDS as DUPLUS
from .flans_card import CARDS as FLANS
from .labelled_card import MESHNET, OBELISK
from .lsms_card import CARDS as LSMS
from .parity import Against
from .sat_card import CARDS as SAT
from .satmini_card import CARDS as SATMINI
from .synthesis.card import CARDS as SEG2MED


@dataclass(frozen=True)
class System:
    """A published system, or the bundled networks.

    Attributes:
        name: as cards say it in `system`.
        number: its place among the published systems of docs/systems.md; 0 for our own.
        cards: its models.
        module: below `ostensor.models`; has `load(card, path, how)`, whose answer names its `engine`, where users bring files `convert(card, files)`,
            and where outputs of the official code are known `reproduce(fixture)`.
        files: what a user brings, one word or two for each file; () where nothing is brought.
        beside: folder below the user's weights that must hold the text encoder's own files; "" for none.
        parity: the fixtures `reproduce` understands.
    """

    name: str
    number: int
    cards: tuple[Card, ...]
    module: str
    files: tuple[str, ...] = ()
    beside: str = ""
    parity: tuple[Against, ...] = ()

    def code(self) -> ModuleType:
        """The file that loads it; imports torch."""
        return importlib.import_module(f"ostensor.models.{self.module}")


SYSTEMS: tuple[System, ...] = (
    System("ostensor", 0, SATMINI, "satmini_weights"),
    System("SAT", 1, SAT, "sat_loader", ("segmentation checkpoint", "text checkpoint"), "biolord",
           (Against("zhaoziheng/SAT"),)),
    System("FLanS", 2, FLANS, "flans_loader", ("checkpoint",), "clip", (Against("LongchaoDa/SegmentAsYouWish"),)),
    System("LSMS", 3, LSMS, "lsms_weights"),
    System("DuPLUS", 4, DUPLUS, "duplus_loader", ("checkpoint",), "clipmd", (Against("BioMedIA-MBZUAI/DuPLUS"),)),
    System("seg2med", 26, SEG2MED, "synthesis.painter"),
    System("MeshNet", 72, MESHNET, "meshnet", ("model.pth",)),
    System("OBELISK", 73, OBELISK, "obelisk", ("obeliskhybrid_tcia_fold1.pth to fold4",)),
)  # fmt: skip


def system_of(card: Card) -> System:
    """The row a card belongs to; every card has one."""
    return next(row for row in SYSTEMS if row.name == card.system)
