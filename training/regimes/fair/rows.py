"""Ways to learn that look at groups of patients, one row each. Torch-free."""

from __future__ import annotations

from ....models.parity import Against
from ..row import Loss, ObjectiveRow

OBJECTIVES: tuple[ObjectiveRow, ...] = (
    ObjectiveRow(
        name="fair",
        makes="regimes.fair.scaling:teach_fair",
        words=False,
        options={"share": 0.5, "gamma": 1.0, "mode": "prediction", "balance": 0.0},
        system="FairSeg",
        number=35,
        source="Tian et al. 2024, arXiv 2311.02189; Harvard-Ophthalmology-AI-Lab/FairSeg 7ebec8d",
        fidelity="structural",
        deviations=(
            "One channel with a sigmoid for each structure and no background, where the authors' classes share a softmax.",
            "A group that a batch lacks has no say, where the released code then sets every weight and gradient to 0.",
            "Patients of unknown group have weight 1, where the released code gives them the last group's.",
            "Batches draw their groups in turn, so that none is missing for long.",
            'With `mode` "loss" the groups\' losses are weighed instead of their probabilities, which is ours.',
            "Side answers are not taught.",
        ),
    ),
)

LOSSES: tuple[Loss, ...] = (
    Loss("FairSeg", "regimes.fair.scaling", (Against("Harvard-Ophthalmology-AI-Lab/FairSeg", ("febs",)),)),
    Loss("FairDomain", "regimes.fair.identity", (Against("Harvard-Ophthalmology-AI-Lab/FairDomain", ("identity",)),)),
)
