"""What a tool is, and what hosts should know about calling it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from .desk import Answer, Desk

HIDDEN = ("desk", "call")  # parameters the caller does not see


@dataclass(frozen=True)
class Tool:
    """A tool and what hosts should know about calling it.

    Attributes:
        function: takes the desk, the call, then the arguments the caller sees.
        result: type of its structured answer.
        read_only: changes nothing anybody could miss.
        destructive: may overwrite or end something.
        idempotent: calling it again with the same arguments adds nothing.
        open_world: reaches beyond store and roots.
        asks: what to ask a person before the call; "" for nothing.
        ui: who sees it in hosts that show the viewer: "model", "app" (the viewer's page), or both.
    """

    function: Callable[..., Answer]
    result: type[BaseModel]
    toolset: str = "core"
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    open_world: bool = False
    asks: Callable[[Desk, Mapping[str, Any]], str] | None = None
    ui: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As callers know it."""
        return str(self.function.__name__)

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """What callers may pass, as a model that refuses everything else."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {
            parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
            for parameter in inspect.signature(self.function).parameters.values()
            if parameter.name not in HIDDEN
        }
        return create_model(f"{self.name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)

    def given(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments without optional ones that are null or empty text: models write those for what they leave out."""
        fields = self.arguments.model_fields
        return {
            name: value
            for name, value in arguments.items()
            if not (name in fields and not fields[name].is_required() and _is_nothing(value))
        }

    @property
    def is_long(self) -> bool:
        """Whether its work may outlast a call; then it takes `wait_s`, and may run as a task."""
        return "wait_s" in self.arguments.model_fields and self.name != "get_job"

    @property
    def summary(self) -> str:
        """First line of its description."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "null", "none"))
