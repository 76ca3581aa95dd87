"""From how sure a network is to how good its mask is: expected Dice, fitted on held-out patients. Torch-free.

A network's mean sigmoid inside its mask says little about the mask: it is high by construction. A logistic
regression of the true Dice on a few signs of the mask says more, and says how much: its record (patients, error
before and after, rank correlation) is kept beside the weights and is void for other weights, and when the same weights'
logits become masks in another way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..card import Card
from .decisions import Decisions
from .presence import Law, Presence, with_tuples

METHOD = "expected Dice (logistic regression on signs of the mask, fitted on held-out patients)"
SIGNS = (
    "soft Dice",
    "mean sigmoid",
    "peak",
    "log10 of voxels (per slice in 2-D networks)",
    "ambiguous share",
    "share of the largest part",
)
AMBIGUOUS = 1.0  # logits nearer to the cutoff than this are ambiguous
Signs = tuple[float, ...]


def signs_of(logit: npt.NDArray[np.float32], largest_share: float, *, by_slice: bool = False) -> Signs:
    """What a network's logits (cutoff taken off; above 0 is inside) tell about their mask; in the order of `SIGNS`.

    The soft Dice is the Dice expected if every voxel were inside with its own sigmoid: 2 sum(p inside) / (n + sum(p)).

    Args:
        largest_share: of the mask's voxels, in its largest connected part.
        by_slice: count voxels per marked slice, for networks that look at slices one by one.
    """
    inside = logit > 0
    count = int(np.count_nonzero(inside))
    if count == 0:
        return ()
    slices = int(np.count_nonzero(inside.any(axis=(0, 1)))) if by_slice else 1
    near = logit[logit > -6]
    p = 1 / (1 + np.exp(-np.clip(near, -30, 30)))
    sure = p[near > 0]
    ambiguous = np.count_nonzero(np.abs(near) < AMBIGUOUS) / count
    return (
        float(2 * sure.sum() / (count + p.sum())),
        float(sure.mean()),
        float(sure.max()),
        float(np.log10(count / slices)),
        float(min(ambiguous, 3.0)),
        largest_share,
    )


KNOWN_DICE = 0.5  # on held-out scans, from which a network's finding nothing means something; our choice
EMPTY_BELOW = 0.05  # greatest sigmoid of an empty mask that is evidence, for networks without a calibration; our choice
LEAST_DOUBT = 0.02  # even of the best mask's size


def doubt_of(expected_dice: float) -> float:
    """What the logarithm of a size errs in proportion to."""
    return max(LEAST_DOUBT, 1 - expected_dice)


@dataclass(frozen=True)
class Calibration:
    """A fitted regression and its record.

    Attributes:
        weights_sha256: of the weights it was fitted to.
        way: of their scans to masks, when it was fitted (`way_of`).
        centre, scale, weights, bias: of the regression; signs are centred and scaled first.
        offsets: structure -> what is added to the bias.
        sure_from: expected Dice from which a structure counts as present.
        presence: the chance that a structure is in the scan at all; None where it was not fitted.
        spread: logarithms of true by said size, each divided by one minus the expected Dice, between which nine of ten
            present masks lie; () where too few were measured.
        record: data, patients, errors, correlations.
    """

    weights_sha256: str
    way: str
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    offsets: Mapping[str, float]
    sure_from: float
    presence: Presence | None = None
    spread: tuple[float, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def expected_dice(self, structure: str, signs: Signs) -> float:
        """Expected Dice of a mask with these signs; 0 for an empty one."""
        if not signs:
            return 0.0
        return Law(self.centre, self.scale, self.weights, self.bias, self.offsets).value(structure, signs)

    def interval(self, size: float, expected: float) -> tuple[float, float] | None:
        """Where nine of ten true sizes of present masks lie, in the unit of `size`; None where that is not known.

        Args:
            expected: Dice of the mask.
        """
        if not self.spread:
            return None
        low, high = (size * float(np.exp(one * doubt_of(expected))) for one in self.spread)
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        presence = None if self.presence is None else self.presence.to_json()
        plain = {"offsets": dict(self.offsets), "presence": presence, "record": dict(self.record), "method": METHOD}
        return {**vars(self), **plain}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration written by `to_json`."""
        fields = with_tuples(values)
        fields.pop("method", None)
        if fields.get("presence") is not None:
            fields["presence"] = Presence.from_json(fields["presence"])
        return cls(**fields)


def path_of(card: Card, folder: Path) -> Path:
    """Where a model's calibration lies, beside its weights."""
    return folder / f"{card.name}.calibration.json"


def calibration_of(card: Card, folder: Path) -> Calibration | None:
    """The calibration of a bundled model; None where there is none, or it was fitted to other weights or decisions."""
    return _read(path_of(card, folder), card.sha256, way_of(card.facts)) if card.weights == "bundled" else None


def way_of(facts: Mapping[str, Any]) -> str:
    """Digest of how a scan is prepared and logits become masks, out of the file beside the weights."""
    how = {"preparation": facts.get("preparation"), **Decisions.from_json(facts).to_json()}
    return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()


@cache
def _read(path: Path, sha256: str, way: str) -> Calibration | None:
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    if "presence" not in values:
        return None  # of an older version; its limits were of another kind
    found = Calibration.from_json(values)
    return found if (found.weights_sha256, found.way) == (sha256, way) else None


def expected_calibration_error(said: Sequence[float], true: Sequence[float], *, bins: int = 15) -> float:
    """Mean over masks of |mean said - mean true| of the bin they fall in; bins of equal width over 0 to 1.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3, with the true
    Dice in the place of the accuracy.
    """
    a, b = np.asarray(said, dtype=float), np.asarray(true, dtype=float)
    place = np.minimum((a * bins).astype(int), bins - 1)
    gaps = [abs(a[place == n].mean() - b[place == n].mean()) * (place == n).sum() for n in np.unique(place)]
    return float(np.sum(gaps) / len(a)) if len(a) else 0.0
