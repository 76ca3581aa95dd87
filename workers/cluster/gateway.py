"""A server's door into the cluster: an actor beside Serve that asks replicas and keeps what they say until it is fetched.

Ray's client protocol (ray://) carries neither Serve's streams nor its cancelling, so both are used from in here, and the
server asks by plain calls. Runs in the cluster.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException, RequestCancelledError

from ... import __version__
from ...imaging.errors import BadCall, Failed, Unavailable
from ..devices import cards
from ..host import kind_of
from ..process import crashed
from ..protocol import Refused, SegmentRequest, SynthesisRequest, Told, WorkerOptions
from .apps import Apps
from .messages import Facts, Message, Room, home_of, model_of

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0  # at an application that has not begun to answer
_PROBE_S = 60.0
_FORGET_S = 60.0
_BACK_S, _AGAIN_S = 30.0, 0.2
_FETCH_S = 1.0  # how long a server's question for news stays open


@dataclass
class _Job:
    """A request that is under way."""

    app: str
    news: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    has_begun: bool = False
    task: asyncio.Task[None] | None = None


class Gateway:
    """Asks for one server; ends with it."""

    def __init__(self) -> None:
        self._apps: Apps | None = None
        self._jobs: dict[str, _Job] = {}

    async def greet(self) -> Facts:
        """Start Serve where it does not run, and say what the cluster is."""
        await asyncio.to_thread(serve.start, proxy_location="Disabled")
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = sum(node.get("GPU", 0.0) for node in nodes)
        return Facts(
            version=__version__,
            cpus=sum(node.get("CPU", 0.0) for node in nodes),
            node_cpus=min((node["CPU"] for node in nodes if node.get("CPU")), default=1.0),
            gpus=gpus,
            card_mb=await _card_mb() if gpus else None,
            store_mb=int(min((node.get("object_store_memory", 0.0) for node in nodes), default=0.0) / 1e6),
            pid=os.getpid(),
        )

    async def settle(self, options: WorkerOptions, most: int) -> None:
        """How every worker works, and how many replicas a model may have."""
        self._apps = Apps(options, most)

    async def ask(
        self, request: SegmentRequest | SynthesisRequest, voxels: list[ray.ObjectRef[Any]], room: Room
    ) -> list[Message]:
        """Begin a request; the answer is the first news of it, as of `fetch`."""
        assert self._apps is not None
        job = _Job(self._apps.name_of(model_of(request), room))
        self._jobs[request.request_id] = job
        job.task = asyncio.create_task(self._follow(self._apps, job, request, voxels, room))
        return await self.fetch(request.request_id)

    async def fetch(self, request_id: str) -> list[Message]:
        """News of a request since the last time, waiting a moment for some; a reply or a refusal is the last of it."""
        job = self._jobs[request_id]
        try:
            found = [await asyncio.wait_for(job.news.get(), _FETCH_S)]
        except TimeoutError:
            return []
        while not job.news.empty():
            found.append(job.news.get_nowait())
        if not isinstance(found[-1], Told):
            del self._jobs[request_id]
        return found

    async def call_off(self, request_id: str) -> None:
        """Cancel a request: in line, on its way to a replica, or there, at the next window."""
        job = self._jobs.get(request_id)
        if job is not None and job.task is not None:
            job.task.cancel()
            asyncio.get_running_loop().call_later(
                _FORGET_S, self._jobs.pop, request_id, None
            )  # if nobody fetches its end

    async def replicas(self) -> dict[str, int]:
        """How many replicas of each of this server's applications run."""
        known = (await asyncio.to_thread(serve.status)).applications
        return {
            name: sum(one.replica_states.get("RUNNING", 0) for one in app.deployments.values())
            for name, app in known.items()
            if name.startswith("ostensor-")
        }

    async def _follow(
        self, apps: Apps, job: _Job, request: SegmentRequest | SynthesisRequest, voxels: list[Any], room: Room
    ) -> None:
        watch = asyncio.create_task(self._watch(apps, job, request.request_id))
        try:
            job.news.put_nowait(await self._answered_in_the_end(apps, job, request, voxels, room))
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled() and (error := watch.exception()) is not None:
                job.news.put_nowait(_refusal(request.request_id, error))
            else:
                job.news.put_nowait(Refused(request.request_id, "cancelled", "The job was cancelled."))
        except Exception as error:  # outer loop of a request: whoever waits must hear of it
            job.news.put_nowait(_refusal(request.request_id, error))
        finally:
            watch.cancel()

    async def _answered_in_the_end(
        self, apps: Apps, job: _Job, request: SegmentRequest | SynthesisRequest, voxels: list[Any], room: Room
    ) -> Message:
        """As `_answered`; a model that was taken down for room is brought up again, of which Serve hears a little late."""
        until = time.monotonic() + _BACK_S
        while True:
            try:
                return await self._answered(apps, job, request, voxels, room)
            except DeploymentUnavailableError:
                if job.has_begun or time.monotonic() > until:
                    raise
                apps.forget(job.app)
                await asyncio.sleep(_AGAIN_S)

    async def _answered(
        self, apps: Apps, job: _Job, request: SegmentRequest | SynthesisRequest, voxels: list[Any], room: Room
    ) -> Message:
        """The last message of a request; those before it go into its news."""
        handle = await apps.handle(model_of(request), room)
        stream = handle.options(stream=True, multiplexed_model_id=home_of(request)).answer.remote(request, *voxels)
        try:
            async for message in stream:
                job.has_begun = True
                if not isinstance(message, Told):
                    return message  # type: ignore[no-any-return]  # Serve's streams are untyped
                job.news.put_nowait(message)
        except asyncio.CancelledError:
            stream.cancel()
            raise
        return Refused(request.request_id, "failed", str(crashed()))

    async def _watch(self, apps: Apps, job: _Job, request_id: str) -> None:
        """While nothing comes: say why, make room, and end a request whose model cannot be started."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if job.has_begun:
                return
            try:
                why = await apps.look_after(job.app, {one.app for one in self._jobs.values()})
            except Failed:
                if job.task is not None:
                    job.task.cancel()
                raise
            if why:
                job.news.put_nowait(Told(request_id, 0.01, why))


async def _card_mb() -> int | None:
    """Memory of a card, as a node with one tells; None where none does."""

    @ray.remote(num_cpus=0, num_gpus=0.01)  # type: ignore[untyped-decorator]  # Ray is not typed here
    def told() -> int | None:
        shown = cards(os.environ["CUDA_VISIBLE_DEVICES"])
        return shown[0].budget_mb if shown else None

    try:
        return await asyncio.wait_for(asyncio.wrap_future(told.remote().future()), _PROBE_S)
    except (TimeoutError, RayError):
        log.warning("no node told how much memory its cards have; a worker takes a whole card")
        return None


def _refusal(request_id: str, error: BaseException) -> Refused:
    if isinstance(error, BadCall | Unavailable | Failed):
        return Refused(request_id, kind_of(error), str(error))
    if isinstance(error, RayActorError):
        return Refused(request_id, "failed", str(crashed()))
    if isinstance(error, RequestCancelledError):
        return Refused(request_id, "cancelled", "The job was cancelled.")
    log.error("request %s failed", request_id, exc_info=error)
    where = "Ray Serve" if isinstance(error, RayError | RayServeException) else "The gateway"
    return Refused(
        request_id,
        "failed",
        f"{where} failed ({type(error).__name__}). Ray's logs have the details. Call the tool once more.",
    )
