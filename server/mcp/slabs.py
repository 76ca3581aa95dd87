"""Voxels in pieces a client can read: some slices at a time, each piece under a limit, named by its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from ...imaging.errors import BadCall
from ...tools.desk.desk import Desk

if TYPE_CHECKING:
    import numpy as np

LIMIT_BYTES = 700_000  # before base64; Python clients refuse events above 1 MiB (Source: mcp 2.3, max_sse_event_size)


def add_slabs(server: MCPServer[Any], desk: Desk) -> None:
    """ostensor://image/{image_id}/slab/{first}/{last} and the same for masks: raw voxels of these slices."""

    @server.resource(
        "ostensor://image/{image_id}/slab/{first}/{last}",
        mime_type="application/octet-stream",
        description="Voxels of slices first to last (third axis, from 0): little-endian, dtype of the image's record, "
        "third axis slowest.",
    )
    def image(image_id: str, first: str, last: str) -> bytes:
        return _slab(lambda: desk.store.volume(image_id).array, first, last)

    @server.resource(
        "ostensor://mask/{mask_id}/slab/{first}/{last}",
        mime_type="application/octet-stream",
        description="A mask's slices first to last (third axis, from 0): one byte per voxel, 0 or 1, third axis slowest.",
    )
    def mask(mask_id: str, first: str, last: str) -> bytes:
        return _slab(lambda: desk.store.mask(mask_id).array.astype("uint8"), first, last)


def slices_per_read(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> int:
    """How many slices one piece may hold; 0 when not even one fits."""
    return LIMIT_BYTES // (shape[0] * shape[1] * dtype.itemsize)


def _slab(look: Callable[[], np.ndarray[Any, Any]], first: str, last: str) -> bytes:
    try:
        array = look()
    except BadCall as error:
        raise ResourceNotFoundError(str(error)) from None
    if not (first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
        raise ResourceError(f"'{first[:20]}' and '{last[:20]}' are slices, counted from 0. Give whole numbers.")
    begin, end, slices = int(first), int(last), array.shape[2]
    if not begin <= end < slices:
        raise ResourceError(f"Slices {begin} to {end} are none of 0 to {slices - 1}. Give first <= last.")
    most = slices_per_read((array.shape[0], array.shape[1], array.shape[2]), array.dtype)
    if end - begin >= most:
        raise ResourceError(f"{end - begin + 1} slices are too many for one read. At most {most}: read in pieces.")
    piece = array[:, :, begin : end + 1]
    return piece.astype(piece.dtype.newbyteorder("<")).tobytes(order="F")
