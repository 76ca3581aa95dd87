"""Mean IoU, overall IoU and precision at k: the figures referring segmentation is compared by.

Source: LSMS (arXiv 2408.17347, spec §9) and its ancestors: mIoU averages over sentences, oIoU divides the summed
intersections by the summed unions, P@k is the share of sentences whose IoU is above k.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

THRESHOLDS = (0.5, 0.7, 0.9)
Bool = npt.NDArray[np.bool_]


@dataclass
class Overlaps:
    """Intersections and unions of answers with the truth, in pixels."""

    intersections: list[int] = field(default_factory=list)
    unions: list[int] = field(default_factory=list)

    def add(self, found: Bool, truth: Bool) -> None:
        """Count one answer."""
        self.intersections.append(int((found & truth).sum()))
        self.unions.append(int((found | truth).sum()))

    @property
    def ious(self) -> npt.NDArray[np.float64]:
        """IoU per sentence; two empty masks agree, 1."""
        union = np.array(self.unions, dtype=np.float64)
        return np.where(union == 0, 1.0, np.array(self.intersections) / np.maximum(union, 1))

    @property
    def mean_iou(self) -> float:
        """Mean over sentences."""
        return float(self.ious.mean())

    @property
    def overall_iou(self) -> float:
        """Summed intersections over summed unions; large targets count more. 1 when every union is empty."""
        total = sum(self.unions)
        return sum(self.intersections) / total if total else 1.0

    def precision_at(self, threshold: float) -> float:
        """Share of sentences with an IoU above the threshold."""
        return float((self.ious > threshold).mean())

    def row(self) -> list[str]:
        """mIoU, oIoU, P@0.5, P@0.7, P@0.9 and the number of sentences, as text."""
        values = [self.mean_iou, self.overall_iou, *(self.precision_at(k) for k in THRESHOLDS)]
        return [*(f"{value:.3f}" for value in values), str(len(self.unions))]
