"""The desk a tool works at: store, roots, workers, jobs and the anatomy table."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ...imaging.guards.private import make_private_folder
from ...store.roots import Roots
from .settings import Settings

if TYPE_CHECKING:  # a server lists its tools before it needs any of these
    from pydantic import BaseModel

    from ...models.card import Purpose as CardPurpose
    from ...retrieval.anatomy.structures import StructureTable
    from ...store.archives.archives import Archives
    from ...store.store import Store
    from ...workers.local import Workers
    from .job_threads import Jobs
    from .knowledge import Knowledge
    from .paraphrasing import Paraphrase
    from .seen import Seen


@dataclass(frozen=True)
class Call:
    """One call of a tool: where progress goes, whether the caller has left, and whether it waits for the end."""

    report: Callable[[float, str], None] = lambda share, message: None
    cancelled: threading.Event = field(default_factory=threading.Event)
    waits_for_the_end: bool = False

    def patience_s(self, wait_s: float) -> float:
        """How long to wait for work: as asked, or to its end in a task, whose client asks for the task instead."""
        return math.inf if self.waits_for_the_end else wait_s


@dataclass(frozen=True)
class Answer:
    """What a tool says: a sentence or two that stand alone, the result, and pictures as PNG."""

    text: str
    result: BaseModel
    pictures: tuple[bytes, ...] = ()


class CallRecorder(Protocol):
    """Is told of every call; see `cassette.Recorder`."""

    def note(self, entry: Any, arguments: Mapping[str, Any], answer: Answer | None, error: str) -> None:
        """Keep one call."""


@dataclass(frozen=True)
class _Opened:
    """What a desk has once it is used: the folder's store, and what belongs to it."""

    store: Store
    jobs: Jobs
    table: StructureTable
    seen: Seen


class Desk:
    """Everything tools share. Torch-free; the store opens with its first use, the worker with the first job.

    Args:
        host: a desk whose worker and passages this one uses; it closes them. Store, roots and
            jobs are this desk's own.

    Raises:
        BadCall: a root is no folder.
        OSError: the store's folder cannot be made.
    """

    def __init__(self, settings: Settings, *, host: Desk | None = None) -> None:
        make_private_folder(settings.store)
        self.settings = settings
        self.host = host
        self.roots = Roots(settings.roots)
        self.recorder: CallRecorder | None = None
        self._opened: _Opened | None = None
        self._opening = threading.Lock()
        self._workers: Workers | None = None
        self._hiring = threading.Lock()

    @property
    def store(self) -> Store:
        """Images, masks and jobs of the folder."""
        return self._open().store

    @property
    def jobs(self) -> Jobs:
        """The work of this process."""
        return self._open().jobs

    @property
    def table(self) -> StructureTable:
        """The anatomy table."""
        return self._open().table

    @property
    def seen(self) -> Seen:
        """What was found before."""
        return self._open().seen

    def _open(self) -> _Opened:
        with self._opening:
            if self._opened is None:
                from ...retrieval.anatomy.structures import StructureTable
                from ...store.store import Store
                from .job_threads import Jobs
                from .seen import Seen

                store = Store(self.settings.store, shared=self.settings.shared)
                self._opened = _Opened(store, Jobs(store), StructureTable.bundled(), Seen())
            return self._opened

    @property
    def workers(self) -> Workers:
        """The workers of this machine, or of the cluster; the same ones however many ask at once."""
        with self._hiring:
            if self._workers is None:
                self._workers = self._hired()
            return self._workers

    @property
    def has_workers(self) -> bool:
        """Whether somebody has asked for workers yet."""
        return self._workers is not None

    def _hired(self) -> Workers:
        if self.host is not None:
            return self.host.workers.seen_by(str(self.settings.store))
        from ...workers.cluster.address import cluster_of
        from ...workers.devices import cards, devices_of
        from ...workers.local import LocalWorkers
        from ...workers.protocol import WorkerOptions

        options = WorkerOptions(factory=self.settings.factory, threads=self.settings.threads)
        if (address := cluster_of(self.settings.workers)) is not None:
            from ...workers.cluster.client import ClusterWorkers

            return ClusterWorkers(address, options, device=self.settings.device, budget_mb=self.settings.memory_mb)
        known = () if self.settings.device == "cpu" else cards(self.settings.visible_cards)
        return LocalWorkers(options, devices=devices_of(self.settings.device, self.settings.memory_mb, known))

    @cached_property
    def knowledge(self) -> Knowledge:
        """The passages about anatomy; searched by meaning, too, where the index is built."""
        if self.host is not None:
            return self.host.knowledge
        from .knowledge import Knowledge

        return Knowledge(self.settings.store)

    @cached_property
    def archives(self) -> Archives:
        """The archives this desk may ask, and what studies are called in its store."""
        from ...store.archives.archives import Archives

        return Archives(self.settings.archives, self.settings.store / "archives")

    @cached_property
    def paraphraser(self) -> Paraphrase | None:
        """The configured chat model, or None."""
        from .paraphrasing import chat_paraphraser

        return chat_paraphraser(self.settings.paraphraser) if self.settings.paraphraser else None

    def seen_with(self, toolsets: tuple[str, ...]) -> Desk:
        """The same desk, seen with other tools: store, jobs and everything else are shared."""
        return self._set(toolsets=toolsets)

    def looking_again(self) -> Desk:
        """The same desk, where no answer of an earlier call is reused."""
        return self._set(reuse=False)

    def _set(self, **changes: Any) -> Desk:
        self._open()
        other = copy.copy(self)
        other.settings = replace(self.settings, **changes)
        other.host = self.host or self
        other._hiring = threading.Lock()  # its own: it asks its host, who takes theirs
        return other

    def close(self) -> None:
        """Stop jobs and workers, and let go of the store's files."""
        if self._opened is not None:
            self._opened.jobs.close()
            self._opened.store.close()
        if self.host is not None:
            return
        if self._workers is not None:
            self._workers.close()
        if "knowledge" in self.__dict__:
            self.knowledge.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def allowed_use(desk: Desk) -> CardPurpose:
    """What the answer is for, as cards say it."""
    return "any" if desk.settings.purpose == "commercial" else "research-only"
