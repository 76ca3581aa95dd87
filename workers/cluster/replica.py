"""One replica of a model: the worker's Host, asked by Serve. Runs in the cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from ray import serve

from ..host import Host, set_environment
from ..placing import REMEMBERED
from ..process import KILL_AFTER_S
from ..protocol import Refused, SegmentReply, SegmentRequest, SynthesisReply, SynthesisRequest, Told, WorkerOptions
from ..received import free_block
from .messages import Message, home_of, paths_of, taken

log = logging.getLogger(__name__)

_TOLD_S = (
    0.2  # progress is told no more often, and not at all where the answer is there sooner: a message costs some ms
)


class Replica:
    """A Host behind an asynchronous door: it answers one request at a time, in a thread that is always the same."""

    def __init__(self, options: WorkerOptions) -> None:
        set_environment(options)
        self._thread = ThreadPoolExecutor(1, "host")
        self._post = _Post()
        self._host = Host(cast(Connection, self._post), options)  # a Host only sends

    async def answer(
        self, request: SegmentRequest | SynthesisRequest, *voxels: npt.NDArray[Any]
    ) -> AsyncGenerator[Message, None]:
        """Progress, then what came of it. Closing the generator, or cancelling it, calls the request off.

        Args:
            voxels: of the request's files, in the order of `paths_of`; they lie in shared memory of this node.
        """
        loop, news = asyncio.get_running_loop(), asyncio.Queue[Told | None]()
        self._post.deliver = lambda message: loop.call_soon_threadsafe(news.put_nowait, message)
        work = self._thread.submit(self._answer, request, voxels)
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(news.put_nowait, None))
        try:
            if home := home_of(request):
                await self.hold(home)
            while (told := await _latest(news, work)) is not None:
                yield told
            answer = work.result()
            yield answer if isinstance(answer, Refused) else taken(answer)
        finally:
            if not work.done():
                await self._call_off(request.request_id, work)

    @serve.multiplexed(max_num_models_per_replica=REMEMBERED)  # type: ignore[untyped-decorator]  # Ray is not typed here
    async def hold(self, home: str) -> str:
        """Tells Serve that this replica has looked at an image; the features themselves are the Host's to keep or drop."""
        return home

    async def pid(self) -> int:
        """Number of this process."""
        return os.getpid()

    def _answer(
        self, request: SegmentRequest | SynthesisRequest, voxels: tuple[npt.NDArray[Any], ...]
    ) -> SegmentReply | SynthesisReply | Refused:
        if isinstance(request, SynthesisRequest):
            with tempfile.TemporaryDirectory(prefix="ostensor-") as folder:
                return self._host.answer(_on_disk(request, voxels, Path(folder)))
        self._host.lent = dict(zip(paths_of(request), voxels, strict=True))
        try:
            return self._host.answer(request)
        finally:
            self._host.lent = {}

    async def _call_off(self, request_id: str, work: Future[Any]) -> None:
        """Stop at the next window, or end this process; Serve then starts another."""
        self._host.called_off.add(request_id)
        await asyncio.wait({asyncio.wrap_future(work)}, timeout=KILL_AFTER_S)
        if not work.done():
            log.warning("a request did not stop within %.0f s; the replica ends", KILL_AFTER_S)
            os._exit(1)
        free_block(work.result())


class _Post:
    """What a Host takes for its connection."""

    deliver: Callable[[Any], Any]

    def send(self, message: Any) -> None:
        """Hand a message to the request that is under way."""
        self.deliver(message)


async def _latest(news: asyncio.Queue[Told | None], work: Future[Any]) -> Told | None:
    """The latest progress, after a moment in which the end may come; None at the end."""
    told = await news.get()
    if told is not None:
        await asyncio.wait({asyncio.wrap_future(work)}, timeout=_TOLD_S)
    while told is not None and not news.empty():
        told = news.get_nowait()
    return told


def _on_disk(request: SynthesisRequest, voxels: tuple[npt.NDArray[Any], ...], folder: Path) -> SynthesisRequest:
    """The request with files of this machine: synthesis reads its arrays by path, often more than once."""
    here = {}
    for number, (path, array) in enumerate(zip(paths_of(request), voxels, strict=True)):
        here[path] = str(folder / f"{number}.npy")
        np.save(here[path], array, allow_pickle=False)
    job = request.job
    return replace(
        request,
        job=replace(job, labels_path=here.get(job.labels_path, ""), source_path=here.get(job.source_path, "")),
    )
