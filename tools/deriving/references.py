"""Percentiles: refused, as no reference with a distribution may be shipped."""

from __future__ import annotations

from ...imaging.errors import Unavailable
from ...imaging.plausibility.priors import Priors
from .given import Asked, Found


def percentile(asked: Asked) -> Found:
    """Where a volume stands among healthy people; there is no table for it.

    Raises:
        Unavailable: always; with the usual range where one is on file.
    """
    (one,) = asked.masks(1, 1, "one mask")
    known = Priors.bundled().get(one.record.structure or "", "volume_ml")
    usual = f" Known is a wide usual range only: {known.low:g} to {known.high:g} ml ({known.source})." if known else ""
    raise Unavailable(
        "No percentile: no reference table with a distribution by age and sex is here whose licence allows it, and none "
        f"is made up.{usual} Quote the volume ({one.volume.value:.2f} ml), and compare it with a table you may use."
    )
