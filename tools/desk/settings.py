"""What a server or a command runs with; made once in `main`, passed along, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from ...imaging.errors import BadCall

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
        threads: of the worker; None leaves the library's choice.
        memory_mb: what one job may need, by estimate; None does not limit it.
        factory: what loads a model in the worker, "module:function".
        paraphraser: chat model that says prompts in other words, "provider:name"; "" for none.
        reuse: answer from the store what the same weights saw in the same image; False looks again.
    """

    store: Path
    roots: tuple[Path, ...]
    toolsets: tuple[str, ...] = DEFAULT_TOOLSETS
    purpose: Purpose = "research"
    device: str = "cpu"
    threads: int | None = None
    memory_mb: int | None = None
    factory: str = "ostensor.models.load:load_predictor"
    paraphraser: str = ""
    reuse: bool = True

    def __post_init__(self) -> None:
        """Refuse unknown toolsets and purposes."""
        unknown = set(self.toolsets) - set(TOOLSETS) - {"all"}
        if unknown:
            raise BadCall(f"Unknown toolsets {sorted(unknown)}. Allowed: all, {', '.join(TOOLSETS)}.")
        if self.purpose not in ("research", "commercial"):
            raise BadCall(f"Unknown purpose '{self.purpose}'. Allowed: research, commercial.")


def default_store() -> Path:
    """The per-user folder."""
    return Path(platformdirs.user_data_dir("ostensor", appauthor=False))
