"""End to end on 256 x 256 x 160 voxels: our path against MONAI's default sliding window, same weights.

Every round runs each side in a fresh process, one after the other; scan, warm-up and loading are
not timed. Both sides start from the scan in memory and end with boolean masks on its grid.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...imaging.masks.dice import dice
from ...models.catalogue import card
from ..machine import described
from .segment_side import MODEL

SIDES = ("monai", "ours")


def run(*, rounds: int = 5, scan: str = "phantom") -> str:
    """A Markdown table of medians over the rounds."""
    cores = len(os.sched_getaffinity(0))
    kinds = sorted({1, cores})
    results: dict[tuple[str, int], list[dict[str, Any]]] = {(side, n): [] for side in SIDES for n in kinds}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for threads in kinds:
                for side in SIDES:
                    results[side, threads].append(_once(side, scan, threads, Path(folder)))
        agreement = _agreement(Path(folder))
    return _table(results, kinds, rounds, scan, agreement)


def _once(side: str, scan: str, threads: int, folder: Path) -> dict[str, Any]:
    words = [
        sys.executable,
        "-m",
        "ostensor.benchmarks.speed.segment_side",
        side,
        scan,
        str(threads),
        str(folder / f"{side}.npz"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _agreement(folder: Path) -> list[float]:
    """Dice between both sides' masks per structure, those both leave empty left out."""
    bits = [np.unpackbits(np.load(folder / f"{side}.npz")["masks"]) for side in SIDES]
    count = len(card(MODEL).claimed)
    found = []
    for one, other in zip(*(b[: b.size // count * count].reshape(count, -1).astype(bool) for b in bits), strict=True):
        if one.any() or other.any():
            found.append(dice(one, other))
    return found


def _table(
    results: dict[tuple[str, int], list[dict[str, Any]]],
    kinds: list[int],
    rounds: int,
    scan: str,
    agreement: list[float],
) -> str:
    def median(side: str, threads: int, what: str, clock: int) -> float:
        return statistics.median(float(row[what][clock]) for row in results[side, threads])

    rows = [("CPU seconds, 1 thread", 1, 0), *((f"wall seconds, {n} threads", n, 1) for n in kinds if n > 1)]
    lines = ["| what | MONAI default | ours | ratio |", "|---|---|---|---|"]
    for label, threads, clock in rows:
        for step, name in (("first", "first query, all structures"), ("second", "second query, one structure")):
            theirs, mine = (median(side, threads, step, clock) for side in SIDES)
            lines.append(f"| {name}, {label} | {theirs:.2f} | {mine:.3f} | {theirs / mine:.1f}x |")
    peaks = {side: max(row["peak_mb"] for row in results[side, 1]) for side in SIDES}
    lines.append(
        f"| peak memory of a fresh process, MB | {peaks['monai']:.0f} | {peaks['ours']:.0f} | {peaks['monai'] / peaks['ours']:.1f}x |"
    )
    dice = {side: results[side, 1][0]["dice"] for side in SIDES}
    if dice["ours"]:
        theirs, mine = (float(np.mean(list(dice[side].values()))) for side in SIDES)
        lines.append(
            f"| mean Dice to the {len(dice['ours'])} true masks | {theirs:.4f} | {mine:.4f} | {mine - theirs:+.4f} |"
        )
    share = median("ours", 1, "second", 0) / median("ours", 1, "first", 0)
    structures = results["ours", 1][0]["structures"]
    named = "the phantom of imaging/phantoms.py, seed 0" if scan == "phantom" else Path(scan).name
    agreed = (
        f"mean Dice {np.mean(agreement):.4f}, least {min(agreement):.4f}, {len(agreement)} structures"
        if agreement
        else "no structure found"
    )
    return "\n".join([
        *lines,
        "",
        f"{MODEL}, {structures} structures, {named}; {rounds} interleaved rounds in fresh processes, medians. "
        f"Agreement of both sides: {agreed}. Second query / first, ours: {share:.3f}. {described()}.",
    ])  # fmt: skip
