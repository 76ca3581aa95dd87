"""One side of `bench segment` in a process of its own: prints one line of JSON.

`python -m ostensor.benchmarks.speed.segment_side ours|monai SCAN THREADS MASKS.npz`
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ...imaging.geometry import resample
from ...imaging.masks.dice import dice
from ...imaging.phantoms import torso_ct
from ...imaging.volume import Grid, Volume
from ...models.catalogue import card
from ...models.inference.preprocess import Preparation, normalised
from ...models.language.satmini.network import SatMini, SatMiniConfig
from ...models.load import load_predictor
from ...models.text.encoders import known_vectors
from ..machine import peak_mb

MODEL = "sat-mini-torso"
SHAPE, SPACING_MM = (256, 256, 160), (1.5, 1.5, 3.0)
PATCH = (80, 64, 80)  # what the network was trained on, as MONAI's users set roi_size
Masks = npt.NDArray[np.bool_]


def scan(name: str) -> tuple[Volume, dict[str, Masks]]:
    """A torso CT of 256 x 256 x 160 voxels with its true masks: made ("phantom"), or a real one from a file.

    A real scan is resampled to this size and has no true masks.
    """
    if name == "phantom":
        field = ((-192.0, 192.0), (-192.0, 192.0), (-230.0, 250.0))
        made = torso_ct(spacing_mm=SPACING_MM, field_mm=field)
        return made.volume, {structure: mask.array for structure, mask in made.masks.items()}
    from ...imaging.files import read_image

    opened = read_image(Path(name)).volume
    assert opened is not None
    extent = np.array(opened.grid.shape) * np.array(opened.grid.spacing_mm)
    affine = opened.grid.affine @ np.diag([*(np.array(opened.grid.shape) / np.array(SHAPE)), 1.0])
    grid = Grid(SHAPE, affine)
    assert np.allclose(np.array(grid.spacing_mm) * np.array(SHAPE), extent, rtol=1e-3)
    return Volume(resample(opened.array.astype(np.float32), opened.grid, grid).astype(np.int16), grid, "ct"), {}


def ours(volume: Volume, threads: int) -> tuple[Callable[[], Any], Callable[[Any, list[str]], Masks]]:
    """Encode, and decode."""
    predictor = load_predictor(MODEL, threads=threads)

    def encode() -> Any:
        return predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)

    def decode(features: Any, names: list[str]) -> Masks:
        return np.stack([one.array for one in predictor.decode(features, names)])

    return encode, decode


def monai(volume: Volume, threads: int) -> tuple[Callable[[], Any], Callable[[Any, list[str]], Masks]]:
    """The same weights in plain torch through MONAI: orientation, spacing, default sliding window, resampled logits."""
    from monai.data.meta_tensor import MetaTensor
    from monai.inferers.utils import sliding_window_inference
    from monai.transforms.spatial.array import Orientation, Spacing

    entry = card(MODEL)
    net = SatMini(SatMiniConfig.from_json(entry.facts["network"]))
    from safetensors.torch import load_file

    from ...models.catalogue import WEIGHTS_FOLDER

    net.load_state_dict({k: v.float() for k, v in load_file(WEIGHTS_FOLDER / entry.weights_file).items()})
    net.eval()
    how = Preparation.from_json(entry.facts["preparation"])
    torch.set_num_threads(threads)

    def encode() -> Any:
        image = MetaTensor(
            torch.from_numpy(volume.array.astype(np.float32))[None], affine=torch.from_numpy(volume.grid.affine)
        )
        turned = Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
        return Spacing(how.spacing_mm, mode="bilinear")(turned), turned

    @torch.inference_mode()
    def decode(given: Any, names: list[str]) -> Masks:
        small, turned = given
        array = normalised(small.numpy()[0], how.intensity, calibrated=True)
        text = torch.from_numpy(np.stack([known_vectors()[name] for name in names]))
        logits = sliding_window_inference(torch.from_numpy(array)[None, None], PATCH, 4, lambda x: net(x, text))
        assert isinstance(logits, torch.Tensor)
        full = F.interpolate(logits, size=tuple(turned.shape[1:]), mode="trilinear", align_corners=False)
        masks = (torch.sigmoid(full) > 0.5)[0].numpy()
        codes = volume.grid.axis_codes
        backwards = tuple(slice(None, None, -1 if code in "LPI" else 1) for code in codes)
        return np.ascontiguousarray(masks[(slice(None), *backwards)])

    return encode, decode


def main(side: str, name: str, threads: int, out: Path) -> None:
    """Time everything once, after a warm-up of the network on a corner of the scan."""
    volume, truth = scan(name)
    names = list(card(MODEL).claimed)
    corner = Volume(volume.array[:64, :64, :32], Grid((64, 64, 32), volume.grid.affine), "ct")
    make = ours if side == "ours" else monai
    encode, decode = make(corner, threads)
    decode(encode(), names[:1])
    encode, decode = make(volume, threads)
    before = peak_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    features = encode()
    masks = decode(features, names)
    first = (time.process_time() - cpu, time.perf_counter() - wall)
    cpu, wall = time.process_time(), time.perf_counter()
    decode(features, names[-1:])
    second = (time.process_time() - cpu, time.perf_counter() - wall)
    np.savez_compressed(out, masks=np.packbits(masks))
    peak = peak_mb()
    known = {structure: n for n, structure in enumerate(names) if structure in truth}
    found = {
        "dice": {structure: dice(masks[n], truth[structure]) for structure, n in known.items()},
        "first": first,
        "second": second,
        "peak_mb": peak,
        "before_mb": before,
        "structures": len(names),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
