"""What workers answer, taken out of shared memory. Torch-free."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import numpy.typing as npt

from ..imaging.volume import BoolArray
from ..models.synthesis.jobs import Synthesized
from .protocol import SegmentReply, SegmentRequest, SynthesisReply

Bytes = memoryview | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SegmentedMask:
    """One mask as the worker found it, on the image's grid; attributes as `models.interface.Decoded` and `Referred`."""

    structure: str
    array: BoolArray
    confidence: float | None
    peak: float | None
    family: str = ""
    element: int | None = None
    notes: tuple[str, ...] = ()
    signs: tuple[float, ...] = ()
    traces: tuple[float, ...] = ()


@dataclass(frozen=True)
class Segmented:
    """Every mask of a request, and what made them."""

    masks: tuple[SegmentedMask, ...]
    encoded: bool
    engine: str
    weights_sha256: str
    seconds: float


def take_masks(reply: SegmentReply, request: SegmentRequest) -> Segmented:
    """Every mask of a reply; its block is freed."""
    block = SharedMemory(name=reply.block)
    assert block.buf is not None  # it is, until it is closed
    try:
        return unpack_masks(reply, request, block.buf)
    finally:
        block.close()
        block.unlink()


def unpack_masks(reply: SegmentReply, request: SegmentRequest, data: Bytes) -> Segmented:
    """Every mask of a reply whose block holds these bytes."""
    count = int(np.prod(request.grid.shape))
    masks = []
    for one in reply.masks:
        packed = np.ndarray((-(-count // 8),), np.uint8, data, one.offset)
        bits: BoolArray = np.unpackbits(packed, count=count).view(np.bool_).reshape(request.grid.shape)
        masks.append(
            SegmentedMask(
                one.structure,
                bits,
                one.confidence,
                one.peak,
                one.family,
                one.element,
                one.notes,
                one.signs,
                one.traces,
            )
        )
        del packed
    return Segmented(tuple(masks), reply.encoded, reply.engine, reply.weights_sha256, reply.seconds)


def take_image(reply: SynthesisReply) -> Synthesized:
    """The image of a reply; its block is freed."""
    block = SharedMemory(name=reply.block)
    assert block.buf is not None  # it is, until it is closed
    try:
        return unpack_image(reply, block.buf)
    finally:
        block.close()
        block.unlink()


def unpack_image(reply: SynthesisReply, data: Bytes) -> Synthesized:
    """The image of a reply whose block holds these bytes."""
    array = np.ndarray(reply.shape, np.dtype(reply.dtype), data).copy()
    return Synthesized(array, reply.by_prior, reply.notes, reply.weights_sha256)


def free_block(message: object) -> None:
    """Let go of a reply that nobody waits for."""
    if isinstance(message, SegmentReply | SynthesisReply):
        with contextlib.suppress(FileNotFoundError):
            block = SharedMemory(name=message.block)
            block.close()
            block.unlink()
