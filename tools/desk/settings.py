"""What a server or a command runs with; made once in `main`, passed along, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from ...imaging.errors import BadCall
from ...store.archives.nodes import NO_ARCHIVES, ArchiveAccess
from ...store.shared import ALONE, Shared
from ...workers.cluster.address import cluster_of

Purpose = Literal["research", "commercial"]
TOOLSETS = ("core", "clinical", "language", "interactive", "examples", "synthesis", "viewer")
DEFAULT_TOOLSETS = ("core", "clinical", "viewer")
VIEWER_URI = "ui://ostensor/viewer.html"
MAX_STRUCTURES = 100  # per call


@dataclass(frozen=True)
class Settings:
    """Where things lie and what is allowed.

    Attributes:
        store: folder of the store.
        roots: folders whose files may be opened and written.
        toolsets: which tools a server shows; "all" shows everything.
        purpose: "commercial" refuses weights that are for research only.
        device: where workers run, one for each: cpu, cuda, auto, or names with commas.
        visible_cards: what `CUDA_VISIBLE_DEVICES` says; None where it is not set.
        threads: of the worker; None leaves the library's choice.
        workers: "local" for processes of this machine, or a Ray cluster (`workers.cluster.address`).
        memory_mb: what one job may need, by estimate; None does not limit it.
        factory: what loads a model in the worker, "module:function".
        paraphraser: chat model that says prompts in other words, "provider:name"; "" for none.
        archives: nodes of a hospital that may be asked; none unless a file names some.
        shared: a database and a place for arrays that several servers use; none by default.
        reuse: answer from the store what the same weights saw in the same image; False looks again.
    """

    store: Path
    roots: tuple[Path, ...]
    toolsets: tuple[str, ...] = DEFAULT_TOOLSETS
    purpose: Purpose = "research"
    device: str = "cpu"
    visible_cards: str | None = None
    threads: int | None = None
    workers: str = "local"
    memory_mb: int | None = None
    factory: str = "ostensor.models.load:load_predictor"
    paraphraser: str = ""
    archives: ArchiveAccess = NO_ARCHIVES
    shared: Shared = ALONE
    reuse: bool = True

    def __post_init__(self) -> None:
        """Refuse unknown toolsets, purposes and workers."""
        unknown = set(self.toolsets) - set(TOOLSETS) - {"all"}
        if unknown:
            raise BadCall(f"Unknown toolsets {sorted(unknown)}. Allowed: all, {', '.join(TOOLSETS)}.")
        if self.purpose not in ("research", "commercial"):
            raise BadCall(f"Unknown purpose '{self.purpose}'. Allowed: research, commercial.")
        cluster_of(self.workers)

    @property
    def starts_ray(self) -> bool:
        """Whether each process with these settings starts a Ray of its own."""
        address = cluster_of(self.workers)
        return address is not None and not address.host


def default_store() -> Path:
    """The per-user folder."""
    return Path(platformdirs.user_data_dir("ostensor", appauthor=False))


def default_archives() -> Path:
    """The per-user file of archives."""
    return Path(platformdirs.user_config_dir("ostensor", appauthor=False)) / "archives.toml"
