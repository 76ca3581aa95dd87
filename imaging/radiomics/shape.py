"""Radiomics of shape, with IBSI tags; surface from a mesh half-way between inside and outside.

Left out: the oriented box and the minimum-volume ellipsoid, whose values depend on a search, and the
area density of the approximate ellipsoid: the value published for the digital phantom (1.36) would
give that ellipsoid less surface than a ball of its volume.

Source: Zwanenburg et al., IBSI reference manual (arXiv 1612.07003), section 3.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from ..masks.mesh import enclosed, greatest_distance, mesh_of
from ..volume import BoolArray

Values = npt.NDArray[np.float64]
MOST_PAIR_CELLS = 40_000_000  # doubled box above which Moran's I and Geary's C are not computed: a gigabyte


def shape_features(region: BoolArray, axes_mm: Values) -> dict[str, float]:
    """Size and form of a region (x y z).

    Args:
        axes_mm: (3 3) columns are one voxel step in mm.
    """
    mesh = mesh_of(region, axes_mm)
    surface = enclosed(region, axes_mm)
    volume, area = surface.volume_mm3, surface.area_mm2
    ball_area = (36 * np.pi * volume**2) ** (1 / 3)
    points = np.argwhere(region) @ axes_mm.T
    spread = np.linalg.eigvalsh(np.cov(points.T)) if len(points) > 1 else np.zeros(3)
    least, minor, major = np.clip(spread, 0, None)
    box = np.ptp(mesh.points_mm, axis=0)
    found = {
        "volume": volume,
        "vol_approx": len(points) * abs(np.linalg.det(axes_mm)),
        "area_mesh": area,
        "av": area / volume,
        "comp_1": volume / (np.sqrt(np.pi) * area**1.5),
        "comp_2": 36 * np.pi * volume**2 / area**3,
        "sph_dispr": area / ball_area,
        "sphericity": ball_area / area,
        "asphericity": area / ball_area - 1,
        "diam": greatest_distance(mesh.points_mm),
        "pca_maj_axis": 4 * np.sqrt(major),
        "pca_min_axis": 4 * np.sqrt(minor),
        "pca_least_axis": 4 * np.sqrt(least),
        "vol_dens_aabb": volume / box.prod(),
        "area_dens_aabb": area / (2 * (box[0] * box[1] + box[1] * box[2] + box[0] * box[2])),
    }
    if major > 0:
        found |= {"pca_elongation": np.sqrt(minor / major), "pca_flatness": np.sqrt(least / major)}
    if least > 0:
        a, b, c = 2 * np.sqrt((major, minor, least))
        found["vol_dens_aee"] = volume / (4 / 3 * np.pi * a * b * c)
    try:
        hull = scipy.spatial.ConvexHull(mesh.points_mm)
        found |= {"vol_dens_conv_hull": volume / hull.volume, "area_dens_conv_hull": area / hull.area}
    except scipy.spatial.QhullError:
        pass  # a flat body has no hull in space
    return {f"morph_{name}": float(value) for name, value in found.items()}


def shape_and_grey(
    scan: Values, region: BoolArray, valued: BoolArray, axes_mm: Values, volume_mm3: float
) -> dict[str, float]:
    """Shape features that look at grey values, too.

    Args:
        scan: (x y z) grey values.
        region: the shape; `valued` is the part of it whose grey values count.
        volume_mm3: of the shape's mesh.
    """
    values = scan[valued]
    points = np.argwhere(valued) @ axes_mm.T
    found = {"morph_integ_int": float(values.mean()) * volume_mm3}
    if values.sum():
        heavy = values @ points / values.sum()
        found["morph_com"] = float(np.linalg.norm((np.argwhere(region) @ axes_mm.T).mean(axis=0) - heavy))
    pairs = _pair_sums(scan, valued, axes_mm)
    return found if pairs is None else found | pairs


def _pair_sums(scan: Values, inside: BoolArray, axes_mm: Values) -> dict[str, float] | None:
    """Moran's I and Geary's C over all pairs of voxels, weighed by 1 / distance.

    The double sum over pairs is a convolution with 1 / distance, done by FFT. None where it would need too much
    memory or all values are equal.
    """
    size = [scipy.fft.next_fast_len(2 * n - 1, real=True) for n in inside.shape]
    off = np.where(inside, scan - scan[inside].mean(), 0.0)
    squares = float((off**2).sum())
    if int(np.prod(size)) > MOST_PAIR_CELLS or not squares:
        return None
    steps = [(np.arange(n) + n // 2) % n - n // 2 for n in size]  # 0, 1, 2, ... then the negative ones, as a circle
    distance = np.linalg.norm(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1) @ axes_mm.T, axis=-1)
    kernel = scipy.fft.rfftn(np.divide(1, distance, out=np.zeros_like(distance), where=distance > 0))
    cut = tuple(slice(n) for n in inside.shape)

    def around(array: Values) -> Values:
        mixed: Values = scipy.fft.irfftn(scipy.fft.rfftn(array, size) * kernel, size)[cut]
        return mixed

    neighbours, pull = around(inside.astype(np.float64)), around(off)
    every = float(neighbours[inside].sum())
    crossed = float((off * pull)[inside].sum())
    count = int(inside.sum())
    differences = 2 * float((off**2 * neighbours)[inside].sum()) - 2 * crossed
    return {
        "morph_moran_i": count / every * crossed / squares,
        "morph_geary_c": (count - 1) / (2 * every) * differences / squares,
    }
