"""Every tool, once. Server, CLI, docs and tests are made from this tuple."""

from __future__ import annotations

from ..imaging.errors import BadCall
from .agreeing.merging import merge_masks
from .agreeing.results import MergeResult
from .cohorts.batch import run_batch
from .cohorts.results import BatchResult
from .deriving.deriving import derive
from .deriving.results import DerivedResult
from .describing import results as described_results
from .describing.described import segment_described
from .describing.prompting import write_prompts
from .describing.stress import stress_description
from .desk import results, results_review
from .desk.tool import Tool
from .files import results as files_results
from .files.handles import list_handles
from .files.importing import import_mask
from .files.listing import list_files
from .prognosis import results as prognosis_results
from .prognosis.predicting import predict_prognosis
from .refining.refining import branch_refinement, refine_mask, undo_refinement
from .refining.results import RefineResult
from .reports import results as report_results
from .reports.reporting import check_report
from .scans.browsing import find_structures, list_models
from .scans.drawing import render
from .scans.editing import edit_mask
from .scans.exporting import export, would_replace
from .scans.measuring import compare_masks, measure
from .scans.opening import open_image
from .scans.studies import compare_studies
from .segmenting.assessing import assess_mask
from .segmenting.segmentation import segment
from .synthesis.making import inpaint_image, synthesize_image, translate_image
from .synthesis.results import SynthesisResult
from .viewer import results as viewer_results
from .viewer.slices import viewer_open, viewer_point, viewer_slices
from .viewer.undoing import viewer_undo
from .waiting import cancel_job, get_job

TOOLS: tuple[Tool, ...] = (
    Tool(open_image, results.ImageResult, read_only=False, open_world=True),
    Tool(find_structures, results.StructuresResult),
    Tool(list_models, results.ModelsResult),
    Tool(segment, results.SegmentResult, read_only=False),
    Tool(segment_described, described_results.DescribedResult, read_only=False),
    Tool(measure, results.MeasureResult),
    Tool(compare_masks, results.CompareResult),
    Tool(edit_mask, results.EditResult, read_only=False),
    Tool(refine_mask, RefineResult, read_only=False),
    Tool(undo_refinement, RefineResult, toolset="interactive", read_only=False),
    Tool(branch_refinement, RefineResult, toolset="interactive", read_only=False),
    Tool(render, results.RenderResult, ui=("model", "app")),
    Tool(derive, DerivedResult),
    Tool(export, results.ExportResult, read_only=False, destructive=True, open_world=True, asks=would_replace),
    Tool(list_files, files_results.FilesResult, open_world=True),
    Tool(list_handles, files_results.HandlesResult),
    Tool(import_mask, files_results.ImportResult, read_only=False, open_world=True),
    Tool(run_batch, BatchResult, read_only=False),
    Tool(get_job, results.JobResult),
    Tool(cancel_job, results.JobResult, read_only=False, destructive=True),
    Tool(assess_mask, results_review.AssessResult, toolset="clinical"),
    Tool(merge_masks, MergeResult, toolset="clinical", read_only=False),
    Tool(compare_studies, results_review.StudiesResult, toolset="clinical"),
    Tool(predict_prognosis, prognosis_results.PrognosisResult, toolset="clinical", open_world=True),
    Tool(write_prompts, described_results.PromptsResult, toolset="language", read_only=False),
    Tool(stress_description, described_results.StressResult, toolset="language", read_only=False),
    Tool(check_report, report_results.ReportResult, toolset="clinical", read_only=False),
    Tool(viewer_open, viewer_results.ViewerResult, toolset="viewer", ui=("app",)),
    Tool(viewer_slices, viewer_results.SlicesResult, toolset="viewer", ui=("app",)),
    Tool(viewer_point, viewer_results.PointResult, toolset="viewer", read_only=False, ui=("app",)),
    Tool(viewer_undo, RefineResult, toolset="viewer", read_only=False, ui=("app",)),
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
