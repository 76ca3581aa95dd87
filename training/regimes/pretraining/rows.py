"""Ways to learn from images alone, one row each. Torch-free."""

from __future__ import annotations

from ....models.parity import Against
from ..row import Loss, ObjectiveRow

OBJECTIVES: tuple[ObjectiveRow, ...] = (
    ObjectiveRow(
        name="volume-fusion",
        makes="regimes.pretraining.fusion:teach_volume_fusion",
        words=False,
        options={"levels": 4, "share": 0.7, "least": 8, "most": 32},
        system="MIS-FM Volume Fusion",
        number=67,
        source="Wang et al. 2023, arXiv 2306.16925; HiLab-git/PyMIC 8bcebd6",
        fidelity="structural",
        deviations=(
            "Crops are resized, turned and mirrored as the configuration's view says.",
            "The back is another image of the batch, where the authors also take two places of one volume.",
            "Blocks are no longer than half the patch.",
            "How far grey values are cut off is our choice.",
            "Side answers are taught too.",
        ),
        pretext=True,
    ),
)

LOSSES: tuple[Loss, ...] = (
    Loss("Volume Fusion", "regimes.pretraining.fusion", (Against("HiLab-git/PyMIC", ("volume fusion",)),)),
)
