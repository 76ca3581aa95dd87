"""The models as Serve applications: brought up when first asked, scaled by how much is asked, taken down for room. Runs in the cluster."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.serve import RunTarget
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from ... import __version__
from ...imaging.errors import Failed, Unavailable
from ..protocol import WorkerOptions
from .messages import Room
from .replica import Replica
from .routing import HomeFirst

IDLE_S = 600.0  # after which a model's last replica ends; the next call pays for loading it
_SPARE_S = 60.0  # after which replicas end that nobody needs beside the first
_RECKONED_S = 3.0  # until Ray counts what ended applications held as free
_PREFIX = "ostensor"


class Apps:
    """One application for each model and room; servers that are alike share them.

    Args:
        options: of every worker; the device is set for each.
        most: replicas of one model.
    """

    def __init__(self, options: WorkerOptions, most: int) -> None:
        self.options, self.most = options, most
        alike = repr((__version__, options, most))
        self._version = hashlib.sha256(alike.encode()).hexdigest()[:8]
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._used: dict[str, float] = {}  # application -> when it was last needed
        self._rooms: dict[str, Room] = {}
        self._deploying = asyncio.Lock()
        self._leaving: dict[str, float] = {}  # application that makes room -> when it was last seen

    def name_of(self, model: str, room: Room) -> str:
        """The application's name."""
        return "-".join((_PREFIX, re.sub(r"[^A-Za-z0-9_.]", "_", model), room.name, self._version))

    async def handle(self, model: str, room: Room) -> DeploymentHandle[Any]:
        """Whom to ask; the application is brought up where it is missing, and its first replica may still be starting.

        Raises:
            Unavailable: no node is large enough.
        """
        name = self.name_of(model, room)
        self._used[name] = time.monotonic()
        if name in self._handles:
            return self._handles[name]
        async with self._deploying:
            if name not in self._handles:
                _check_fits(room)
                self._rooms[name] = room
                self._handles[name] = await asyncio.to_thread(self._bring_up, name, room)
        return self._handles[name]

    def forget(self, name: str) -> None:
        """Look again, when it is asked for, whether an application is there."""
        self._handles.pop(name, None)

    def _bring_up(self, name: str, room: Room) -> DeploymentHandle[Any]:
        known = serve.status().applications.get(name)
        if known is None or known.status.value not in ("RUNNING", "DEPLOYING"):
            target = RunTarget(self._application(room), name=name, route_prefix=None)
            serve.run_many([target], wait_for_applications_running=False)
        return serve.get_app_handle(name)

    def _application(self, room: Room) -> Any:
        options = replace(self.options, device="cuda:0" if room.gpus else "cpu")
        resources: dict[str, Any] = {"num_cpus": 0, "num_gpus": room.gpus}
        if room.memory_mb:
            resources["memory"] = room.memory_mb * 1_000_000
        return serve.deployment(
            Replica,
            name="model",
            max_ongoing_requests=1,
            ray_actor_options=resources,
            request_router_config=RequestRouterConfig(request_router_class=HomeFirst),
            autoscaling_config={
                "min_replicas": 0,
                "initial_replicas": 1,
                "max_replicas": self.most,
                "target_ongoing_requests": 1,
                "metrics_interval_s": 1,
                "look_back_period_s": 2,
                "upscale_delay_s": 1,
                "downscale_delay_s": _SPARE_S,
                "downscale_to_zero_delay_s": IDLE_S,
            },
        ).bind(options)

    async def look_after(self, name: str, busy: set[str]) -> str:
        """Why an application has not begun to answer, after making room for it where there is none; "" when it runs.

        Args:
            busy: applications that answer somebody now.

        Raises:
            Failed: its replicas cannot start.
        """
        return await asyncio.to_thread(self._look_after, name, busy)

    def _look_after(self, name: str, busy: set[str]) -> str:
        known = serve.status().applications.get(name)
        if known is None:  # another server made room
            self._handles.pop(name, None)
            raise Failed("The model was taken out of the cluster to make room for others. Call the tool once more.")
        states: dict[str, int] = next((one.replica_states for one in known.deployments.values()), {})
        message = " ".join(one.message for one in known.deployments.values())
        if known.status.value == "DEPLOY_FAILED" or (known.status.value == "UNHEALTHY" and not states.get("RUNNING")):
            self._handles.pop(name, None)
            raise Failed(
                "The cluster cannot start the model's worker. Its log, under Ray's log folder on that node, says why; often "
                f"ostensor {__version__} or a package of the model is not installed there."
            )
        if states.get("RUNNING"):
            return ""
        if not _has_room(self._rooms[name]) or "to be scheduled" in message:
            if self._is_room_coming():
                return "waiting for room in the cluster"
            idle = sorted((one for one in self._handles if one != name and one not in busy), key=self._used.__getitem__)
            if not idle:
                return "waiting for room in the cluster"
            self._handles.pop(idle[0])
            self._leaving[idle[0]] = time.monotonic()
            serve.delete(idle[0], _blocking=False)
            return "making room in the cluster"
        return "starting a worker in the cluster"

    def _is_room_coming(self) -> bool:
        """Whether what was taken down still ends, or Ray has not reckoned with its end yet; more is taken only after that."""
        there, now = serve.status().applications, time.monotonic()
        self._leaving = {
            name: now if name in there and name not in self._handles else seen
            for name, seen in self._leaving.items()
            if now - seen < _RECKONED_S
        }
        return bool(self._leaving)


def _check_fits(room: Room) -> None:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(
        node.get("memory", 0) >= room.memory_mb * 1_000_000 and node.get("GPU", 0) >= room.gpus for node in nodes
    ):
        most = max((node.get("memory", 0) for node in nodes), default=0) / 1e6
        raise Unavailable(
            f"This needs a worker of {room.memory_mb} MB, but the cluster's largest node has {most:.0f} MB. "
            "Use a smaller image or a smaller model."
        )


def _has_room(room: Room) -> bool:
    """Whether the cluster as a whole has that much left."""
    left: dict[str, float] = ray.available_resources()
    return left.get("memory", 0) >= room.memory_mb * 1_000_000 and left.get("GPU", 0) >= room.gpus
