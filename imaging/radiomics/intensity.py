"""Radiomics of grey values alone: statistics, histogram, volume histogram and local peaks, with IBSI tags.

Source: Zwanenburg et al., IBSI reference manual (arXiv 1612.07003), sections 3.2 to 3.5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from ..volume import BoolArray

Values = npt.NDArray[np.float64]
PEAK_RADIUS_MM = (3 / (4 * np.pi)) ** (1 / 3) * 10  # a sphere of 1 ml; IBSI section 3.2


def _shared(values: Values) -> dict[str, float]:
    """What statistics and histogram have in common."""
    mean, median = values.mean(), np.median(values)
    p10, p25, p75, p90 = np.percentile(values, (10, 25, 75, 90))
    off = values - mean
    variance = float((off**2).mean())
    kept = values[(values >= p10) & (values <= p90)]
    return {
        "mean": mean,
        "var": variance,
        "skew": (off**3).mean() / variance**1.5 if variance > 0 else 0.0,
        "kurt": (off**4).mean() / variance**2 - 3 if variance > 0 else 0.0,
        "median": median,
        "min": values.min(),
        "p10": p10,
        "p90": p90,
        "max": values.max(),
        "iqr": p75 - p25,
        "range": np.ptp(values),
        "mad": np.abs(off).mean(),
        "rmad": np.abs(kept - kept.mean()).mean(),
        "medad": np.abs(values - median).mean(),
        **({"cov": np.sqrt(variance) / mean} if mean else {}),
        **({"qcod": (p75 - p25) / (p75 + p25)} if p75 + p25 else {}),
    }


def statistics(values: Values) -> dict[str, float]:
    """First-order statistics of the grey values inside a region."""
    energy = float((values**2).sum())
    found = {**_shared(values), "energy": energy, "rms": np.sqrt(energy / values.size)}
    return {f"stat_{name}": float(value) for name, value in found.items()}


def histogram(levels: npt.NDArray[np.int32]) -> dict[str, float]:
    """Statistics of discretised levels (from 1), their entropy and the steepest steps of their histogram."""
    found = _shared(levels.astype(np.float64))
    counts = np.bincount(levels)[1:].astype(np.float64)
    share = counts[counts > 0] / levels.size
    most = np.flatnonzero(counts == counts.max()) + 1
    found["mode"] = most[np.abs(most - found["mean"]).argmin()]
    found["entropy"] = -(share * np.log2(share)).sum()
    found["uniformity"] = (share**2).sum()
    if len(counts) > 1:
        steps = np.gradient(counts)
        found |= {
            "max_grad": steps.max(),
            "max_grad_g": float(steps.argmax() + 1),
            "min_grad": steps.min(),
            "min_grad_g": float(steps.argmin() + 1),
        }
    return {f"ih_{name}": float(value) for name, value in found.items()}


def volume_histogram(values: Values, *, low: float, high: float, step: float) -> dict[str, float]:
    """The intensity-volume histogram: which share of the region is at least this bright.

    Args:
        low, high: the ends of the intensity axis; the window when the region was cut by one.
        step: distance of the points on that axis, 1 for whole units.
    """
    if high <= low:
        return {}
    axis = low + step * np.arange(round((high - low) / step) + 1)
    ordered = np.sort(values)
    share = 1 - np.searchsorted(ordered, axis, side="left") / values.size
    fraction = (axis - low) / (high - low)

    def volume_at(intensity: float) -> float:
        return float(share[np.flatnonzero(fraction >= intensity - 1e-9)[0]])

    def intensity_at(volume: float) -> float:
        small = np.flatnonzero(share <= volume + 1e-12)
        return float(axis[small[0]] if small.size else axis[-1] + step)

    v10, v90, i10, i90 = volume_at(0.1), volume_at(0.9), intensity_at(0.1), intensity_at(0.9)
    area = float(((share[1:] + share[:-1]) / 2 * np.diff(fraction)).sum())
    return {
        "ivh_v10": v10,
        "ivh_v90": v90,
        "ivh_i10": i10,
        "ivh_i90": i90,
        "ivh_diff_v10_v90": v10 - v90,
        "ivh_diff_i10_i90": i10 - i90,
        "ivh_auc": area,
    }


def local_peaks(scan: Values, inside: BoolArray, axes_mm: Values) -> dict[str, float]:
    """Mean of the 1 ml sphere around the brightest voxel, and the greatest such mean in the region.

    Args:
        scan: (x y z) grey values, with a margin of a sphere's radius around the region where the scan has it.
        axes_mm: (3 3) columns are one voxel step in mm.
    """
    reach = [int(PEAK_RADIUS_MM / np.linalg.norm(axes_mm[:, a])) for a in range(3)]
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
    ball = (np.linalg.norm(offsets @ axes_mm.T, axis=-1) <= PEAK_RADIUS_MM).astype(np.float64)
    middle = float(scan[inside].mean())  # keeps the transform's rounding small
    total = scipy.signal.fftconvolve(scan - middle, ball, mode="same")
    voxels = np.round(scipy.signal.fftconvolve(np.ones(scan.shape), ball, mode="same"))
    means = total / voxels + middle
    brightest = inside & (scan == scan[inside].max())
    return {"loc_peak_loc": float(means[brightest].max()), "loc_peak_glob": float(means[inside].max())}
