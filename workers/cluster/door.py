"""The server's connection to Ray: made by the first request, kept by one thread, given up when the cluster is lost.

Ray is imported here and nowhere else in the server's process, and only when workers on a cluster are asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ... import __version__
from ...imaging.errors import OstensorError, Unavailable
from ...models.interface import Cancelled
from .address import ClusterAddress
from .messages import Facts

log = logging.getLogger(__name__)

_REACH_S = 5.0
_GREET_S = 120.0  # Serve's start on a machine with much to do
_POLL_S = 0.05


@dataclass(frozen=True)
class Opened:
    """A connection.

    Attributes:
        ray: the module, or what stands for it.
        gateway: the actor `gateway.Gateway`.
    """

    ray: ModuleType
    gateway: Any
    facts: Facts


class Door:
    """Connects once, however many ask, and again after `lose`.

    Args:
        settle: told of each new connection before anybody uses it.
    """

    def __init__(self, address: ClusterAddress, settle: Callable[[Opened], None]) -> None:
        self.address, self._settle = address, settle
        self._opening = threading.Lock()
        self._opened: Future[Opened] | None = None
        self._keeper: threading.Thread | None = None
        self._leave = threading.Event()
        self._closed = False

    @property
    def now(self) -> Opened | None:
        """The connection, or None while there is none."""
        found = self._opened
        return found.result() if found is not None and found.done() and found.exception() is None else None

    def open(self, on_progress: Callable[[float, str], None], cancelled: threading.Event) -> Opened:
        """The connection, made now where there is none: some 10 s where Ray must be started.

        Raises:
            Cancelled: `cancelled` was set meanwhile; the connection is made all the same.
            Unavailable: Ray is not installed, no cluster answers, or it cannot work for us.
        """
        if (now := self.now) is not None:
            return now
        opened = self.begin()
        on_progress(0.0, "connecting to the cluster" if self.address.host else "starting Ray on this machine")
        while not opened.done():
            if cancelled.wait(_POLL_S):
                raise Cancelled
        return opened.result()

    def begin(self) -> Future[Opened]:
        """Connect, unless it is done or under way."""
        with self._opening:
            if self._closed:
                raise Unavailable("The workers are shut down. Start the server again.")
            if self._opened is None or (self._opened.done() and self._opened.exception() is not None):
                self._opened, self._leave = Future(), threading.Event()
                self._keeper = threading.Thread(
                    target=self._keep, args=(self._opened, self._leave), name="ray", daemon=True
                )
                self._keeper.start()
            return self._opened

    def lose(self, opened: Opened) -> None:
        """Give a connection up that has failed; the next request makes another."""
        with self._opening:
            if self._opened is None or self.now is not opened:
                return
            self._opened = None
            self._end()

    def close(self) -> None:
        """End the connection, and Ray where it was started here."""
        with self._opening:
            self._closed, self._opened = True, None
            self._end()

    def _end(self) -> None:
        self._leave.set()
        if self._keeper is not None:
            self._keeper.join()

    def _keep(self, opened: Future[Opened], leave: threading.Event) -> None:
        """Connect, wait until nobody needs it, disconnect.

        In one thread, because Linux ends what Ray starts together with the *thread* that started it.
        """
        try:
            ray = _ray()
            with _connected(ray, self.address):
                found = _greeted(ray)
                self._settle(found)
                opened.set_result(found)
                leave.wait()
        except Exception as error:  # outer loop of the thread: whoever waits must hear of it
            if not isinstance(error, OstensorError):
                log.exception("no connection to Ray")
                error = Unavailable(_words(self.address, f"Ray said {type(error).__name__}; the log has the details."))
            opened.set_exception(error)


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to its makers
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.serve")
    except ImportError:
        raise Unavailable(
            "Workers on a cluster need Ray: pip install 'ostensor[cluster]'. Without it, use --workers local."
        ) from None
    return ray


@contextlib.contextmanager
def _connected(ray: ModuleType, address: ClusterAddress) -> Iterator[None]:
    """This process's connection while the block runs; one that the program made for itself is used and left as it is."""
    if address.host and not address.is_joined:
        _reach(address)
    if ray.is_initialized():
        if not address.is_joined:
            raise Unavailable(
                "This process is connected to a Ray already, and it can have only one. Use --workers ray://auto for that one."
            )
        yield
        return
    try:
        _connect(ray, address)
        yield
    finally:
        with contextlib.suppress(Exception):  # a cluster that is gone cannot be left in order
            ray.shutdown()


def _connect(ray: ModuleType, address: ClusterAddress) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "ostensor"}
    if not address.host:
        store = None if address.store_mb is None else address.store_mb * 1_000_000
        ray.init(address="local", include_dashboard=False, object_store_memory=store, **quiet)
        return
    where = "auto" if address.is_joined else f"ray://{address.host}"
    try:
        try:
            ray.init(where, **quiet)
        except (
            ConnectionAbortedError
        ):  # its client port forks beside threads, and now and then the child hangs: once more
            ray.shutdown()
            ray.init(where, **quiet)
    except (ConnectionError, RuntimeError) as error:
        log.warning("ray.init: %s", error)
        fact = (
            f"It cannot be joined ({type(error).__name__}): Ray ({ray.__version__}) and Python must be the same there, and where it "
            "wants a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN must be set here."
        )
        raise Unavailable(_words(address, fact)) from None


def _reach(address: ClusterAddress) -> None:
    """Refuse an address where nobody listens at once; Ray would try for half a minute."""
    host, _, port = address.host.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except OSError as error:
        raise Unavailable(_words(address, f"Nobody answers there ({type(error).__name__}).")) from None


def _greeted(ray: ModuleType) -> Opened:
    from .gateway import Gateway

    gateway = ray.remote(num_cpus=0, max_concurrency=1000)(Gateway).remote()
    try:
        facts: Facts = ray.get(gateway.greet.remote(), timeout=_GREET_S)
    except ray.exceptions.GetTimeoutError:
        raise Unavailable(
            f"The Ray cluster did not start Serve within {_GREET_S:.0f} s. See `ray status` there."
        ) from None
    except ray.exceptions.RayError as error:
        log.warning("the gateway did not start: %s", error)
        raise Unavailable(
            f"The Ray cluster cannot run ostensor. Install ostensor {__version__} with the extra 'cluster' on each of its machines."
        ) from None
    if facts.version != __version__:
        raise Unavailable(
            f"The Ray cluster has ostensor {facts.version}, this server {__version__}. Install the same version on both."
        )
    return Opened(ray, gateway, facts)


def _words(address: ClusterAddress, fact: str) -> str:
    if not address.host:
        return f"Ray could not be started on this machine. {fact} Use --workers local, or a cluster: ray://HOST:PORT."
    if address.is_joined:
        return f"This machine is no node of a Ray cluster. {fact} Start Ray on it with `ray start`, or use --workers local."
    return (
        f"No Ray cluster at ray://{address.host}. {fact} Start one there with `ray start --head` and give its client port "
        "(10001 unless set), or use --workers local."
    )
