"""What a step may look at: the task, the calls so far, and what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...retrieval.anatomy.structures import StructureTable
from ..reply import Cite, Reply, Statement
from .asking.intents import Task


@dataclass(frozen=True)
class Done:
    """A tool call and its answer."""

    call_id: str
    tool: str
    arguments: dict[str, Any]
    is_error: bool
    text: str
    result: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A tool call to make."""

    tool: str
    arguments: dict[str, Any]


Step = list[Wanted] | Reply


@dataclass(frozen=True)
class Found:
    """A structure on an image: its verdict, and its numbers where it was measured."""

    image_id: str
    row: dict[str, Any]
    seen: Done
    measured: dict[str, Any] | None = None
    measuring: Done | None = None

    @property
    def name(self) -> str:
        """The structure."""
        return str(self.row["structure"])

    @property
    def mask_id(self) -> str:
        """Its mask, or ""."""
        return str(self.row.get("mask_id") or "")

    @property
    def cites(self) -> list[Cite]:
        """What a statement about it rests on."""
        calls = [self.seen] if self.measuring is None else [self.measuring, self.seen]
        return [Cite(call_id=call.call_id, handle=self.mask_id) for call in calls]


@dataclass(frozen=True)
class Turn:
    """Everything a step may look at."""

    question: str
    task: Task
    images: tuple[str, ...]
    tools: tuple[str, ...]
    done: Sequence[Done]
    attached: frozenset[str]
    table: StructureTable = field(default_factory=StructureTable.bundled)

    def last(self, tool: str) -> Done | None:
        """The latest answer of a tool."""
        return next((call for call in reversed(self.done) if call.tool == tool), None)

    def all(self, tool: str) -> list[Done]:
        """Every answer of a tool, jobs replaced by their result."""
        return [call for call in self.done if call.tool == tool]

    def with_arguments(self, tool: str, **arguments: Any) -> Done | None:
        """The answer to this very call, if it was made."""
        return next(
            (
                call
                for call in self.all(tool)
                if all(call.arguments.get(key) == value for key, value in arguments.items())
            ),
            None,
        )

    @property
    def masks_named(self) -> list[str]:
        """Masks whose handles the question holds."""
        return [handle for handle in self.task.handles if handle.startswith("msk_")]

    @cached_property
    def found(self) -> list[Found]:
        """Every structure looked for, in order, with its numbers."""
        numbers = {
            row["mask_id"]: (call, row) for call in self.all("measure") for row in call.result.get("measurements", [])
        }
        rows = []
        for call in self.all("segment"):
            for row in call.result.get("masks", []):
                measuring, measured = numbers.get(row.get("mask_id"), (None, None))
                rows.append(Found(str(call.result.get("image_id", "")), row, call, measured, measuring))
        return rows

    @cached_property
    def models(self) -> list[dict[str, Any]]:
        """Rows of the last `list_models` that are ready to use, as its text names them."""
        call = self.last("list_models")
        if call is None:
            return []
        named = call.text.partition("ready to use:")[2].partition(".")[0].replace(",", " ").split()
        return [row for row in call.result.get("models", []) if row["model"] in named]

    @property
    def modality(self) -> str:
        """Of the first image, as `list_handles` says it; "" when that was not asked."""
        call = self.last("list_handles")
        rows = [] if call is None else call.result.get("handles", [])
        return next((str(row.get("modality")) for row in rows if row.get("handle") in self.images), "")


def tell(text: str, *cites: Cite) -> Statement:
    """A statement with what it rests on, each citation once."""
    unique = {(cite.call_id, cite.handle): cite for cite in cites}
    return Statement(text=text, cites=list(unique.values()))


def cite(call: Done | None, handle: str = "") -> list[Cite]:
    """A citation of a call, none without one."""
    return [] if call is None else [Cite(call_id=call.call_id, handle=handle)]
