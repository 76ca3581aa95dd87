"""How narrow a vessel is against a healthy stretch, from diameters across its centre line."""

from __future__ import annotations

from ..region import Region
from ..tubes.calibre import Calibre, calibre
from .estimates import SHARE, Estimate, NoNumberError, propagate


def diameters(region: Region) -> Calibre:
    """Diameters of a tube across its centre line; see `calibre`.

    Raises:
        NoNumberError: there are none; the text says why.
    """
    found = calibre(region)
    if not isinstance(found, Calibre):
        raise NoNumberError(found.reason)
    return found


def diameter_by_border(diameter_mm: float, region: Region) -> Estimate:
    """A diameter both of whose walls may be drawn half a voxel too far in or out; see `volume_by_border`."""
    reach = SHARE * (1000 * region.grid.voxel_ml) ** (1 / 3)
    return Estimate(diameter_mm, max(0.0, diameter_mm - reach), diameter_mm + reach)


def stenosis(narrowest: Estimate, reference: Estimate) -> Estimate:
    """How much narrower than its reference a vessel is, % of diameter.

    Source: NASCET Collaborators 1991, N Engl J Med 325:445: (1 - narrowest / normal distal diameter) x 100.
    """
    return propagate(lambda least, normal: 100 * (1 - least / normal), narrowest, reference)
