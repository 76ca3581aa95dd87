"""The ways to teach a segmenting network, one row each. Torch-free.

To add one: a module with a function from a `Lesson` to an `Objective`, its row here or in the `rows.py` of its folder, a TOML with
`objective = "NAME"`, a test.
"""

from __future__ import annotations

from ...models.rows import row_of
from .fair.rows import OBJECTIVES as FAIR
from .pretraining.rows import OBJECTIVES as PRETRAINING
from .row import ObjectiveRow
from .semi.rows import OBJECTIVES as SEMI

OBJECTIVES: tuple[ObjectiveRow, ...] = (
    ObjectiveRow("text", "regimes.by_words:teach_words", True, {"negatives": 2, "queries": 0, "balance": 0.0}),
    ObjectiveRow("supervised", "regimes.by_words:teach_channels", False, {"balance": 0.0}),
    ObjectiveRow("structure", "regimes.lossnet:teach_structure", False, {"seen": 0.0, "seed": 0.0}),
    ObjectiveRow(
        name="region-tversky",
        makes="regimes.region_tversky:teach_regions",
        words=False,
        options={"regions": 16, "weight": 0.8, "balance": 0.0},
        system="MambaClinix",
        number=47,
        source="Bian et al. 2024, arXiv 2409.12533; CYB08/MambaClinix-PyTorch ba1af65",
        fidelity="structural",
        deviations=(
            "One channel with a sigmoid for each structure and no background, where the authors' classes share a softmax.",
            "At most as many regions along an axis as the patch has voxels there.",
            "Side answers are taught by cross-entropy and Dice alone.",
        ),
    ),
    *FAIR,
    *PRETRAINING,
    *SEMI,
)


def objective_row(name: str) -> ObjectiveRow:
    """The row of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(OBJECTIVES, name, "objective")
