"""lungmask's published networks, by the files its authors give. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....imaging.errors import BadCall
from ..engine import Class, Engine
from ..refusals import refusal

_LUNGS = ("right lung", "left lung")
_LOBES = (
    "left upper lobe of lung", "left lower lobe of lung", "right upper lobe of lung", "right middle lobe of lung",
    "right lower lobe of lung",
)  # fmt: skip
MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "R231": ("unet_r231-*.pth", _LUNGS),
    "R231CovidWeb": ("unet_r231covid-*.pth", _LUNGS),
    "LTRCLobes": ("unet_ltrclobes-*.pth", _LOBES),
}


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of one of its networks.

    Args:
        folder: with its files; None for where torch keeps downloads.
        options: `model` (R231, R231CovidWeb or LTRCLobes), `file` (default: by its published name), `fill` (a second file).

    Raises:
        BadCall: an unknown network.
        Unavailable: the file is missing.
    """
    model = str(options.get("model") or "R231")
    if model not in MODELS:
        raise BadCall(f"lungmask has no network '{model}'. It has: {', '.join(MODELS)}.")
    pattern, classes = MODELS[model]
    top = folder if folder is not None else _cache(Path.home())
    there = sorted(path.name for path in top.glob(pattern)) if top.is_dir() else []
    file = str(options.get("file") or (there[0] if there else ""))
    if not file or not (top / file).is_file():
        raise refusal(
            "engine_weights_missing",
            f"The folder has no {file or pattern}. Get the weights of {model} from lungmask's authors, or run lungmask once.",
        )
    fill = str(options.get("fill") or "")
    if fill and not (top / fill).is_file():
        raise refusal("engine_weights_missing", f"The folder has no {fill}, which is to fill in.")
    return Engine(
        name=f"lungmask-{model.lower()}",
        adapter="lungmask",
        title=f"lungmask {model}{' with a second network' if fill else ''}",
        folder=str(top.resolve()),
        files=dict.fromkeys([file, *([fill] if fill else [])], ""),
        classes=tuple(Class(label, (number,)) for number, label in enumerate(classes, 1)),
        modalities=("ct",),
        channels=("CT",),
        orientation="LPS",
        orientation_from="adapter",
        options={"model": model, "file": file, **({"fill": fill} if fill else {})},
    )


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """Torch's folder of downloads, where it holds some."""
    del places
    top = _cache(home)
    return [top] if top.is_dir() and any(top.glob("unet_*-*.pth")) else []


def _cache(home: Path) -> Path:
    return home / ".cache" / "torch" / "hub" / "checkpoints"
