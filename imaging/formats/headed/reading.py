"""From a MetaImage or NRRD to voxels on a grid: the header by its grammar, the voxels by ourselves."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import BadCall
from ...guards.doors import ANYWHERE, Door
from ...guards.limits import BUDGET
from ...volume import Grid
from ..table import NO_ORIENTATION, Raw
from .layout import HEADER_BYTES, Layout, damaged, elsewhere
from .metaimage import metaimage_layout
from .nrrd import nrrd_layout
from .voxels import bytes_needed, voxels

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_headed(path: Path, door: Door = ANYWHERE) -> Raw:
    """What the file holds, with the one file beside it that its header may name.

    Raises:
        BadCall: damaged, colour or vector voxels, not 2-D or 3-D, or voxels kept anywhere else.
    """
    with door.open(path) as file:
        layout = read_layout(file, path.name)
        kept = _kept(layout, path.name)
        array = read_voxels(file, layout, path, door)
    array = array.reshape(tuple(layout.shape[axis] for axis in kept), order="F")
    return _placed(array, layout, kept)


def read_voxels(file: BinaryIO, layout: Layout, path: Path, door: Door) -> np.ndarray:
    """All voxels in a row, from the open header's own file or from the one beside it.

    Raises:
        BadCall: as `read_headed`.
    """
    if not layout.data_file:
        return _voxels(file, layout, path.name)
    with _neighbour(path, layout.data_file, door) as data:
        return _voxels(data, layout, path.name)


def _neighbour(path: Path, name: str, door: Door) -> BinaryIO:
    """The open file beside the header.

    Raises:
        BadCall: it is missing, or a link.
    """
    folder = path.parent.resolve()
    near = door if door.folders else Door((folder,))
    try:
        return near.open(folder / name)
    except BadCall as error:
        raise elsewhere(path.name) from error
    except OSError as error:
        raise damaged(path.name, "the file beside it that holds its voxels cannot be opened") from error


def refuse_detached(path: Path, door: Door = ANYWHERE) -> None:
    """Refuse a file that keeps its voxels in another one, though it lay beside it; anything else passes.

    Raises:
        BadCall: it does, or its header is damaged.
    """
    if not path.name.lower().endswith((".mha", ".mhd", ".nrrd", ".nhdr")):
        return
    with door.open(path) as file:
        if read_layout(file, path.name).data_file:
            raise BadCall(
                f"'{path.name}' keeps its voxels in another file, and one file is taken here. "
                "Save it as one file (.mha, .nrrd, .nii.gz)."
            )


def read_layout(file: BinaryIO, name: str) -> Layout:
    """What the header of an open file says.

    Raises:
        BadCall: it does not follow its format.
    """
    file.seek(0)
    head = file.read(HEADER_BYTES)
    return nrrd_layout(head, name) if head.startswith(b"NRRD") else metaimage_layout(head, name)


def _kept(layout: Layout, name: str) -> tuple[int, ...]:
    """The axes of the image: all that are longer than one voxel, and at least the first two or three.

    Raises:
        BadCall: not two or three of them.
    """
    if len(layout.shape) < 2:
        raise damaged(name, "it has a single axis")
    if any(n > 1 for n in layout.shape[3:]):
        raise BadCall(
            f"'{name}' is a {len(layout.shape)}-D series of shape {layout.shape}. One 3-D volume is needed. "
            "Save a single time point; segments of 3D Slicer (.seg.nrrd) are for import_mask."
        )
    return tuple(range(min(3, len(layout.shape))))


def _voxels(file: BinaryIO, layout: Layout, name: str) -> np.ndarray:
    with BUDGET.reserved(name, bytes_needed(layout)):
        return voxels(file, layout, name)


def _placed(array: np.ndarray, layout: Layout, kept: tuple[int, ...]) -> Raw:
    affine, count = np.eye(4), len(kept)
    affine[:count, :count] = layout.directions[:count, :count]
    affine[:count, 3] = layout.origin[:count]
    if count == 2:
        grid = Grid((*array.shape, 1), _LPS_TO_RAS @ affine, spacing_known=False)
        note = "A 2-D file: its slice thickness is not known, so no volume can be given."
        return Raw(array[..., None], grid, (note, NO_ORIENTATION), layout.synthetic)
    affine[:3] *= layout.scale_mm
    grid = Grid(array.shape, _LPS_TO_RAS @ affine, spacing_known=layout.spacing_said)
    return Raw(array, grid, () if layout.orientation_said else (NO_ORIENTATION,), layout.synthetic)
