"""Scans that come with a dependency, free to show."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .errors import Unavailable


def mni_template(kind: str = "t1") -> Path:
    """File of the MNI152 average head (ICBM 2009a nonlinear symmetric) inside nilearn.

    Args:
        kind: "t1" for the scan, "gm" and "wm" for its maps of grey and white matter.

    Raises:
        Unavailable: nilearn is not installed.
    """
    found = find_spec("nilearn")
    if found is None or found.origin is None:
        raise Unavailable("The head scan comes with nilearn, which is missing. Install it: pip install nilearn")
    name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    return Path(found.origin).parent / "datasets" / "data" / name
