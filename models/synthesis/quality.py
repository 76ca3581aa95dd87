"""How good a synthetic image is: SSIM, PSNR, FSIM, jitter along z, the seam, and the nearest training image. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy
from skimage.metrics import structural_similarity

from .scales import Float

Image = npt.NDArray[np.floating]
# Source: Zhang et al. 2011, FSIM, IEEE TIP 20(8): constants for an 8-bit scale and the log-Gabor bank.
_T1, _T2 = 0.85, 160.0
_SCALES, _ANGLES, _SHORTEST, _FACTOR, _ON_F, _ON_THETA = 4, 4, 6.0, 2.0, 0.55, 1.2
_NOISE = 2.0  # standard deviations above the noise's mean energy that count as signal (Kovesi 1999)


def ssim(made: Image, real: Image) -> float:
    """Mean structural similarity of two pictures in [-1, 1] (x y), with Gaussian windows (Wang et al. 2004)."""
    return float(
        structural_similarity(made, real, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    )


def psnr(made: Image, real: Image) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]; infinite when equal."""
    error = float(np.mean((made.astype(np.float64) - real) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(4.0 / error))


def fsim(made: Image, real: Image) -> float:
    """Feature similarity of two pictures in [-1, 1] (x y): phase congruency and gradient, 1 when equal.

    Source: Zhang et al. 2011, eq. 4 to 6; without the down-sampling to 256 pixels, as ours are smaller.
    """
    first, second = ((np.clip(picture, -1, 1) + 1) * 127.5 for picture in (made, real))
    one, two = phase_congruency(first), phase_congruency(second)
    g1, g2 = _gradient(first), _gradient(second)
    alike = (2 * one * two + _T1) / (one**2 + two**2 + _T1) * (2 * g1 * g2 + _T2) / (g1**2 + g2**2 + _T2)
    weight = np.maximum(one, two)
    total = float(weight.sum())
    return float((alike * weight).sum() / total) if total > 0 else float(alike.mean())


def _gradient(picture: Image) -> Image:
    """Magnitude of the Scharr gradient, with weights 3, 10, 3 over 16 (Zhang et al. 2011, table I)."""
    smooth, slope = np.array([3.0, 10.0, 3.0]) / 16, np.array([1.0, 0.0, -1.0])
    along = [
        scipy.ndimage.correlate1d(scipy.ndimage.correlate1d(picture, slope, axis=a), smooth, axis=1 - a) for a in (0, 1)
    ]
    answer: Image = np.hypot(along[0], along[1])
    return answer


def phase_congruency(picture: Image) -> Image:
    """Where the picture's frequencies agree in phase, in [0, 1]: edges and lines whatever their contrast.

    Source: Kovesi 1999, Videre 1(3), as used by FSIM: per direction, |sum of responses| less the noise, over
    the sum of amplitudes; 4 log-Gabor scales, 4 directions.
    """
    rows, columns = picture.shape
    fy, fx = np.meshgrid(np.fft.fftfreq(rows), np.fft.fftfreq(columns), indexing="ij")
    radius = np.hypot(fx, fy)
    radius[0, 0] = 1.0
    theta = np.arctan2(-fy, fx)
    low_pass = 1 / (1 + (radius / 0.45) ** 30)  # Butterworth, keeps the corners of the spectrum out (Kovesi)
    spectrum = np.fft.fft2(picture)
    energy_sum, amplitude_sum = np.zeros(picture.shape), np.zeros(picture.shape)
    spread = np.pi / _ANGLES / _ON_THETA
    for direction in range(_ANGLES):
        angle = direction * np.pi / _ANGLES
        turn = np.abs(np.arctan2(np.sin(theta - angle), np.cos(theta - angle)))
        along = np.exp(-(turn**2) / (2 * spread**2))
        responses, noise = [], 0.0
        for scale in range(_SCALES):
            centre = 1 / (_SHORTEST * _FACTOR**scale)
            band = np.exp(-(np.log(radius / centre) ** 2) / (2 * np.log(_ON_F) ** 2)) * low_pass
            band[0, 0] = 0.0
            response = np.fft.ifft2(spectrum * band * along)
            if scale == 0:  # the finest scale is mostly noise; Rayleigh: median = mode * sqrt(2 ln 2)
                noise = float(np.median(np.abs(response))) / np.sqrt(2 * np.log(2))
            responses.append(response)
        total = noise * (1 - (1 / _FACTOR) ** _SCALES) / (1 - 1 / _FACTOR)
        threshold = total * np.sqrt(np.pi / 2) + _NOISE * total * np.sqrt((4 - np.pi) / 2)
        energy_sum += np.maximum(np.abs(np.sum(responses, axis=0)) - threshold, 0)
        amplitude_sum += np.sum(np.abs(responses), axis=0)
    congruency: Image = energy_sum / (amplitude_sum + 1e-4)
    return congruency


def jitter(volume: Image, real: Image) -> float:
    """Mean step from slice to slice of a synthetic volume (x y z), over that of a real one; 1 is as smooth."""
    return float(np.abs(np.diff(volume, axis=2)).mean() / max(float(np.abs(np.diff(real, axis=2)).mean()), 1e-9))


def seam_ratio(picture: Image, keep: npt.NDArray[np.bool_]) -> float | None:
    """Mean step across the border of what was kept, over the mean step elsewhere; None without a border.

    Source: the spec of AugPaint's seam check; below 2 a seam is not seen.
    """
    across, inside = [], []
    for axis in range(picture.ndim):
        if picture.shape[axis] < 2:
            continue
        step = np.abs(np.diff(picture.astype(np.float64), axis=axis))
        changes = np.diff(keep.astype(np.int8), axis=axis) != 0
        across.append(step[changes])
        inside.append(step[~changes])
    border, rest = np.concatenate(across), np.concatenate(inside)
    return float(border.mean() / max(float(rest.mean()), 1e-9)) if border.size else None


def nearest_distance(made: Float, training: Sequence[Float]) -> float:
    """Root mean square difference of a picture to the most similar training picture of its shape, in [0, 2].

    A copy has distance 0; compare with the same figure of held-out real pictures.
    """
    candidates = [one for one in training if one.shape == made.shape]
    return float(min(np.sqrt(np.mean((made - one) ** 2)) for one in candidates)) if candidates else float("nan")
