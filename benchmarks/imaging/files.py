"""Opening a 512 x 512 x 400 CT against other readers, and exporting thirty organs, each in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ...imaging.files import write_volume
from ...imaging.volume import Grid
from ..machine import described
from .geometry_files import write_dicom
from .side import ORGANS, SHAPE, TASKS, affine, scan

_NIFTI = ("nibabel_reads", "simpleitk_reads", "ours_reads")
_DICOM = ("simpleitk_reads_dicom", "pydicom_reads_dicom", "ours_reads_dicom")
_GOAL_OPEN, _GOAL_MB = 2.0, 3000


def run(*, rounds: int = 3, tasks: tuple[str, ...] = tuple(TASKS)) -> str:
    """A Markdown table of medians over interleaved rounds; the export runs once."""
    results: dict[str, list[dict[str, Any]]] = {task: [] for task in tasks}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        array = scan()
        write_volume(folder / "scan.nii.gz", array, Grid(SHAPE, affine()))
        write_dicom(folder, array, affine())
        size_mb = (folder / "scan.nii.gz").stat().st_size / 1e6
        del array
        for number in range(rounds):
            for task in tasks:
                if task != "ours_exports" or number == 0:
                    results[task].append(_once(task, folder))
    return _table(results, rounds, size_mb)


def _once(task: str, folder: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "ostensor.benchmarks.imaging.side", task, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _table(results: dict[str, list[dict[str, Any]]], rounds: int, size_mb: float) -> str:
    cpu = {task: statistics.median(row["cpu_s"] for row in rows) for task, rows in results.items()}
    peak = {task: max(row["peak_mb"] for row in rows) for task, rows in results.items()}
    lines = ["| what | CPU s | ours / fastest other | peak MB |", "|---|---|---|---|"]
    for kind, group in (("scan.nii.gz", _NIFTI), ("400 DICOM files", _DICOM)):
        present = [task for task in group if task in cpu]
        others = [cpu[task] for task in present if not task.startswith("ours")]
        for task in present:
            ratio = f"{cpu[task] / min(others):.2f} (goal {_GOAL_OPEN:g})" if task.startswith("ours") and others else ""
            lines.append(f"| {task.split('_')[0]} opens {kind} | {cpu[task]:.2f} | {ratio} | {peak[task]:.0f} |")
    if "ours_exports" in cpu:
        lines.append(
            f"| ours exports {ORGANS} organs to one DICOM-SEG, read back | {cpu['ours_exports']:.1f} | "
            f"| {peak['ours_exports']:.0f} (goal {_GOAL_MB}) |"
        )
    size = " x ".join(str(n) for n in SHAPE)
    return "\n".join([
        *lines,
        "",
        f"{size} voxels of int16, {size_mb:.0f} MB as .nii.gz; medians of {rounds} interleaved rounds in fresh processes, "
        f"one thread; ours includes every check. {described()}.",
    ])  # fmt: skip
