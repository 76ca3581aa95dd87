"""The ways to teach a segmenting network, one row each. Torch-free.

To add one: a module with a function from a `Lesson` to an `Objective`, its row here or in the `rows.py` of its folder, a TOML with
`objective = "NAME"`, a test.
"""

from __future__ import annotations

from ...models.rows import row_of
from .row import ObjectiveRow
from .semi.rows import OBJECTIVES as SEMI

OBJECTIVES: tuple[ObjectiveRow, ...] = (
    ObjectiveRow("text", "regimes.by_words:teach_words", True, {"negatives": 2, "queries": 0, "balance": 0.0}),
    ObjectiveRow("supervised", "regimes.by_words:teach_channels", False, {"balance": 0.0}),
    ObjectiveRow("structure", "regimes.lossnet:teach_structure", False, {"seen": 0.0, "seed": 0.0}),
    ObjectiveRow(
        "region-tversky", "regimes.region_tversky:teach_regions", False, {"balance": 0.0, "weight": 0.8, "regions": 16}
    ),
    *SEMI,
)


def objective_row(name: str) -> ObjectiveRow:
    """The row of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(OBJECTIVES, name, "objective")
