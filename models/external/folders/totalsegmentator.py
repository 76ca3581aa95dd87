"""TotalSegmentator's tasks, asked of the package in its own environment; weights as it left them. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....imaging.errors import BadCall
from ..engine import Class, Engine
from ..process import EngineProcess
from ..refusals import refusal

LICENCE_DIGITS = 18
NOT_FREE = "TotalSegmentator's own licence (free for non-commercial use only, by number)"
BY_NC = {"brain_aneurysm": "CC BY-NC 4.0"}


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of a task.

    Args:
        folder: of the weights, with Dataset... folders; None for where TotalSegmentator keeps them.
        options: `task` (default total), `speed` (fast or fastest), `license_number` for tasks that need one, `python`.

    Raises:
        BadCall: an unknown task or speed.
        Unavailable: the package is missing, weights are missing (each named), or the task needs a licence number.
    """
    kept = {key: options[key] for key in ("task", "speed", "license_number") if options.get(key)}
    kept.setdefault("task", "total")
    told = _asked(str(options.get("python") or ""), kept)
    top = folder if folder is not None else next((path for path in _places({}, Path.home()) if path.is_dir()), None)
    if top is None or not top.is_dir():
        raise BadCall(
            "TotalSegmentator's weights are not in the usual place. Give --folder, the one with Dataset... folders."
        )
    licence, purpose = BY_NC.get(kept["task"], "Apache-2.0"), "any"
    if told["needs_licence"]:
        licence, purpose = NOT_FREE, "research-only"
        if len(str(kept.get("license_number", ""))) != LICENCE_DIGITS:
            raise refusal(
                "engine_licence",
                f"Task '{kept['task']}' needs a licence number of TotalSegmentator's ({LICENCE_DIGITS} characters). "
                "Get one from its authors, then add --option license_number=...",
            )
    files = _files(top, told["folders"])
    speed = f", {kept['speed']}" if "speed" in kept else ""
    return Engine(
        name="-".join(["totalsegmentator", kept["task"], *([kept["speed"]] if "speed" in kept else [])]).lower(),
        adapter="totalsegmentator",
        title=f"TotalSegmentator {told['version']}, task {kept['task']}{speed}",
        folder=str(top.resolve()),
        files=dict.fromkeys(files, ""),
        classes=tuple(Class(label, (int(number),)) for number, label in told["classes"].items()),
        modalities=(told["modality"],),
        channels=(told["modality"].upper(),),
        orientation="RAS",
        orientation_from="adapter",
        licence=licence,
        licence_source="TotalSegmentator's list of tasks",
        purpose="research-only" if "NC" in licence else purpose,  # type: ignore[arg-type]
        options=kept,
    )


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """The folder of its weights, where there are some."""
    return [path for path in _places(places, home) if path.is_dir() and any(path.glob("Dataset*"))]


def _places(places: Mapping[str, str], home: Path) -> list[Path]:
    named = [Path(places["TOTALSEG_WEIGHTS_PATH"])] if places.get("TOTALSEG_WEIGHTS_PATH") else []
    own = Path(places["TOTALSEG_HOME_DIR"]) if places.get("TOTALSEG_HOME_DIR") else home / ".totalsegmentator"
    return [*named, own / "nnunet" / "results"]


def _asked(python: str, options: Mapping[str, Any]) -> dict[str, Any]:
    process = EngineProcess("TotalSegmentator", "run_totalsegmentator", python=python)
    try:
        return process.ask("describe", options=dict(options))
    finally:
        process.close()


def _files(top: Path, folders: Mapping[str, str]) -> list[str]:
    """Files of every part, relative to the folder.

    Raises:
        Unavailable: folders or files are missing; each is named.
    """
    missing: list[str] = []
    found: list[str] = []
    for folder in folders.values():
        trained = sorted(path.parent for path in (top / folder).glob("*/plans.json"))
        if not trained:
            missing.append(folder)
            continue
        for name in ("dataset.json", "plans.json", "fold_0/checkpoint_final.pth"):
            path = trained[0] / name
            (found if path.is_file() else missing).append(str(path.relative_to(top)))
    if missing:
        raise refusal(
            "engine_weights_missing",
            f"TotalSegmentator's folder lacks {', '.join(missing)}. Download them with `totalseg_download_weights`, then add it.",
        )
    return found
