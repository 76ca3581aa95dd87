"""Pictures of training samples: `python -m ostensor.training.segmenting.pictures CONFIG DATA FILE.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from ...imaging.pictures.legend import COLOURS
from ..configuration import read_configuration
from .config import RunConfig, read
from .streams import stream_of

_ZOOM, _COLUMNS, _FIRST_STEP = 2, 6, 100


def sheet(plan: RunConfig, data: Path, *, columns: int = _COLUMNS) -> Image.Image:
    """Samples side by side: axial picture, its labels, coronal picture, its labels."""
    batch, _counts = stream_of(plan, data)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for values in plan.structures.values():
        for value in values:
            colours[value] = COLOURS[value % len(COLOURS)]
    rows: list[list[Image.Image]] = [[], [], [], []]
    for step in range(_FIRST_STEP, _FIRST_STEP + columns):
        made = batch(step, 0)
        image, labels = made.images[0, 0].numpy(), made.labels[0].numpy()
        for row, (axis, kind) in enumerate(((2, "image"), (2, "labels"), (1, "image"), (1, "labels"))):
            chosen = image if kind == "image" else labels
            flat = np.take(chosen, chosen.shape[axis] // 2, axis=axis).T[::-1]
            if kind == "image":
                low, high = np.percentile(image, (1, 99.5))
                grey = (np.clip((flat - low) / (high - low), 0, 1) * 255).astype(np.uint8)
                picture = Image.fromarray(grey).convert("RGB")
            else:
                picture = Image.fromarray(colours[flat])
            rows[row].append(picture.resize((picture.width * _ZOOM, picture.height * _ZOOM), Image.Resampling.NEAREST))
    heights = [max(picture.height for picture in row) for row in rows]
    width = max(picture.width for row in rows for picture in row)
    canvas = Image.new("RGB", (width * columns, sum(heights)))
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            canvas.paste(picture, (column * width, sum(heights[:row])))
    return canvas


if __name__ == "__main__":
    sheet(read(read_configuration(sys.argv[1])), Path(sys.argv[2])).save(Path(sys.argv[3]))
