"""What a synthesis job says and answers. Small, frozen, torch-free; voxels lie in `.npy` files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...imaging.volume import Grid
from .scales import Background, Made

Task = Literal["synthesize", "translate", "inpaint"]
Quality = Literal["draft", "standard", "fine"]
STEPS: dict[Quality, int] = {"draft": 4, "standard": 8, "fine": 30}
CLASSICAL = "classical"


@dataclass(frozen=True)
class SynthesisJob:
    """One image to make.

    Attributes:
        engine: "classical", or the name of a bundled synthesis network.
        names: label -> structure of the label map; kinds: structure -> what it is or is part of.
        labels_path: `.npy` of the label map (x y z); "" for translation.
        source_path: `.npy` of the image to translate or inpaint; "" for synthesis.
        source_modality: of that image.
        keep_labelled: inpainting keeps what is labelled; False keeps the rest.
        dilate: voxels by which what is kept of the image grows around the labels.
        threads: of the CPU; None leaves the library's choice.
    """

    task: Task
    engine: str
    modality: Made
    grid: Grid
    seed: int
    steps: int
    names: dict[int, str] = field(default_factory=dict)
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    labels_path: str = ""
    source_path: str = ""
    source_modality: str = ""
    background: Background = "auto"
    keep_labelled: bool = True
    dilate: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class Synthesized:
    """The image made.

    Attributes:
        array: int16 (x y z) on the job's grid.
        by_prior: structures the network was never taught, painted by their prior.
        notes: what a reader must know.
    """

    array: npt.NDArray[np.int16]
    by_prior: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights_sha256: str = ""


def memory_mb(engine: str, grid: Grid) -> int:
    """What a job needs, in MB, as known before it starts.

    An upper estimate of ours: the process with torch and MONAI, 60 bytes per voxel for the arrays of a job, and
    600 activations of 4 bytes per pixel of the eight slices denoised together.
    """
    voxels = int(np.prod(grid.shape))
    copies = voxels * 60 // 1_000_000
    if engine == CLASSICAL:
        return 350 + copies
    return 900 + copies + 8 * grid.shape[0] * grid.shape[1] * 2400 // 1_000_000
