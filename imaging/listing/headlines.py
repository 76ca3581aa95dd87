"""What one file is, by its name and its header: no voxel is read, and nothing of it names a patient."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from PIL import Image

from ..errors import BadCall
from ..formats.headed.layout import Layout
from ..formats.headed.reading import read_layout
from ..formats.mgh import read_head
from ..formats.nifti import read_outline
from ..formats.table import Format
from ..guards.doors import Door

# Words that label files are called by, and folders of them (nnU-Net, TotalSegmentator, Medical Decathlon, BIDS).
_LABEL_WORDS = re.compile(
    r"(^|[._\-\s])(d?seg|segmentations?|labels?|masks?|rois?|a?seg|aparc|ground_?truth|gt|msk_[0-9a-f]{12})([._\-+\s]|$)",
    re.I,
)
_LABEL_FOLDERS = re.compile(r"labels?(Tr|Ts)?|segmentations?|masks?|gt|ground_?truth", re.I)
_DAMAGED = (BadCall, OSError, EOFError, ValueError, SyntaxError, IsalError)  # what readers of a header raise


@dataclass(frozen=True)
class Headline:
    """One file that can be opened.

    Attributes:
        shape: voxels along each axis as stored; () when the header cannot be read.
        spacing_mm: () where the header tells none.
        is_labels: its name, folder or header says that it holds masks.
    """

    kind: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    is_labels: bool = False


def headline(path: Path, row: Format, door: Door) -> Headline:
    """What a file of this format says of itself."""
    named = _is_named_so(path)
    try:
        shape, spacing, labels = _read(path, row, door)
    except _DAMAGED:  # type: ignore[misc]  # isal types its error loosely
        return Headline(row.name, is_labels=named)
    return Headline(row.name, shape, tuple(round(float(s), 4) for s in spacing), named or labels)


def _is_named_so(path: Path) -> bool:
    return bool(_LABEL_WORDS.search(path.name) or _LABEL_FOLDERS.fullmatch(path.parent.name))


def _read(path: Path, row: Format, door: Door) -> tuple[tuple[int, ...], Sequence[float], bool]:
    if row.name == "nifti":
        return read_outline(path, door)
    with door.open(path) as file:
        if row.name == "mgh":
            packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]  # a buffered file has it
            stream: Any = igzip.IGzipFile(fileobj=file, mode="rb") if packed else file
            shape, _, grid, known = read_head(stream, path.name)
            return shape, grid.spacing_mm if known else (), False
        if row.name in ("nrrd", "nhdr", "metaimage"):
            layout = read_layout(file, path.name)
            return layout.shape, _spacing(layout), False
        with Image.open(file) as picture:  # its header only, until somebody loads it
            return picture.size, (), picture.mode == "P"


def _spacing(layout: Layout) -> Sequence[float]:
    sizes = np.linalg.norm(layout.directions, axis=0) * layout.scale_mm
    return sizes.tolist() if layout.spacing_said and len(sizes) == 3 else ()
