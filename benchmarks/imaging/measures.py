"""Measuring on 512 x 512 x 400 voxels: 30 organs through the tool, and one large organ against scipy and MONAI.

CPU seconds count the work, wall seconds what a caller waits. scipy's distance maps are made of the
organ's box, MONAI crops by itself, the rest are whole-volume calls. Where a peer's numbers are defined as ours, the largest difference is given.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from ...imaging.geometry import Box
from ...imaging.masks.overlap import compare
from ...imaging.phantoms import TORSO
from ...imaging.region import slices
from ...imaging.volume import BoolArray, Grid, Mask, Volume
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import described

SHAPE = (512, 512, 400)
SPACING_MM = (0.78, 0.78, 1.3)
HALF = "upper half of the "


def scene(
    shape: tuple[int, int, int] = SHAPE, spacing_mm: tuple[float, float, float] = SPACING_MM
) -> tuple[Volume, Callable[[str], BoolArray]]:
    """The phantom's bodies as a scan with grain, and a way to make one of 30 masks by its name in `names()`."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-s * n / 2 for s, n in zip(spacing_mm, shape, strict=True)]
    affine[2, 3] += 60
    grid = Grid(shape, affine)
    x, y, z = (
        (affine[a, 3] + spacing_mm[a] * np.arange(shape[a], dtype=np.float32)).reshape(
            [-1 if b == a else 1 for b in range(3)]
        )
        for a in range(3)
    )

    def mask(name: str) -> BoolArray:
        half = name.startswith(HALF)
        made = np.broadcast_to(TORSO[name.removeprefix(HALF)][0].holds(x, y, z), shape).copy()
        if half:
            made[:, :, : int(np.median(np.flatnonzero(made.any(axis=(0, 1)))))] = False
        return made

    grain = np.random.default_rng(0).integers(-20, 20, shape[1:], dtype=np.int16)  # one slab's noise for all
    scan = np.asfortranarray(np.broadcast_to(grain, shape))
    for name, (_body, hu) in TORSO.items():
        scan[mask(name)] += np.int16(hu)
    return Volume(scan, grid, "ct"), mask


def names() -> list[str]:
    """The 14 bodies and their upper halves."""
    return [*TORSO, *(HALF + name for name in TORSO)]


def run(*, rounds: int = 3) -> str:
    """A Markdown table of medians."""
    volume, mask = scene()
    liver = mask("liver")
    rows = [_many(volume, mask, rounds), _one_organ(volume, liver, rounds), *_distances(volume.grid, liver, rounds)]
    lines = [
        "| what | ours, CPU s | ours, wall s | peer, CPU s | ratio of CPU | agreement |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *rows, "", f"{rounds} rounds, medians. {described()}."])


def _timed(work: Callable[[], Any], rounds: int) -> tuple[float, float, Any]:
    """Median CPU and wall seconds, and the last result."""
    cpu, wall, result = [], [], None
    for _ in range(rounds):
        started = time.process_time(), time.perf_counter()
        result = work()
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return statistics.median(cpu), statistics.median(wall), result


def _many(volume: Volume, mask: Callable[[str], BoolArray], rounds: int) -> str:
    """All masks through the tool; two are asked for twice, so that it is thirty."""
    with tempfile.TemporaryDirectory() as folder, Desk(Settings(store=Path(folder), roots=(Path(folder),))) as desk:
        image = desk.store.add_image(volume, source_name="phantom").image_id
        ids = [
            desk.store.add_mask(Mask(mask(name), volume.grid), image_id=image, structure=name).mask_id
            for name in names()
        ]
        ids += [ids[list(TORSO).index(name)] for name in ("liver", "heart")]
        cpu, wall, _answer = _timed(lambda: use(desk, "measure", mask_ids=ids), rounds)
    return f"| `measure`, {len(ids)} organs from the store | {cpu:.2f} | {wall:.2f} | - | - | - |"


def _one_organ(volume: Volume, liver: BoolArray, rounds: int) -> str:
    from ...imaging.masks import measures
    from ...imaging.region import Region

    def ours() -> dict[str, float]:
        region = Region.of(Mask(liver, volume.grid))
        grey, surface = measures.intensity(region, volume), measures.surface(region)
        assert grey is not None
        assert surface is not None
        return {
            "ml": measures.volume_ml(region) or 0,
            "mean": grey.mean,
            "area": surface.area_cm2,
            "parts": measures.part_count(region),
        }

    def theirs() -> dict[str, float]:
        points, faces, _normals, _values = marching_cubes(liver.astype(np.float32), 0.5, spacing=volume.grid.spacing_mm)
        ndimage.center_of_mass(liver)
        ndimage.find_objects(liver.astype(np.uint8))
        values = volume.array[liver]
        np.percentile(values, (0, 5, 50, 95, 100))
        return {
            "ml": float(liver.sum()) * volume.grid.voxel_ml,
            "mean": float(values.mean(dtype=np.float64)),
            "area": mesh_surface_area(points, faces) / 100,
            "parts": ndimage.label(liver, np.ones((3, 3, 3)))[1],
        }

    cpu, wall, mine = _timed(ours, rounds)
    peer, _wall, other = _timed(theirs, 1)
    worst = max(abs(mine[name] - other[name]) / abs(other[name]) for name in mine)
    return f"| volume, grey values, surface, parts of the liver, against scipy and scikit-image | {cpu:.2f} | {wall:.2f} | {peer:.2f} | {peer / cpu:.1f}x | {worst:.1e} relative |"


def _distances(grid: Grid, liver: BoolArray, rounds: int) -> list[str]:
    other = ndimage.binary_dilation(np.roll(liver, (3, -2, 1), axis=(0, 1, 2)))
    first, second = Mask(liver, grid), Mask(other, grid)
    cpu, wall, mine = _timed(lambda: compare(first, second, tolerance_mm=2.0), rounds)
    rows = []
    peers = {"scipy": lambda: _scipy(liver, other, grid), "MONAI": lambda: _monai(liver, other, grid)}
    for name, work in peers.items():
        peer, _wall, (hd95, nsd) = _timed(work, 1)
        far = (
            f"HD95 {abs(hd95 - mine.hd95_mm):.1e} mm, NSD {abs(nsd - mine.nsd):.1e}"
            if mine.hd95_mm is not None and mine.nsd is not None
            else "-"
        )
        rows.append(
            f"| NSD, HD95, ASSD, Dice of the liver, against {name} | {cpu:.2f} | {wall:.2f} | {peer:.2f} | {peer / cpu:.1f}x | {far} |"
        )
    return rows


def _scipy(one: BoolArray, other: BoolArray, grid: Grid) -> tuple[float, float]:
    box = Box.of(one | other, margin=1)
    assert box is not None
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (one[slices(box)], other[slices(box)])]
    maps = [ndimage.distance_transform_edt(~edge, sampling=grid.spacing_mm) for edge in edges]
    there, back = maps[1][edges[0]], maps[0][edges[1]]
    every = np.concatenate([there, back])
    return float(max(np.percentile(there, 95), np.percentile(back, 95))), float((every <= 2.0).mean())


def _monai(one: BoolArray, other: BoolArray, grid: Grid) -> tuple[float, float]:
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice
    from monai.metrics.surface_distance import compute_average_surface_distance

    a, b = (torch.from_numpy(mask)[None, None].float() for mask in (one, other))
    hd95 = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=grid.spacing_mm)
    compute_average_surface_distance(a, b, include_background=True, symmetric=True, spacing=grid.spacing_mm)
    nsd = compute_surface_dice(a, b, [2.0], include_background=True, spacing=grid.spacing_mm)
    return float(hd95), float(nsd)


if __name__ == "__main__":
    print(run())
