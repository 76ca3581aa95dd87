"""What server and worker say to each other. Small, frozen, torch-free.

Voxels never travel: a request names a `.npy` file that both map, a reply names a block of
shared memory with the masks as packed bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..imaging.volume import Grid, Modality
from ..models.interface import Pointing
from ..models.promptable.steps import Bits, Step
from ..models.synthesis.jobs import SynthesisJob
from ..observing.settings import LogFormat
from ..observing.stages import NOTHING_SEEN, Seen

VERSION = 1
ErrorKind = Literal["bad_call", "not_understood", "unavailable", "failed", "cancelled"]


@dataclass(frozen=True)
class SegmentRequest:
    """Find structures in an image.

    Attributes:
        request_id: unique; cancel refers to it.
        array_path: `.npy` of the voxels (x y z) on `grid`.
        context: sentence on modality and region (T1), for models that take one.
        image_key: content hash of the image; features are cached under it.
        is_batch: nobody waits for it, so those for whom somebody does come first.
        channel_paths: `.npy` of further images on the grid, for models of several channels.
        trace: "traceparent" of the span that asks; "" for none.
    """

    request_id: str
    array_path: str
    grid: Grid
    modality: Modality
    synthetic: bool
    image_key: str
    model: str
    structures: tuple[str, ...]
    context: str = ""
    channel_paths: tuple[str, ...] = ()
    is_batch: bool = False
    version: int = VERSION
    trace: str = ""


@dataclass(frozen=True)
class ReferRequest(SegmentRequest):
    """Find what sentences describe; they stand in `structures`, and `model` must take sentences.

    Attributes:
        pointing: which slices, and how the picture is to be understood.
    """

    pointing: Pointing = field(default_factory=Pointing)


@dataclass(frozen=True)
class ViewsRequest(SegmentRequest):
    """Find one structure under every view of `models.views`; the reply holds a mask for each, moved back."""


@dataclass(frozen=True)
class PromptRequest(SegmentRequest):
    """Draw what was pointed at; `structures` is empty, the reply holds one mask with its notes, `confidence` the IoU expected.

    Attributes:
        start: the mask to start from; None for none.
        steps: all of them, the last one new; a worker that knows those before draws only that one.
        replay: names a run through steps that were drawn before, which shares nothing with the first; "" for none.
    """

    start: Bits | None = None
    steps: tuple[Step, ...] = ()
    replay: str = ""


@dataclass(frozen=True)
class SynthesisRequest:
    """Make an image."""

    request_id: str
    job: SynthesisJob
    is_batch: bool = False
    version: int = VERSION
    trace: str = ""


@dataclass(frozen=True)
class SynthesisReply:
    """The image made: an array of this type and shape in a block of shared memory, which the receiver frees.

    Attributes:
        by_prior, notes, weights_sha256: as `models.synthesis.jobs.Synthesized`.
        seconds: processor time the worker spent.
    """

    request_id: str
    block: str
    dtype: str
    shape: tuple[int, int, int]
    by_prior: tuple[str, ...]
    notes: tuple[str, ...]
    weights_sha256: str
    seconds: float
    seen: Seen = NOTHING_SEEN


@dataclass(frozen=True)
class MaskReply:
    """One mask: its bits start at `offset` of the reply's block, packed along z first.

    Attributes:
        confidence, peak, signs, traces: as `models.interface.Decoded`.
        family, element, notes: of a sentence, as `models.interface.Referred`.
    """

    structure: str
    offset: int
    confidence: float | None
    peak: float | None
    family: str = ""
    element: int | None = None
    notes: tuple[str, ...] = ()
    signs: tuple[float, ...] = ()
    traces: tuple[float, ...] = ()


@dataclass(frozen=True)
class SegmentReply:
    """Every mask of a request, in its order.

    Attributes:
        block: name of the shared memory that holds the bits; the receiver frees it.
        encoded: False when the features were in the cache.
        engine: what ran the network.
        weights_sha256: of the file that was loaded.
        seconds: processor time the worker spent.
        seen: where its time went.
    """

    request_id: str
    block: str
    masks: tuple[MaskReply, ...]
    encoded: bool
    engine: str
    weights_sha256: str
    seconds: float
    seen: Seen = NOTHING_SEEN


@dataclass(frozen=True)
class Told:
    """Progress of a request, 0 to 1."""

    request_id: str
    share: float
    message: str


@dataclass(frozen=True)
class Refused:
    """A request that ended without masks; `text` is fit for the user."""

    request_id: str
    kind: ErrorKind
    text: str
    seen: Seen = NOTHING_SEEN


@dataclass(frozen=True)
class Cancel:
    """Stop a request at the next window."""

    request_id: str


@dataclass(frozen=True)
class Stop:
    """End the process when idle."""


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker process works.

    Attributes:
        factory: "module:function" that loads a model by name (a toy in tests).
        threads: of the CPU; None leaves the library's choice.
        models_mb: models are dropped, oldest use first, when their estimates exceed this.
        features_mb: the same for cached image features.
        logs: how lines of the log are written.
    """

    factory: str = "ostensor.models.load:load_predictor"
    device: str = "cpu"
    threads: int | None = None
    models_mb: int = 4000
    features_mb: int = 2000
    logs: LogFormat = "text"
