"""What server, gateway and replicas say to each other beyond the workers' protocol. Knows neither Ray nor torch.

Voxels travel through Ray's object store, named by a reference; masks come back as the bytes of the block that a worker
packed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import blosc2
import numpy as np

from ...models.synthesis.jobs import Synthesized
from ..protocol import Refused, SegmentReply, SegmentRequest, SynthesisReply, SynthesisRequest, Told
from ..received import Segmented, unpack_image, unpack_masks

Reply = SegmentReply | SynthesisReply


@dataclass(frozen=True)
class Delivered:
    """A reply and the bytes of its block, packed: masks are mostly empty, and bytes are copied four times on their way."""

    request_id: str
    reply: Reply
    packed: bytes
    nbytes: int


Message = Told | Refused | Delivered


@dataclass(frozen=True)
class Room:
    """What a replica asks of a node.

    Attributes:
        gpus: share of a card; 0 runs on the processor.
        memory_mb: of the node, which Ray's scheduler reckons with and does not enforce.
    """

    gpus: float
    memory_mb: int

    @property
    def name(self) -> str:
        """As it stands in a deployment's name."""
        return f"gpu{self.gpus:g}" if self.gpus else f"cpu{self.memory_mb}mb"


@dataclass(frozen=True)
class Facts:
    """What a cluster is.

    Attributes:
        version: of ostensor there.
        cpus: of all nodes; node_cpus: of the smallest node that has any.
        gpus: cards of all nodes.
        card_mb: what may be reckoned with on the smallest card; None where there is no card, or no node tells.
        store_mb: shared memory for objects on the smallest node.
        pid: the gateway's process, on its machine.
    """

    version: str
    cpus: float
    node_cpus: float
    gpus: float
    card_mb: int | None
    store_mb: int
    pid: int


def taken(reply: Reply) -> Delivered:
    """A reply with its bytes; the block is freed."""
    block = SharedMemory(name=reply.block)
    try:
        data = np.ndarray((block.size,), np.uint8, block.buf)
        packed = blosc2.compress2(
            data, codec=blosc2.Codec.LZ4, clevel=1, typesize=1, filters=[blosc2.Filter.NOFILTER], nthreads=1
        )
        del data
        return Delivered(reply.request_id, reply, packed, block.size)
    finally:
        block.close()
        block.unlink()


def unpacked(delivered: Delivered, request: SegmentRequest | SynthesisRequest) -> Segmented | Synthesized:
    """What a reply holds."""
    data = np.empty(delivered.nbytes, np.uint8)
    blosc2.decompress2(delivered.packed, dst=data, nthreads=1)
    if isinstance(request, SynthesisRequest):
        assert isinstance(delivered.reply, SynthesisReply)
        return unpack_image(delivered.reply, data)
    assert isinstance(delivered.reply, SegmentReply)
    return unpack_masks(delivered.reply, request, data)


def paths_of(request: SegmentRequest | SynthesisRequest) -> tuple[str, ...]:
    """Files of voxels that a request names, each once."""
    if isinstance(request, SynthesisRequest):
        named: tuple[str, ...] = (request.job.labels_path, request.job.source_path)
    else:
        named = (request.array_path, *request.channel_paths)
    return tuple(dict.fromkeys(path for path in named if path))


def model_of(request: SegmentRequest | SynthesisRequest) -> str:
    """The model or engine that is asked."""
    return request.model if isinstance(request, SegmentRequest) else request.job.engine


def home_of(request: SegmentRequest | SynthesisRequest) -> str:
    """Serve's multiplexed id: a short key of the image; "" where nothing is kept to come back to."""
    key = request.image_key if isinstance(request, SegmentRequest) else ""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""
