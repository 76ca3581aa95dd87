"""Losses and other ways to learn whose official numbers are known: one row each. Torch-free.

What is a system has its row in `models/systems.py` instead; `benchmarks/accuracy/parity.py` reads both tables.
"""

from __future__ import annotations

from ...models.parity import Against
from .fair.rows import LOSSES as FAIR
from .pretraining.rows import LOSSES as PRETRAINING
from .row import Loss
from .semi.rows import LOSSES as SEMI

LOSSES: tuple[Loss, ...] = (
    Loss("PULASki losses", "raters.pulaski", (Against("soumickmj/PULASki", ("sinkhorn",)),)),
    Loss("MambaClinix loss", "regimes.region_tversky", (Against("CYB08/MambaClinix-PyTorch", ("tversky",)),)),
    Loss("LossNet", "regimes.lossnet", (Against("Xiaoqi-Zhao-DLUT/MSNet-M2SNet", ("lossnet",)),)),
    *SEMI,
    *FAIR,
    *PRETRAINING,
)  # fmt: skip
