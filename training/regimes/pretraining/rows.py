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
    ObjectiveRow(
        name="hiend-mae",
        makes="regimes.pretraining.hiend:teach_hiend",
        words=False,
        options={"ratio": 0.75, "width": 48, "heads": 4, "before": 2, "across": 3},
        system="Hi-End-MAE",
        number=68,
        source="Tang et al. 2025, arXiv 2502.08347; FengheTan9/Hi-End-MAE b0df9c6",
        fidelity="structural",
        deviations=(
            "Depths of the encoder that are looked at are even shares of it: blocks 10, 7 and 4 of 12 as the authors', others of others.",
            "Positions are sines and cosines of the image's own grid.",
            "The decoder is 48 wide with 4 heads unless the configuration says so; the authors' is 528 or 384 wide.",
        ),
        pretext=True,
    ),
    ObjectiveRow(
        name="global-contrast",
        makes="regimes.pretraining.contrast:teach_global",
        words=False,
        options={"partitions": 4, "hidden": 128, "out": 32},
        system="Global + local contrastive",
        number=66,
        source="Chaitanya et al. 2020, arXiv 2006.10511; krishnabits001/domain_specific_cl",
        fidelity="structural",
        deviations=(
            "The projector sees the mean of the deepest map, where the authors' sees all of it.",
            "Every pair of one partition is a positive, drawn as the batch falls, where the authors compose batches by volume.",
            "Parts of a scan are alike only where all scans run through the body in one order; whoever sets `partitions` above 0 says so.",
            "With `partitions` 0 it is plain SimCLR.",
        ),
        pretext=True,
    ),
    ObjectiveRow(
        name="local-contrast",
        makes="regimes.pretraining.contrast:teach_local",
        words=False,
        options={"blocks": 3, "out": 32},
        system="Global + local contrastive",
        number=66,
        source="Chaitanya et al. 2020, arXiv 2006.10511; krishnabits001/domain_specific_cl",
        fidelity="structural",
        deviations=(
            "Regions are cells of a grid of 3 x 3 and are compared by the mean of their projections.",
            "What learns is what the blocks' map depends on and the deepest map of the encoder does not.",
        ),
        pretext=True,
    ),
)

LOSSES: tuple[Loss, ...] = (
    Loss("Volume Fusion", "regimes.pretraining.fusion", (Against("HiLab-git/PyMIC", ("volume fusion",)),)),
    Loss("Hi-End-MAE", "regimes.pretraining.hiend", (Against("FengheTan9/Hi-End-MAE"),)),
)
