"""Why an engine cannot do it: one code each, of our three kinds of error."""

from __future__ import annotations

from ...imaging.errors import BadCall, Failed, OstensorError, Unavailable

CODES: dict[str, type[OstensorError]] = {
    "engine_missing": Unavailable,  # its package or program is not installed
    "engine_weights_missing": Unavailable,  # files that were there when it was added
    "engine_weights_changed": Unavailable,  # files that hold something else than when it was added
    "engine_licence": Unavailable,  # its licence forbids this use, or a licence number is needed
    "engine_conflict": Unavailable,  # packages of its environment do not fit together
    "engine_unsafe_checkpoint": BadCall,  # a file that would run code when opened
    "engine_code_untrusted": Unavailable,  # the engine is code, and nobody said that it may run
    "engine_orientation_unknown": Unavailable,  # how its training files were stored is not known
    "engine_unreachable": Unavailable,  # a server that does not answer, or a wrong key
    "engine_lease_lost": Unavailable,  # a server that gave our session away
    "engine_busy": Unavailable,  # a server without a free place
    "engine_out_of_memory": Unavailable,
    "engine_geometry_broken": Failed,  # an answer on another grid, of another type, or not finite
    "engine_unsupported": BadCall,  # a folder, trainer or option that our adapter does not take
    "engine_crashed": Failed,
    "engine_hangs": Failed,
}


def refusal(code: str, text: str) -> OstensorError:
    """The error for a code, its words ending with the code so that programs can tell them apart.

    Args:
        text: what is wrong and what to do.
    """
    return CODES[code](f"{text} ({code})")
