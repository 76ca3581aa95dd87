"""Every tool, once. Server, CLI, docs and tests are made from this tuple."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from ..imaging.errors import BadCall
from . import (
    described_results,
    language_results,
    prognosis_results,
    report_results,
    results,
    results_review,
    viewer_results,
)
from .assessing import assess_mask
from .browse import find_structures, list_models
from .described import segment_described
from .desk import Answer, Desk
from .editing import edit_mask
from .exporting import export, would_replace
from .images import open_image
from .measuring import compare_masks, measure
from .pictures import render
from .prognosis import predict_prognosis
from .prompting import write_prompts
from .reporting import check_report
from .segmentation import segment
from .stress import stress_description
from .studies import compare_studies
from .synthesis import inpaint_image, synthesize_image, translate_image
from .synthesis_results import SynthesisResult
from .viewer import viewer_open, viewer_point, viewer_slices
from .waiting import cancel_job, get_job

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

    @property
    def is_long(self) -> bool:
        """Whether its work may outlast a call; then it takes `wait_s`, and may run as a task."""
        return "wait_s" in self.arguments.model_fields and self.name != "get_job"

    @property
    def title(self) -> str:
        """For people: "open_image" -> "Open image"."""
        return self.name.replace("_", " ").capitalize()

    @property
    def summary(self) -> str:
        """First line of its description."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


TOOLS: tuple[Tool, ...] = (
    Tool(open_image, results.ImageResult, read_only=False),
    Tool(find_structures, results.StructuresResult),
    Tool(list_models, results.ModelsResult),
    Tool(segment, results.SegmentResult, read_only=False),
    Tool(segment_described, described_results.DescribedResult, read_only=False),
    Tool(measure, results.MeasureResult),
    Tool(compare_masks, results.CompareResult),
    Tool(edit_mask, results.EditResult, read_only=False),
    Tool(render, results.RenderResult, ui=("model", "app")),
    Tool(export, results.ExportResult, read_only=False, destructive=True, asks=would_replace),
    Tool(get_job, results.JobResult),
    Tool(cancel_job, results.JobResult, read_only=False, destructive=True),
    Tool(assess_mask, results_review.AssessResult, toolset="clinical"),
    Tool(compare_studies, results_review.StudiesResult, toolset="clinical"),
    Tool(predict_prognosis, prognosis_results.PrognosisResult, toolset="clinical"),
    Tool(write_prompts, language_results.PromptsResult, toolset="language", read_only=False),
    Tool(stress_description, language_results.StressResult, toolset="language", read_only=False),
    Tool(check_report, report_results.ReportResult, toolset="clinical", read_only=False),
    Tool(viewer_open, viewer_results.ViewerResult, toolset="viewer", ui=("app",)),
    Tool(viewer_slices, viewer_results.SlicesResult, toolset="viewer", ui=("app",)),
    Tool(viewer_point, viewer_results.PointResult, toolset="viewer", read_only=False, ui=("app",)),
    Tool(synthesize_image, SynthesisResult, toolset="synthesis", read_only=False),
    Tool(translate_image, SynthesisResult, toolset="synthesis", read_only=False),
    Tool(inpaint_image, SynthesisResult, toolset="synthesis", read_only=False),
)


def tool(name: str) -> Tool:
    """The tool of this name.

    Raises:
        BadCall: there is none.
    """
    for entry in TOOLS:
        if entry.name == name:
            return entry
    raise BadCall(f"Unknown tool '{name}'. Tools: {', '.join(entry.name for entry in TOOLS)}.")


def shown(toolsets: tuple[str, ...]) -> tuple[Tool, ...]:
    """The tools of these toolsets, in the order of `TOOLS`."""
    return tuple(entry for entry in TOOLS if "all" in toolsets or entry.toolset in toolsets)
