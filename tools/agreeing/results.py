"""Answer of `merge_masks`."""

from __future__ import annotations

from ..desk.results import Geometry, ImageAnswer, Provenance, Result


class MergedInput(Result):
    """One of the merged masks: Dice with the merged one and with what the others mark (each voxel by the share of them).

    Sensitivity and specificity are STAPLE's estimates within two voxels of what anybody marks; `weight` is what it counted.
    """

    mask_id: str
    source: str
    voxels: int
    volume_ml: float | None
    dice_to_merged: float | None
    dice_to_others: float
    sensitivity: float | None = None
    specificity: float | None = None
    weight: float | None = None


class MergeResult(ImageAnswer):
    """One mask out of several; `mask_id` null: no voxel has enough votes, and `trust` says why.

    `dice_between` and `volume_between_ml` are the lowest and the highest; `agreed` is what all mark, `marked` what anybody does.
    `disagreement_image_id`: entropy of the votes per voxel in nats, 0 where all agree to 0.69 where half do.
    """

    mask_id: str | None
    image_id: str
    structure: str | None
    method: str
    voxels: int
    volume_ml: float | None
    inputs: list[MergedInput]
    dice_between: list[float]
    volume_between_ml: list[float] | None
    agreed_voxels: int
    agreed_ml: float | None
    marked_voxels: int
    marked_ml: float | None
    dice_to_vote: float
    stands_apart: str | None
    disagreement_image_id: str
    trust: str
    warnings: list[str]
    geometry: Geometry | None
    provenance: Provenance
