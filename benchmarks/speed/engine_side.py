"""The engine's own Python call, timed in the engine's own Python: `python engine_side.py ADAPTER FOLDER OPTIONS IMAGE ROUNDS`.

Runs without this package. Prints a JSON list of [wall seconds, processor seconds with children] a call, and the answer's sum.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def nnunet(folder: Path, options: dict[str, Any], array: Any, spacing: list[float]) -> Callable[[], Any]:
    """A predictor that is loaded once, as a careful user would."""
    os.environ["nnUNet_def_n_proc"] = "1"  # noqa: SIM112 - its name
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        device=torch.device("cpu"), allow_tqdm=False, use_mirroring=bool(options.get("mirroring", True))
    )
    folds = tuple(int(fold) if fold != "all" else fold for fold in options["folds"])
    predictor.initialize_from_trained_model_folder(str(folder), folds, options["checkpoint"])
    given = np.ascontiguousarray(array.transpose(2, 1, 0))[None].astype(np.float32)
    return lambda: predictor.predict_single_npy_array(given, {"spacing": spacing[::-1]})


def totalsegmentator(folder: Path, options: dict[str, Any], array: Any, spacing: list[float]) -> Callable[[], Any]:
    """The package's entry point for Python, its statistics turned off."""
    home = Path(tempfile.mkdtemp())
    settings = {
        "totalseg_id": "none",
        "send_usage_stats": False,
        "prediction_counter": 0,
        "statistics_disclaimer_shown": True,
    }
    (home / "config.json").write_text(json.dumps(settings))
    os.environ |= {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": str(folder)}
    import nibabel
    from totalsegmentator.python_api import totalsegmentator as call

    scan = nibabel.Nifti1Image(array.astype(np.float32), np.diag([*spacing, 1.0]))
    fast = options.get("speed")
    return lambda: np.asanyarray(
        call(scan, None, ml=True, task=options["task"], fast=fast == "fast", fastest=fast == "fastest", device="cpu", quiet=True,
             nr_thr_resamp=1, nr_thr_saving=1).dataobj
    )  # fmt: skip


def used() -> float:
    """Processor seconds of this process and of its children that ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def main() -> None:
    """Time the calls, print them."""
    adapter, folder, options, image, rounds = sys.argv[1:]
    with np.load(image) as given:
        array, spacing = given["array"], [float(edge) for edge in given["spacing"]]
    call = {"nnunet": nnunet, "totalsegmentator": totalsegmentator}[adapter](
        Path(folder), json.loads(options), array, spacing
    )
    times, total = [], 0
    for _ in range(int(rounds)):
        started, spent = time.perf_counter(), used()
        total = int(np.asarray(call()).sum())
        times.append([time.perf_counter() - started, used() - spent])
    sys.stdout.write(f"\n{json.dumps({'times': times, 'sum': total})}\n")


if __name__ == "__main__":
    main()
