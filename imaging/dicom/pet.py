"""PET: from activity to the standardised uptake value by body weight, or the reason why not.

Source: QIBA FDG-PET/CT profile, SUV computation "vendor-neutral pseudo-code" (happy path and Philips
private attributes), https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_PHILIPS_SUV = (0x7053, 0x1000)
_MAX_DELAY = timedelta(hours=12)  # a later scan of a PET tracer means that the times in the header are wrong
# Defined terms of Units (PS3.3 C.8.9.1.1.3); another value may be anything and is not shown.
_UNITS = (
    "CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM", "UMOLML",
    "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "GML", "STDDEV",
)  # fmt: skip
# What is possible. Source: our choice, wide: from a newborn to the heaviest patients known; from a tenth of the
# smallest dose given to children to ten times that of rubidium; from 82-Rb (76 s) to 124-I (4.2 days) with room.
_WEIGHT_KG, _DOSE_BQ, _HALF_LIFE_S = (0.3, 650.0), (1e5, 2e10), (20.0, 2e6)
_MOST_HALVINGS = 12  # the dose is then below a 4000th, and nothing could be imaged


@dataclass(frozen=True)
class Uptake:
    """How to turn rescaled values into what is answered.

    Attributes:
        factor: multiply by it; 1.0 where the values stay as they are.
        unit: "SUV" (g/ml, body weight), or the header's own unit.
        note: warning, or "".
    """

    factor: float
    unit: str
    note: str


def uptake(headers: Sequence[Any]) -> Uptake:
    """The factor of a series.

    Args:
        headers: one per slice; the earliest acquisition counts.
    """
    first = headers[0]
    unit = str(first.get("Units", "") or "")
    if unit == "GML":
        kind = str(first.get("SUVType", "") or "BW")
        return Uptake(1.0, "SUV", "" if kind == "BW" else f"The SUV is of type {kind[:8]}, not by body weight.")
    philips = _philips(first)
    if unit == "CNTS" and philips is not None:
        return Uptake(philips, "SUV", "")
    if unit != "BQML":
        shown = unit if unit in _UNITS else "unknown"
        return Uptake(1.0, shown, f"PET values are in unit '{shown}', not in SUV, and cannot be converted.")
    try:
        return Uptake(_body_weight_factor(headers), "SUV", "")
    except _NoSuvError as reason:
        return Uptake(1.0, "BQML", f"PET values stay in Bq/ml: {reason}, so no SUV is given.")


class _NoSuvError(Exception):
    pass


def _body_weight_factor(headers: Sequence[Any]) -> float:
    """SUV per Bq/ml: weight in g over the dose left at the time the decay was corrected to."""
    first = headers[0]
    corrected = first.get("CorrectedImage") or []
    if "DECY" not in corrected or "ATTN" not in corrected:
        raise _NoSuvError("the images are not corrected for attenuation and decay")
    weight_kg = _number(first, "PatientWeight", _WEIGHT_KG, "kg")
    doses = first.get("RadiopharmaceuticalInformationSequence") or []
    if len(doses) != 1:
        raise _NoSuvError(f"the header describes {len(doses)} injections")
    dose_bq = _number(doses[0], "RadionuclideTotalDose", _DOSE_BQ, "Bq")
    half_life_s = _number(doses[0], "RadionuclideHalfLife", _HALF_LIFE_S, "s")
    correction = str(first.get("DecayCorrection", "") or "")
    if correction == "ADMIN":
        left_bq = dose_bq
    elif correction == "START":
        delay = _scan_start(headers) - _injection(doses[0], first)
        if not timedelta(0) <= delay <= _MAX_DELAY:
            raise _NoSuvError("injection and scan times do not fit")
        halvings = delay.total_seconds() / half_life_s
        if halvings > _MOST_HALVINGS:
            raise _NoSuvError(f"a half-life of {half_life_s:g} s leaves nothing of the dose at the time of the scan")
        left_bq = dose_bq * 2.0**-halvings
    else:
        raise _NoSuvError("the decay is not corrected to a known time")
    return weight_kg * 1000.0 / left_bq


def _scan_start(headers: Sequence[Any]) -> datetime:
    """The series time, unless post-processing set it later than the first acquisition."""
    series = _moment(headers[0], "SeriesDate", "SeriesTime")
    acquired = min(_moment(header, "AcquisitionDate", "AcquisitionTime") for header in headers)
    if series > acquired:
        raise _NoSuvError("the series time is later than its acquisition")
    return series


def _injection(dose: Any, header: Any) -> datetime:
    stamp = str(dose.get("RadiopharmaceuticalStartDateTime", "") or "")
    if stamp:
        return _parsed(stamp)
    # Only a time of day: the date is the scan's, or the day before when the scan ran past midnight.
    date = str(header.get("SeriesDate", "") or "")
    moment = _parsed(date + str(dose.get("RadiopharmaceuticalStartTime", "") or ""))
    return moment if moment <= _moment(header, "SeriesDate", "SeriesTime") else moment - timedelta(days=1)


def _moment(header: Any, date: str, time: str) -> datetime:
    return _parsed(str(header.get(date, "") or "") + str(header.get(time, "") or ""))


def _parsed(stamp: str) -> datetime:
    digits = stamp.split("+")[0].split("-")[0].split(".")[0]
    try:
        return datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S") if len(digits) >= 10 else _missing()
    except ValueError:
        return _missing()


def _missing() -> datetime:
    raise _NoSuvError("the header lacks a date or time")


def _number(data: Any, keyword: str, possible: tuple[float, float], unit: str) -> float:
    """A number above 0, in its DICOM unit.

    Raises:
        _NoSuvError: it is missing, or of a size that only another unit explains.
    """
    words = {"PatientWeight": "the patient's weight", "RadionuclideTotalDose": "the dose"}
    try:
        value = float(data.get(keyword))
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < 1e15:
        raise _NoSuvError(f"{words.get(keyword, 'the half-life')} is missing")
    if not possible[0] <= value <= possible[1]:
        said = words.get(keyword, "the half-life")
        raise _NoSuvError(f"{said} of {value:g} {unit} is impossible (the header is likely in another unit)")
    return value


def _philips(header: Any) -> float | None:
    try:
        value = float(header[_PHILIPS_SUV].value)
    except (KeyError, TypeError, ValueError):
        return None
    return value if value > 0 else None
