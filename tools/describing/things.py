"""Things on a scan a sentence may point at, what is said of them, and how far that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...imaging.masks import relations
from ...imaging.masks.relations import Place
from ...imaging.volume import Grid, Mask, Volume
from ...retrieval.descriptions.description import Claim, Reference

MATCHED = 0.5  # share from which a claim counts as matched; own choice


@dataclass(frozen=True)
class Thing:
    """Something on the scan a sentence may point at.

    Attributes:
        certainty: how sure the finder is that it is what it is called, in [0, 1].
        grey: median grey value inside.
        side: "left", "right", "midline", or "" when the scan does not show it.
        contrast: of an area inside an organ, in robust standard deviations; None for organs.
        ancestors: names of the groups it belongs to, for "a bone".
        dice: how well its mask is expected to fit the truth, in [0, 1]; None when nobody measured that.
        is_tube: it is a vessel or an airway, which has a width across its course.
    """

    name: str
    mask: Mask
    place: Place
    certainty: float
    grey: float
    side: str = ""
    contrast: float | None = None
    ancestors: tuple[str, ...] = ()
    dice: float | None = None
    is_tube: bool = False


@dataclass(frozen=True)
class Fit:
    """How far one claim holds.

    Attributes:
        share: 1 holds, 0 does not; None when it cannot be checked here.
        among: how many were compared, of claims that compare.
        tied: another thing holds the claim, by less than the error of the comparison.
    """

    claim: Claim
    share: float | None
    reason: str
    among: int = 0
    tied: bool = False

    @property
    def state(self) -> str:
        """ "matched", "failed" or "unchecked"."""
        return "unchecked" if self.share is None else "matched" if self.share >= MATCHED else "failed"


@dataclass(frozen=True)
class Scored:
    """A thing and how it fits."""

    thing: Thing
    fits: tuple[Fit, ...]

    @property
    def fit(self) -> float:
        """Mean share over the claims that could be checked; 1 without claims."""
        shares = [fit.share for fit in self.fits if fit.share is not None]
        return sum(shares) / len(shares) if shares else 1.0

    @property
    def score(self) -> float:
        """Certainty times fit."""
        return self.thing.certainty * self.fit

    @property
    def exact(self) -> int:
        """How many comparing claims hold wholly."""
        return sum(fit.share == 1 for fit in self.fits if fit.among)

    @property
    def fits_all(self) -> bool:
        """No claim failed."""
        return all(fit.state != "failed" for fit in self.fits)

    @property
    def is_proven(self) -> bool:
        """Every claim was checked and holds, and whatever compares had something to compare with."""
        compared = all(fit.among > 1 for fit in self.fits if fit.claim.kind in ("rank", "extreme", "density_rank"))
        return compared and all(fit.state == "matched" for fit in self.fits)


@dataclass(frozen=True)
class Scene:
    """What claims are judged against.

    Attributes:
        flat: one axial slice is looked at.
        masks: reference -> its mask; missing or None where it was not found.
        grey_error: median grey values that differ by no more are not told apart.
    """

    grid: Grid
    flat: bool = False
    masks: Mapping[Reference, Mask | None] = field(default_factory=dict)
    grey_error: float = 0.0

    @classmethod
    def of(cls, image: Volume, *, flat: bool = False, masks: Mapping[Reference, Mask | None] | None = None) -> Scene:
        """The scene of an image: in CT 5 HU are the error, elsewhere 2 % of the grey range (own choices)."""
        values = image.array[:: max(1, image.array.shape[0] // 64)]
        low, high = np.percentile(values, (1, 99))
        error = 5.0 if image.modality == "ct" else 0.02 * float(high - low)
        return cls(image.grid, flat, masks or {}, error)

    def place_of(self, reference: Reference) -> Place | None:
        """Where a reference lies; None when it was not found."""
        mask = self.masks.get(reference)
        return None if mask is None else relations.place(mask)
