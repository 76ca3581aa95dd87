"""The geometry suite: every axis order and flip, tilted and anisotropic, through every format in and out.

A phantom whose voxels all differ, with a mask that no turn or flip maps onto itself, is written by
other people's libraries, opened by `read_image`, its mask written by `write_masks` and read again by
other people's libraries. Every voxel must lie where it lay.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import nibabel.orientations as nio
import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.spatial.transform import Rotation

from ...imaging.dicom.source import made_up_source
from ...imaging.errors import OstensorError
from ...imaging.exports import write_masks
from ...imaging.files import read_image
from ...imaging.formats.segments import Segment
from ...imaging.formats.structure_codes import structure_code
from ...imaging.formats.table import VOLUME_MASK_FORMATS
from ...imaging.volume import Mask
from ..machine import commit, described
from .geometry_files import WRITERS, Affine, Places, places_in

SHAPE = (7, 11, 13)
ROTATIONS: dict[str, tuple[float, float, float]] = {
    "straight": (0, 0, 0), "oblique": (5, -7, 3), "double oblique": (31, 22, -41),
}  # fmt: skip
"""Degrees about z, y, x."""
SPACINGS: tuple[tuple[float, float, float], ...] = ((0.7, 0.9, 3.0), (2.3, 1.1, 0.5))
TOLERANCE_MM = 1e-3
"""Rounding of the files: NIfTI's affine and STL's corners are 32-bit floats, DICOM's numbers have 16 characters."""
ORDERS: tuple[str, ...] = tuple(
    "".join(codes)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for codes in itertools.product(*axes)
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One scan of the suite."""

    order: str
    rotation: str
    spacing_mm: tuple[float, float, float]
    source: str


@dataclass(frozen=True)
class Outcome:
    """What became of one mask on its way through one format.

    Attributes:
        wrong: voxels that came back elsewhere or not at all; 0 is right.
        off_mm: largest distance of a voxel to where it lay.
        error: the refusal, when there was one.
    """

    case: Case
    target: str
    wrong: int
    off_mm: float
    error: str = ""

    @property
    def is_right(self) -> bool:
        """True when every voxel lies where it lay."""
        return not self.error and self.wrong == 0 and self.off_mm <= TOLERANCE_MM


def cases(*, full: bool = True) -> Iterator[Case]:
    """All 864 scans; or, not `full`, every order once, with sources, rotations and spacings taking turns."""
    if full:
        yield from (Case(*c) for c in itertools.product(ORDERS, ROTATIONS, SPACINGS, WRITERS))
        return
    turns = list(itertools.product(WRITERS, ROTATIONS, SPACINGS))
    for number, order in enumerate(ORDERS):
        source, rotation, spacing = turns[(7 * number) % len(turns)]  # 7 and 18 share no factor: every turn comes
        yield Case(order, rotation, spacing, source)


def phantom() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """Voxels that all differ, and a mask without symmetry: an L with an arm, a hole and a voxel apart."""
    values = np.random.default_rng(7).permutation(int(np.prod(SHAPE))).reshape(SHAPE).astype(np.int16)
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[1:6, 1:4, 2:9] = True
    mask[1:4, 4:8, 2:5] = True
    mask[4:6, 1:3, 9:11] = True
    mask[2:4, 2, 5:7] = False
    mask[5, 9, 11] = True
    return values, mask


def base_affine(case: Case) -> Affine:
    """RAS phantom, turned and stretched, with its corner away from the origin."""
    affine = np.eye(4)
    turn = Rotation.from_euler("zyx", ROTATIONS[case.rotation], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(case.spacing_mm)
    affine[:3, 3] = (-31.3, 17.9, 5.5)
    return affine


def through(case: Case, folder: Path, targets: Sequence[str] = VOLUME_MASK_FORMATS) -> list[Outcome]:
    """Run one scan through every format out."""
    values, inside = phantom()
    affine = base_affine(case)
    turned = nibabel.Nifti1Image(values, affine).as_reoriented(
        nio.ornt_transform(nio.axcodes2ornt("RAS"), nio.axcodes2ornt(tuple(case.order)))
    )
    path = WRITERS[case.source](folder, np.asarray(turned.dataobj), turned.affine)
    opened = read_image(path, modality="ct")
    volume = opened.volume
    if volume is None:
        return [Outcome(case, target, int(inside.sum()), np.inf, "several series") for target in targets]
    centres = _centres(values, affine)
    off = float(np.abs(_centres(volume.array, volume.grid.affine) - centres).max())
    lookup = np.zeros(values.size, dtype=np.bool_)
    lookup[values[inside]] = True
    mask = Mask(lookup[volume.array], volume.grid)
    segment = Segment("msk_000000000000", "left kidney", structure_code("left kidney"), lambda: mask)
    source = opened.source or made_up_source("img_000000000000", volume.grid.shape[2], volume.modality)
    outcomes = []
    for target in targets:
        try:
            row = write_masks(folder, [segment], volume.grid, format=target, source=source)[0]
        except OstensorError as error:
            outcomes.append(Outcome(case, target, int(inside.sum()), off, str(error)))
            continue
        wrong, away = _compare(places_in(row.path, target, centres), centres[lookup])
        claimed = row.receipt.dice == 1.0 and (row.receipt.centroid_offset_mm or 0.0) <= TOLERANCE_MM
        outcomes.append(Outcome(case, target, wrong, max(off, away), "" if claimed else "the receipt disagrees"))
    return outcomes


def _centres(values: npt.NDArray[Any], affine: Affine) -> Places:
    """Place of each value, in the order of the values."""
    index = np.argwhere(np.ones(values.shape, dtype=np.bool_))[np.argsort(values, axis=None)]
    places: Places = index @ affine[:3, :3].T + affine[:3, 3]
    return places


def _compare(found: Places, wanted: Places) -> tuple[int, float]:
    """Voxels without a partner within half the smallest spacing, and the largest distance of partners."""
    if not len(found):
        return len(wanted), 0.0
    apart = np.linalg.norm(found[:, None] - wanted[None], axis=-1)
    nearest = apart.min(axis=0)
    matched = nearest < 0.2
    return int((~matched).sum() + len(found) - matched.sum()), float(nearest[matched].max(initial=0.0))


def _keep(kept: Path | None, outcomes: Sequence[Outcome], here: str) -> None:
    if kept is not None:
        with kept.open("a", encoding="utf-8") as file:
            row = {"commit": here, "outcomes": [asdict(one) for one in outcomes]}
            file.write("\n" + json.dumps(row))  # the line before may have been cut off


def _read(kept: Path | None, here: str) -> dict[Case, list[Outcome]]:
    """Finished scans of this commit; a line cut off by a kill is left out, and changed files ("+") are no commit."""
    found: dict[Case, list[Outcome]] = {}
    if kept is None or not kept.exists() or here.endswith("+"):
        return found
    for line in kept.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["commit"] == here:
            outcomes = [Outcome(**{**one, "case": _case(one["case"])}) for one in row["outcomes"]]
            found[outcomes[0].case] = outcomes
    return found


def _case(values: dict[str, Any]) -> Case:
    x, y, z = values["spacing_mm"]
    return Case(values["order"], values["rotation"], (x, y, z), values["source"])


def run(*, full: bool = True, kept: Path | None = None) -> str:
    """A Markdown table: cases right of cases run, by format in and out, with the largest distance.

    Args:
        kept: a file of finished scans, one per line; those of this commit are not run again, so a stopped suite goes
            on. It must not lie where git would see it as a change.
    """
    here = commit()
    done = _read(kept, here)
    outcomes = []
    for case in track(list(cases(full=full)), description="scans", disable=not sys.stderr.isatty(), transient=True):
        if case not in done:
            with tempfile.TemporaryDirectory() as name:
                done[case] = through(case, Path(name))
            _keep(kept, done[case], here)
        outcomes += done[case]
    lines = ["| in \\ out | " + " | ".join(VOLUME_MASK_FORMATS) + " |", "|---|" + "---|" * len(VOLUME_MASK_FORMATS)]
    for source in WRITERS:
        cells = []
        for target in VOLUME_MASK_FORMATS:
            rows = [o for o in outcomes if (o.case.source, o.target) == (source, target)]
            right = sum(o.is_right for o in rows)
            cells.append(f"{right}/{len(rows)}, {max(o.off_mm for o in rows):.1e} mm")
        lines.append(f"| {source} | " + " | ".join(cells) + " |")
    failed = [o for o in outcomes if not o.is_right]
    lines += ["", f"{len(outcomes)} exports of {len(outcomes) // len(VOLUME_MASK_FORMATS)} scans, {len(failed)} failures. "
              f"{len(ORDERS)} axis orders and flips, rotations of {', '.join(f'{n} {d}' for n, d in ROTATIONS.items())} degrees about z, y, x, "
              f"spacings {' and '.join(str(s) for s in SPACINGS)} mm, phantom of {SHAPE} voxels. {described()}."]  # fmt: skip
    lines += [f"- FAILED {o.case} -> {o.target}: {o.wrong} voxels, {o.off_mm} mm {o.error}" for o in failed[:20]]
    return "\n".join(lines)
