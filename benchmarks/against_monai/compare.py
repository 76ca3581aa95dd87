"""End to end: our path against MONAI's sliding window, with the same weights, on a body and for one organ of a head.

Every round runs each side in a fresh process, one after the other; scan, warm-up and loading are not timed. All start
from the scan in memory and end with boolean masks on its grid. MONAI is run with the windows people run it with; the
smallest ratio is the one to quote.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.inference.hardware import FAST_BF16, cpu_flags
from ..machine import described
from .made_network import NAMES, SPACING_MM, STEPS, load_or_train
from .side import WINDOWS

SAME_DICE = 0.003  # what our masks may be worse by and still count as the same work
Rows = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]


def run(
    *, rounds: int = 3, weights: Path | None = None, report: Callable[[float, str], None] = lambda s, w: None
) -> str:
    """Fourteen structures of a torso of 256 x 256 x 160 voxels: a Markdown table of medians over the rounds.

    Args:
        weights: of the network (`made_network`); trained and written there if the file is not there; None trains it
            each time, which takes some minutes.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = weights or Path(folder) / "network.safetensors"
        load_or_train(kept, lambda share, words: report(share / 2, words))
        found = _measured("body", str(kept), rounds, lambda share, words: report(0.5 + share / 2, words))
    return "\n".join([
        found,
        "",
        f"A U-Net of 5.7 million parameters at {SPACING_MM:g} mm, trained for {STEPS} steps on made bodies "
        f"(benchmarks/against_monai/made_network.py, seed 0); {len(NAMES)} structures of another made body, 256 x 256 x 160 voxels; "
        f"{rounds} interleaved rounds in fresh processes, medians. {described()}.",
    ])  # fmt: skip


def run_organ(
    *, rounds: int = 3, data: Path | None = None, report: Callable[[float, str], None] = lambda s, w: None
) -> str:
    """The hippocampi of a head of 1 mm voxels, found coarsely and drawn in their boxes: a table as of `run`.

    Args:
        data: folder with `brain_t1_more`, whose first head has labels; None takes the template, which has none.
    """
    found = _measured("head", "-" if data is None else str(data), rounds, report)
    scan = (
        "the MNI152 template"
        if data is None
        else "a head with FreeSurfer's labels (ecog) that no network here was taught"
    )
    return "\n".join([
        found,
        "",
        f"Hippocampi in {scan}. Ours: hippocampus-in-head, the brain network over the head and the hippocampus network in two boxes; "
        f"MONAI: the hippocampus network over the head. {rounds} interleaved rounds in fresh processes, medians. {described()}.",
    ])  # fmt: skip


def _measured(task: str, given: str, rounds: int, report: Callable[[float, str], None]) -> str:
    cores = len(os.sched_getaffinity(0))
    kinds = sorted({1, cores})
    fast = any(flag in cpu_flags() for flag in FAST_BF16)
    sides = [*WINDOWS, *(["monai-96-0.25-bf16", "ours-bf16"] if fast else []), "ours-fp32"]
    results: dict[tuple[str, int], list[dict[str, Any]]] = {}
    todo = [(threads, side) for _ in range(rounds) for threads in kinds for side in sides]
    with tempfile.TemporaryDirectory() as folder:
        for number, (threads, side) in enumerate(todo):
            report(number / len(todo), f"{side}, {threads} threads")
            results.setdefault((side, threads), []).append(_once(task, side, threads, given, Path(folder)))
        best = "ours-bf16" if fast else "ours-fp32"
        agreement = min(_agreement(Path(folder), side, best) for side in WINDOWS)
    return f"{table(results, kinds)}\nMasks of ours and of each window of MONAI agree with a Dice of {agreement:.4f} at least."


def _once(task: str, side: str, threads: int, given: str, folder: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "ostensor.benchmarks.against_monai.side", task, side, str(threads), given]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [*words, str(folder / f"{side}.npz")], env=environment, capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _agreement(folder: Path, one: str, other: str) -> float:
    """Dice of all masks of two sides, taken together."""
    first, second = (np.unpackbits(np.load(folder / f"{side}.npz")["masks"]) for side in (one, other))
    return float(2 * np.count_nonzero(first & second) / max(1, first.sum(dtype=np.int64) + second.sum(dtype=np.int64)))


def table(results: Rows, kinds: Sequence[int]) -> str:
    """One row for each side, then the smallest ratios."""
    one, most = kinds[0], kinds[-1]
    sides = [side for side, threads in results if threads == one]

    def median(side: str, threads: int, what: str, clock: int) -> float:
        return statistics.median(float(row[what][clock]) for row in results[side, threads])

    def dice(side: str) -> float:
        known = list(results[side, one][0]["dice"].values())
        return float(np.mean(known)) if known else float("nan")

    lines = [
        f"| side | first query, CPU s, 1 thread | wall s, {most} threads | one structure more, CPU s | peak MB | mean Dice |",
        "|---|---|---|---|---|---|",
    ]
    for side in sides:
        peak = max(float(row["peak_mb"]) for row in results[side, one])
        more = f"{median(side, one, 'second', 0):.3f}" if results[side, one][0]["second"] else "-"
        lines.append(
            f"| {_words(side)} | {median(side, one, 'first', 0):.2f} | {median(side, most, 'first', 1):.2f} | {more} "
            f"| {peak:.0f} | {dice(side):.4f} |"
        )
    lines += [
        "",
        "| smallest ratio over MONAI in fp32 | CPU s | wall s | one structure more | Dice, ours less theirs |",
    ]
    lines.append("|---|---|---|---|---|")
    for side in [one for one in sides if one.startswith("ours")]:
        cpu, wall = (
            min(
                (median(peer, threads, "first", clock) / median(side, threads, "first", clock), peer)
                for peer in WINDOWS
            )
            for threads, clock in ((one, 0), (most, 1))
        )
        further = median(WINDOWS[0], one, "second", 0) / median(side, one, "second", 0)
        lost = min(dice(side) - dice(peer) for peer in WINDOWS)
        told = ", not the same work" if lost < -SAME_DICE else ""
        lines.append(
            f"| {_words(side)} | {cpu[0]:.1f}x ({_words(cpu[1])}) | {wall[0]:.1f}x ({_words(wall[1])}) "
            f"| {further:.0f}x | {lost:+.4f}{told} |"
        )
    lines.append("")
    for side in [one for one in sides if one.startswith("ours")]:
        engine, product = (
            statistics.median(float(row[what]) for row in results[side, one])
            for what in ("engine_gflops", "product_gflops")
        )
        share = median(side, one, "second", 0) / median(side, one, "first", 0)
        lines.append(
            f"{_words(side)}: the network runs at {engine:.0f} GFLOP/s on one thread, {engine / product:.0%} of a product of "
            f"2048 x 2048 matrices ({product:.0f}); one structure more costs {share:.1%} of the first query."
        )
    return "\n".join(lines)


def _words(side: str) -> str:
    kind, *how = side.split("-")
    return f"ours, {how[0]}" if kind == "ours" else f"MONAI, windows of {how[0]}, overlap {how[1]}, {how[2]}"
