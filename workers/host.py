"""The worker process: holds models and image features, answers one request at a time.

Standard output belongs to the protocol of whoever started us, so everything printed here goes
to standard error. The process ends when its parent does.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy.typing as npt

from ..imaging.errors import BadCall, Failed, Unavailable
from ..imaging.volume import Grid
from ..models.inference.views import VIEWS, seen_as
from ..models.interface import (
    Cancelled,
    Clicks,
    Decoded,
    Features,
    Looks,
    NotUnderstood,
    Predictor,
    Promptable,
    Referred,
    Refers,
)
from ..models.promptable.steps import SEEDS
from ..models.synthesis.jobs import CLASSICAL
from ..observing.logs import choose_format, formatter
from ..observing.spans import carried
from ..observing.stages import Kept, note, stage, watching, window_done
from .fallbacks import Way, is_out_of_memory, ways_of
from .packing import mapped_channels, mapped_image, pack_image, pack_masks
from .protocol import (
    Cancel,
    ErrorKind,
    PromptRequest,
    ReferRequest,
    Refused,
    SegmentReply,
    SegmentRequest,
    Stop,
    SynthesisReply,
    SynthesisRequest,
    Told,
    ViewsRequest,
    WorkerOptions,
)

log = logging.getLogger(__name__)

Model = Predictor | Looks | Promptable | Clicks


def main(connection: Connection, options: WorkerOptions) -> None:
    """Serve requests from `connection` until told to stop or left alone."""
    set_environment(options)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.dup2(sys.stderr.fileno(), 1)
    choose_format(options.logs)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger().handlers[0].setFormatter(formatter("worker %(levelname)s %(message)s"))
    Host(connection, options).serve()


def set_environment(options: WorkerOptions) -> None:
    """What libraries read when they are loaded: how they wait, how cards are numbered, how many threads there are."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning barriers cost 1.7 to 5 times on a shared box
    os.environ.setdefault(
        "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
    )  # cuda:N is then the card whose memory `devices.cards` read
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)


class Host:
    """The loop, its caches and the set of requests that were called off."""

    def __init__(self, connection: Connection, options: WorkerOptions) -> None:
        self.connection, self.options = connection, options
        self.waiting: queue.Queue[SegmentRequest | SynthesisRequest | Stop] = queue.Queue()
        self.called_off: set[str] = set()
        self.models: OrderedDict[tuple[str, Way], Model] = OrderedDict()
        from ..models.promptable.studio import Studio  # the server, which imports this file, draws nothing

        self.studio = Studio()
        self.ways = ways_of(options.device)
        self.first_ways: dict[str, tuple[int, int]] = {}  # model -> voxels from which this way is the first to try
        self.features: OrderedDict[tuple[str, str, str], Features] = OrderedDict()
        self.networks: dict[tuple[str, str], Any] = {}
        self.lent: dict[str, npt.NDArray[Any]] = {}  # path -> voxels that were brought, which no file here holds
        module, _, function = options.factory.partition(":")
        self.load: Callable[..., Predictor] = getattr(importlib.import_module(module), function)

    def serve(self) -> None:
        """Answer requests in the order they come."""
        threading.Thread(target=self._listen, daemon=True).start()
        while not isinstance(request := self.waiting.get(), Stop):
            self.connection.send(self.answer(request))
        for model in self.models.values():
            _let_go(model)
        os._exit(0)  # the listening thread may still be reading

    def _listen(self) -> None:
        try:
            while True:
                message = self.connection.recv()
                if isinstance(message, Cancel):
                    self.called_off.add(message.request_id)
                else:
                    self.waiting.put(message)
        except (EOFError, OSError):  # the parent is gone
            os._exit(1)

    def answer(self, request: SegmentRequest | SynthesisRequest) -> SegmentReply | SynthesisReply | Refused:
        """What comes of a request; whatever goes wrong is a refusal."""
        with watching() as watch, carried(request.trace):
            answer = self._answered(request)
        return replace(answer, seen=watch.seen(self._kept()))

    def _kept(self) -> Kept:
        models = sum(model.card.memory_mb for model in self.models.values()) * 1_000_000
        features = sum(one.nbytes for one in self.features.values())
        return Kept(models, features, self.options.models_mb * 1_000_000, self.options.features_mb * 1_000_000)

    def _answered(self, request: SegmentRequest | SynthesisRequest) -> SegmentReply | SynthesisReply | Refused:
        try:
            if isinstance(request, SynthesisRequest):
                job = request.job
                with stage("network"):
                    return self._somehow(
                        request, job.engine, job.grid, lambda way: self._synthesize(request, way), in_half=False
                    )
            return self._somehow(request, request.model, request.grid, lambda way: self._segment(request, way))
        except Cancelled:
            return Refused(request.request_id, "cancelled", "The job was cancelled.")
        except (BadCall, Unavailable, Failed) as error:
            return Refused(request.request_id, kind_of(error), str(error))
        except Exception as error:
            if is_out_of_memory(error):
                self._make_room()
                return Refused(
                    request.request_id,
                    "unavailable",
                    "The worker ran out of memory. Use a smaller image or a smaller model.",
                )
            log.exception("request %s failed", request.request_id)
            return Refused(
                request.request_id,
                "failed",
                f"The model failed ({type(error).__name__}). The worker's log has the details.",
            )
        finally:
            self.called_off.discard(request.request_id)

    def _somehow(
        self,
        request: SegmentRequest | SynthesisRequest,
        model: str,
        grid: Grid,
        attempt: Callable[[Way], SegmentReply | SynthesisReply],
        *,
        in_half: bool = True,
    ) -> SegmentReply | SynthesisReply:
        """As asked, or by the first way for which there is enough memory.

        Args:
            in_half: the model can be run in half precision.
        """
        voxels = math.prod(grid.shape)
        least, first = self.first_ways.get(model, (0, 0))
        for number, way in enumerate(self.ways[first if voxels >= least else 0 :], first if voxels >= least else 0):
            if way.precision == "bf16" and not in_half:
                continue
            if way.notice:
                self._make_room()
                self._tell(request, 0.02, way.notice)
                log.warning("request %s: %s", request.request_id, way.notice)
            try:
                answer = attempt(way)
                note(fallback=way.word)
                if number > 1:  # what is as large will not fit otherwise either
                    self.first_ways[model] = (voxels, number)
                return answer
            except Exception as error:
                if not is_out_of_memory(error) or way is self.ways[-1]:
                    raise
        raise AssertionError("there is always a last way")

    def _make_room(self) -> None:
        """Drop every model and all features, on the device too."""
        self.features.clear()
        self.studio.clear()
        for model in self.models.values():
            _let_go(model)
        self.models.clear()
        self.networks.clear()
        gc.collect()
        if (torch := sys.modules.get("torch")) is not None and self.options.device != "cpu":
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()

    def _segment(self, request: SegmentRequest, way: Way) -> SegmentReply:
        started = time.process_time()
        predictor = self._model(request, way)
        if isinstance(request, PromptRequest):
            found, encoded = self._drawn(predictor, request)
        elif isinstance(predictor, Clicks | Promptable):
            raise BadCall(f"'{request.model}' draws from clicks, not from names. Call refine_mask.")
        elif isinstance(request, ViewsRequest):
            with stage("network"):
                found, encoded = self._under_views(predictor, request), True
        elif isinstance(predictor, Looks):
            found, encoded = self._looked(predictor, request)
        else:
            features, encoded = self._features(predictor, request)
            note(features_hit=not encoded)
            self._tell(request, 0.9, "drawing masks")
            with stage("post"):
                found = _found(predictor, features, request)
        self._stop_if_called_off(request)
        with stage("post"):
            block, masks = pack_masks(found)
        return SegmentReply(
            request_id=request.request_id,
            block=block,
            masks=masks,
            encoded=encoded,
            engine=", ".join(word for word in (str(getattr(predictor, "engine", "")), way.notice) if word),
            weights_sha256=predictor.card.sha256,
            seconds=time.process_time() - started,
        )

    def _synthesize(self, request: SynthesisRequest, way: Way) -> SynthesisReply:
        started = time.process_time()

        def tell(share: float, message: str) -> None:
            self._tell(request, share, message)

        def is_off() -> bool:
            return request.request_id in self.called_off

        if request.job.engine == CLASSICAL:
            from ..models.synthesis.without_network import synthesize_classical

            synthesized = synthesize_classical(request.job, tell, is_off)
        else:
            from ..models.synthesis.runtime import synthesize
            from ..models.synthesizers import synthesis_network

            synthesized = synthesize(
                request.job,
                synthesis_network(request.job.engine),
                progress=tell,
                cancelled=is_off,
                loaded=self.networks,
                device=way.device,
            )
        self._stop_if_called_off(request)
        array = synthesized.array
        name = pack_image(array)
        x, y, z = array.shape
        return SynthesisReply(
            request_id=request.request_id,
            block=name,
            dtype=array.dtype.str,
            shape=(x, y, z),
            by_prior=synthesized.by_prior,
            notes=(*synthesized.notes, f"{way.notice[:1].upper()}{way.notice[1:]}.")
            if way.notice
            else synthesized.notes,
            weights_sha256=synthesized.weights_sha256,
            seconds=time.process_time() - started,
        )

    def _drawn(self, predictor: Model, request: PromptRequest) -> tuple[Sequence[Decoded], bool]:
        """One mask of what was pointed at, and whether the model had to look at the scan."""

        from ..models.promptable.drawing import Asked

        with stage("open"):
            volume = mapped_image(request, predictor.card, self.lent)
        start = None if request.start is None else request.start.on(request.grid.shape)
        about = (request.image_key, request.model, predictor.card.sha256, request.start, request.replay)
        asked = Asked(volume, hashlib.sha256(repr(about).encode()).hexdigest(), start, request.steps)
        encoded = isinstance(predictor, Clicks)

        def looking(network: Promptable) -> Features:
            nonlocal encoded
            features, encoded = self._features(network, request)
            note(features_hit=not encoded)
            return features

        found = self.studio.drawn_by(
            predictor,
            asked,
            looking,
            progress=lambda share: self._tell(request, 0.9 * share, "drawing what was pointed at"),
            cancelled=lambda: request.request_id in self.called_off,
        )
        return [Referred("", found.array, found.iou, None, notes=found.notes)], encoded

    def _model(self, request: SegmentRequest, way: Way) -> Model:
        self._stop_if_called_off(request)
        key = (request.model, replace(way, notice="", word=""))  # said or not, it is the same network
        held = self.models.get(key)
        if isinstance(held, Looks | Clicks) and not held.is_current():
            _let_go(self.models.pop(key))
        if key not in self.models:
            self._tell(request, 0.02, f"loading {request.model}")
            precision = {} if way.precision == "auto" else {"precision": way.precision}
            with stage("load"):
                self.models[key] = (
                    _seed_grower()
                    if request.model == SEEDS
                    else self.load(request.model, device=way.device, threads=self.options.threads, **precision)
                )
        self.models.move_to_end(key)
        while len(self.models) > 1 and sum(m.card.memory_mb for m in self.models.values()) > self.options.models_mb:
            dropped, model = self.models.popitem(last=False)
            _let_go(model)
            log.info("dropped model %s", dropped[0])
        return self.models[key]

    def _looked(self, predictor: Looks, request: SegmentRequest) -> tuple[Sequence[Decoded], bool]:
        with stage("open"):
            volumes = [mapped_image(request, predictor.card, self.lent), *mapped_channels(request, self.lent)]
        with stage("network"):
            return predictor.look(
                volumes,
                request.image_key,
                request.structures,
                progress=lambda share, message: self._tell(request, share, message),
                cancelled=lambda: request.request_id in self.called_off,
            )

    def _features(self, predictor: Predictor | Promptable, request: SegmentRequest) -> tuple[Features, bool]:
        key = (request.model, request.image_key, request.context)
        if key in self.features:
            self.features.move_to_end(key)
            return self.features[key], False
        self._tell(request, 0.05, "reading the image")
        with stage("open"):
            volume = mapped_image(request, predictor.card, self.lent)
        context: dict[str, Any] = {"context": request.context} if request.context else {}

        def looked(share: float) -> None:
            window_done()
            self._tell(request, 0.1 + 0.8 * share, "looking at the image")

        with stage("network"):
            features = predictor.encode(
                volume, progress=looked, cancelled=lambda: request.request_id in self.called_off, **context
            )
        self.features[key] = features
        while len(self.features) > 1 and sum(f.nbytes for f in self.features.values()) > self.options.features_mb * 1e6:
            self.features.popitem(last=False)
        return features, True

    def _under_views(self, predictor: Predictor | Looks, request: ViewsRequest) -> Sequence[Decoded]:
        volume = mapped_image(request, predictor.card, self.lent)
        found = []
        for number, view in enumerate(VIEWS):
            self._tell(request, number / len(VIEWS), f"looking at the image, {view.name}")
            if isinstance(predictor, Looks):
                (one, *_), _asked = predictor.look(
                    [seen_as(view, volume)],
                    "",
                    request.structures[:1],
                    progress=lambda share, message: None,
                    cancelled=lambda: request.request_id in self.called_off,
                )
                found.append(replace(one, array=view.back(one.array)))
                continue
            features = predictor.encode(
                seen_as(view, volume),
                progress=lambda share: None,
                cancelled=lambda: request.request_id in self.called_off,
            )
            one = predictor.decode(features, request.structures[:1])[0]
            found.append(replace(one, array=view.back(one.array)))
        return found

    def _tell(self, request: SegmentRequest | SynthesisRequest, share: float, message: str) -> None:
        self.connection.send(Told(request.request_id, min(1.0, share), message))

    def _stop_if_called_off(self, request: SegmentRequest | SynthesisRequest) -> None:
        if request.request_id in self.called_off:
            raise Cancelled


def kind_of(error: BadCall | Unavailable | Failed) -> ErrorKind:
    """Which of the kinds an error is, its subclasses too."""
    if isinstance(error, NotUnderstood):
        return "not_understood"
    if isinstance(error, BadCall):
        return "bad_call"
    return "unavailable" if isinstance(error, Unavailable) else "failed"


def _seed_grower() -> Promptable:
    from ..models.promptable.seeds import SeedGrower

    return SeedGrower()


def _let_go(model: Model) -> None:
    """End what a model that is dropped has started."""
    if isinstance(model, Looks | Clicks):
        model.close()


def _found(predictor: Predictor, features: Features, request: SegmentRequest) -> Sequence[Decoded]:
    if not isinstance(request, ReferRequest):
        return predictor.decode(features, request.structures)
    if not isinstance(predictor, Refers):
        raise BadCall(f"'{request.model}' takes names of structures, not sentences. Use flans-mini or lsms-mini.")
    return predictor.refer(features, request.structures, request.pointing)
