"""Which tools a question permits; the text of reports and scans has no say in it."""

from __future__ import annotations

import re

from .wording import read

# Words of the question that permit a tool which changes something; every other such tool needs a word of its own name.
_PERMITS = {
    "export": r"\b(?:export|save|write|download)|\bstl\b|\bnifti\b|\bnii\b|\bnrrd\b|\bdicom ?-?seg|\brt ?-?struct|\bprintable\b|"
    r"\b3-?d[- ]print|\bas files?\b|\bmesh\b|\bpacs\b|\bmask files?\b|\bsend (?:the )?(?:masks?|it|them|stl)\b",
    "cancel_job": r"\b(?:cancel|abort|stop)",
    "edit_mask": r"\b(?:edit|grow (?:the|this|my|msk)|shrink|union|intersect|subtract|fill|smooth|largest part|snap|dilate|erode|"
    r"threshold|iso-?contour)",
    "merge_masks": r"\b(?:merg|consensus|staple|fuse|majority|combine)",
    "open_image": r"\b(?:open|load)\b",
    "import_mask": r"\bimport\b",
    "run_batch": r"\b(?:batch|cohort|all (?:the )?scans|every scan)\b",
    "check_report": r"\b(?:report|impression|dictation)|['\"“‘][^'\"”’]{12,}['\"”’]",
    "predict_prognosis": r"\b(?:prognos|outlook|surviv|expectancy|mortality|risk)",
}
_ANALYSIS = ("segment", "segment_described")  # write masks into the store and nothing else


def permitted(question: str, tools: dict[str, bool]) -> tuple[str, ...]:
    """Names of the tools a question permits.

    Args:
        tools: name -> whether the tool only reads.
    """
    low = f"{question.lower()} \n {read(question).text}"

    def allowed(name: str, reads: bool) -> bool:
        if name in _PERMITS:
            return re.search(_PERMITS[name], low) is not None
        own = [word for word in name.split("_") if len(word) > 3]
        return reads or name in _ANALYSIS or any(word in low for word in own)

    return tuple(name for name, reads in tools.items() if allowed(name, reads))
