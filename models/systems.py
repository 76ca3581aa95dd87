"""Every system there is, published or our own: one row each. Torch-free.

A row names the file that loads its networks; nothing of it is imported before it is needed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from .backbones.table import BACKBONES
from .card import Card
from .labelled.card import MESHNET, OBELISK
from .labelled.finetunesam.card import CARDS as FINETUNESAM
from .labelled.sss.card import CARDS as SSS
from .language.duplus.card import CARDS as DUPLUS
from .language.flans.card import CARDS as FLANS
from .language.lsms.card import CARDS as LSMS
from .language.sat.card import CARDS as SAT
from .language.satmini.card import CARDS as SATMINI
from .parity import Against
from .promptable.adapter3d.card import CARDS as ADAPTER3D
from .promptable.imisnet.card import CARDS as IMISNET
from .promptable.sam.card import CARDS as SAM
from .promptable.sam2.card import CARDS as SAM2
from .promptable.sammed2d.card import CARDS as SAMMED2D
from .promptable.sammed3d.card import CARDS as SAMMED3D
from .promptable.scribbleprompt.card import CARDS as SCRIBBLEPROMPT
from .synthesis.card import CARDS as SEG2MED


@dataclass(frozen=True)
class System:
    """A published system, or the bundled networks.

    Attributes:
        name: as cards say it in `system`.
        number: its place among the published systems of docs/systems.md; 0 for our own.
        cards: its models; () where there are no weights to offer and only training makes some, or the user brings engines.
        module: below `ostensor.models`; where there are cards has `load(card, path, how)`, whose answer names its `engine`, where users bring files
            `convert(card, files)`, and where outputs of the official code are known `reproduce(fixture)`.
        files: what a user brings, one word or two for each file; () where nothing is brought.
        beside: folder below the user's weights that must hold the text encoder's own files; "" for none.
        parity: the fixtures `reproduce` understands.
        lacks: where there are neither cards nor fixtures, what it is and why that is so; "" elsewhere.
    """

    name: str
    number: int
    cards: tuple[Card, ...]
    module: str
    files: tuple[str, ...] = ()
    beside: str = ""
    parity: tuple[Against, ...] = ()
    lacks: str = ""

    def code(self) -> ModuleType:
        """The file that loads it; imports torch."""
        return importlib.import_module(f"ostensor.models.{self.module}")


_NO_OUTPUTS = "A backbone to be trained, `backbone` in a configuration: no outputs of the authors' code are known to hold it against."

SYSTEMS: tuple[System, ...] = (
    System("ostensor", 0, SATMINI, "language.satmini.weights"),
    System("SAT", 1, SAT, "language.sat.weights", ("segmentation checkpoint", "text checkpoint"), "biolord",
           (Against("zhaoziheng/SAT"),)),
    System("FLanS", 2, FLANS, "language.flans.weights", ("checkpoint",), "clip", (Against("LongchaoDa/SegmentAsYouWish"),)),
    System("LSMS", 3, LSMS, "language.lsms.weights"),
    System("DuPLUS", 4, DUPLUS, "language.duplus.weights", ("checkpoint",), "clipmd", (Against("BioMedIA-MBZUAI/DuPLUS"),)),
    System("ScribblePrompt", 14, SCRIBBLEPROMPT, "promptable.scribbleprompt.weights", ("checkpoint",), "",
           (Against("halleewong/ScribblePrompt"),)),
    System("SAM", 0, SAM, "promptable.sam.weights", ("checkpoint",)),
    System("SAM 2.1", 0, SAM2, "promptable.sam2.weights", ("checkpoint",)),
    System("SAM-Med2D", 15, SAMMED2D, "promptable.sammed2d.weights", ("checkpoint",), "", (Against("OpenGVLab/SAM-Med2D"),)),
    System("SAM-Med3D", 16, SAMMED3D, "promptable.sammed3d.weights", ("checkpoint",), "", (Against("uni-medical/SAM-Med3D"),)),
    System("SAM-UNet", 17, (), "promptable.samunet.weights", parity=(Against("Hhankyangg/sam-unet"),)),
    System("I-MedSAM", 18, (), "promptable.imedsam.network",
           lacks="A reconstruction, network only: the layout of the published file and outputs of its code are not known."),
    System("3DSAM-adapter", 19, ADAPTER3D, "promptable.adapter3d.weights", ("checkpoint",), "", (Against("med-air/3DSAM-adapter"),)),
    System("DD-SAM2", 20, (), "promptable.ddsam2.weights", parity=(Against("apple1986/DD-SAM2"),)),
    System("finetune-SAM", 21, FINETUNESAM, "labelled.finetunesam.weights"),
    System("SSS", 22, SSS, "labelled.sss.weights"),
    System("FluoroSAM", 7, (), "promptable.fluorosam.weights", parity=(Against("arcadelab/fluorosam"),)),
    System("IMIS-Net", 8, IMISNET, "promptable.imisnet.weights", ("checkpoint",), "", (Against("uni-medical/IMIS-Bench"),)),
    System("seg2med", 26, SEG2MED, "synthesis.runtime"),
    System("PULASki", 31, (), "uncertainty.probunet", parity=(Against("soumickmj/PULASki", ("probunetv2",)),)),
    System("external", 0, (), "external.predictor"),
    System("MeshNet", 72, MESHNET, "labelled.meshnet", ("model.pth",)),
    System("OBELISK", 73, OBELISK, "labelled.obelisk", ("obeliskhybrid_tcia_fold1.pth to fold4",)),
    System("Co-Seg++", 55, (), "labelled.coseg.weights", parity=(Against("xq141839/Co-Seg-Plus"),)),
    System("Mamba survey", 48, (), "blocks.scans.directions",
           lacks="A survey has no network: the scan orders it names are the option `directions` of backbones tagged ssm-pure or ssm-hybrid."),
    *(
        System(row.system, row.number, (), row.module, parity=row.parity, lacks="" if row.parity else _NO_OUTPUTS)
        for row in BACKBONES
        if row.number
    ),
)  # fmt: skip


def system_of(card: Card) -> System:
    """The row a card belongs to; every card has one."""
    return next(row for row in SYSTEMS if row.name == card.system)
