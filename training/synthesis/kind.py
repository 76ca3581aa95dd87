"""Runs that teach a network to make images: what commands ask of them."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from ..kinds import How, Measured
from . import evaluate as measuring
from . import export as exporting
from .fit import fit
from .run import SynthesisRun, read

__all__ = ["evaluate", "export", "fit", "read"]


def evaluate(run: SynthesisRun, folders: Folders, how: How) -> Measured:
    """Synthetic images of held-out anatomy beside their rivals."""
    scores = measuring.evaluate(run, folders)
    lines = ["| made by | SSIM | PSNR, dB | FSIM | mask Dice | nearest | z steps |", f"|{'---|' * 7}"]
    for one in scores:
        dice = f"{sum(one.dice.values()) / len(one.dice):.3f}" if one.dice else "-"
        steps = "-" if one.jitter is None else f"{one.jitter:.2f}"
        lines.append(
            f"| {one.maker} | {one.ssim:.3f} | {one.psnr:.1f} | {one.fsim:.3f} | {dice} | {one.nearest:.3f} | {steps} |"
        )
    return Measured("\n".join(lines), scores)


def export(run: SynthesisRun, measured: Measured, folders: Folders) -> Path:
    """Half-precision weights, facts and card."""
    return exporting.write(run, measured.found, folders)
