"""The worker's side of shared memory: images mapped, masks and images packed into blocks. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..imaging.hounsfield import check_hu
from ..imaging.volume import Volume
from ..models.card import Card
from ..models.interface import Decoded, Referred
from .protocol import MaskReply, SegmentRequest

Lent = Mapping[str, npt.NDArray[Any]]  # voxels by the path that names them, where they lie in no file of this machine


def mapped_image(request: SegmentRequest, card: Card, lent: Lent = MappingProxyType({})) -> Volume:
    """The image a request is about, mapped; a CT that is not in HU is refused for a model that needs them."""
    array = _mapped(request.array_path, lent)
    volume = Volume(array, request.grid, request.modality, request.synthetic)
    if card.intensity == "ct-hu":
        check_hu(volume, card.name)
    return volume


def mapped_channels(request: SegmentRequest, lent: Lent = MappingProxyType({})) -> list[Volume]:
    """Further images on the grid."""
    arrays = [_mapped(path, lent) for path in request.channel_paths]
    return [Volume(array, request.grid, request.modality, request.synthetic) for array in arrays]


def _mapped(path: str, lent: Lent) -> Any:
    return lent[path] if path in lent else np.load(path, mmap_mode="r", allow_pickle=False)


def pack_masks(found: Sequence[Decoded]) -> tuple[str, tuple[MaskReply, ...]]:
    """A block with every mask as bits, and where each begins; whoever reads it frees it."""
    bits = [np.packbits(one.array) for one in found]
    block = SharedMemory(create=True, size=max(1, sum(b.size for b in bits)))
    masks, offset = [], 0
    for one, packed in zip(found, bits, strict=True):
        np.ndarray(packed.shape, np.uint8, block.buf, offset)[:] = packed
        reply = MaskReply(one.structure, offset, one.confidence, one.peak, signs=one.signs, traces=one.traces)
        if isinstance(one, Referred):
            reply = replace(reply, family=one.family, element=one.element, notes=one.notes)
        masks.append(reply)
        offset += packed.size
    name = block.name
    block.close()
    return name, tuple(masks)


def pack_image(array: npt.NDArray[Any]) -> str:
    """A block with an image; whoever reads it frees it."""
    block = SharedMemory(create=True, size=array.nbytes)
    np.ndarray(array.shape, array.dtype, block.buf)[:] = array
    name = block.name
    block.close()
    return name
