"""nnU-Net v2 folders as their JSON tells them; serves MOOSE, HD-BET and STU-Net weights too. Torch-free."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....imaging.errors import BadCall, OstensorError
from ..engine import Class, Engine
from ..refusals import refusal
from .licences import licence_beside

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_MODALITIES = {
    "ct": r"ct|computed tomography|cbct",
    "mr": r"mri?|t1\w*|t2\w*|flair|dwi|adc|dce|t1ce|t1gd|pd|swi|bold|mri[\W_].*|mr[\W_].*",
    "pet": r"pet|suv|fdg.*",
    "us": r"us|ultrasound|ultrasonography",
}


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of a trained folder, its classes unresolved.

    Args:
        folder: `<Trainer>__<Plans>__<configuration>`, or one that holds exactly one such folder.
        options: `folds` (list), `checkpoint`, `mirroring`, `configuration`.

    Raises:
        BadCall: no such folder, more than one to choose from, a cascade.
        Unavailable: half of one; each missing file is named.
    """
    if folder is None:
        raise BadCall("An nnU-Net needs its folder. Give --folder .../<Trainer>__<Plans>__<configuration>.")
    trained = trained_folder(folder)
    try:
        return _described(trained, options)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        if isinstance(error, OstensorError):
            raise
        raise refusal(
            "engine_unsupported", f"dataset.json or plans.json of '{trained.name}' is not as nnU-Net v2 writes it."
        ) from None


def _described(trained: Path, options: Mapping[str, Any]) -> Engine:
    dataset, plans = _json(trained, "dataset.json"), _json(trained, "plans.json")
    configuration = str(options.get("configuration") or trained.name.split("__")[-1])
    settings = _configuration(plans, configuration)
    if settings.get("previous_stage"):
        raise refusal(
            "engine_unsupported",
            f"'{configuration}' is the second stage of a cascade and needs the first one's answer. Add the folder of "
            "3d_fullres or of the first stage instead.",
        )
    checkpoint, folds = _folds(trained, options)
    files = ["dataset.json", "plans.json", *(f"fold_{fold}/{checkpoint}" for fold in folds)]
    channels = tuple(str(name) for _number, name in sorted(_channels(dataset).items(), key=lambda item: int(item[0])))
    licence, source = licence_beside(trained, dataset)
    flat = len(settings.get("patch_size", (0, 0, 0))) == 2
    spacing = [float(edge) for edge in settings.get("spacing", ())]
    return Engine(
        name=trained.parent.name.lower(),
        adapter="nnunet",
        title=f"nnU-Net {trained.parent.name}, {configuration}, {len(folds)} fold{'s' if len(folds) > 1 else ''}",
        folder=str(trained.resolve()),
        files=dict.fromkeys(files, ""),
        classes=_classes(dataset),
        modalities=modalities_of(channels),
        dimensions=(2, 3) if flat else (3,),
        channels=channels,
        orientation="LPS",
        licence=licence,
        licence_source=source,
        options={
            "folds": folds,
            "checkpoint": checkpoint,
            "mirroring": bool(options.get("mirroring", True)),
            "configuration": configuration,
            **({"spacing_mm": spacing[::-1]} if len(spacing) == 3 else {}),
        },
    )


def trained_folder(folder: Path) -> Path:
    """The folder with dataset.json, plans.json and folds: this one, or the only one below.

    Raises:
        BadCall: none or several.
    """
    if not folder.is_dir():
        raise BadCall(f"There is no folder '{folder.name}'. Give the folder of a trained nnU-Net.")
    if (folder / "plans.json").is_file() or any(folder.glob("fold_*")):
        return folder
    found = sorted(path.parent for path in folder.glob("**/plans.json") if any(path.parent.glob("fold_*")))
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(path.relative_to(folder)) for path in found[:8])
    raise BadCall(
        f"'{folder.name}' holds {len(found)} trained folders ({names}). Give one of them."
        if found
        else f"'{folder.name}' is no trained nnU-Net: it needs dataset.json, plans.json and fold_0/checkpoint_final.pth."
    )


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """Trained folders below `$nnUNet_results` and where MOOSE and HD-BET keep theirs."""
    roots = [Path(places["nnUNet_results"])] if places.get("nnUNet_results") else []
    roots += [home / "nnUNet_results", home / "hd-bet_params", home / ".moose" / "models"]
    found = {path.parent for root in roots if root.is_dir() for path in root.glob("**/plans.json")}
    return sorted(path for path in found if any(path.glob("fold_*")))


def modalities_of(channels: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of scan that channel names tell, each once; ("unknown",) where they tell none."""
    found = []
    for channel in channels:
        kinds = [kind for kind, words in _MODALITIES.items() if re.fullmatch(words, channel.strip().lower())]
        found.append(kinds[0] if kinds else "unknown")
    return tuple(dict.fromkeys(found)) if "unknown" not in found else ("unknown",)


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise refusal(
            "engine_weights_missing", f"'{folder.name}' is half a folder: {name} is missing. Copy the whole folder."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise refusal("engine_unsupported", f"{name} of '{folder.name}' is damaged. Copy it again.")
    return content


def _configuration(plans: Mapping[str, Any], name: str, heirs: tuple[str, ...] = ()) -> dict[str, Any]:
    """One configuration with what it inherits from others."""
    known = plans.get("configurations", {})
    if name in heirs:
        raise refusal("engine_unsupported", f"plans.json lets '{name}' inherit from itself.")
    if name not in known:
        raise refusal("engine_unsupported", f"plans.json has no configuration '{name}'. It has: {', '.join(known)}.")
    own = dict(known[name])
    parent = own.pop("inherits_from", None)
    return {**_configuration(plans, parent, (*heirs, name)), **own} if parent in known else own


def _folds(folder: Path, options: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The checkpoint's name, and the folds that have it.

    Raises:
        Unavailable: files are missing; each is named.
    """
    names = [str(options["checkpoint"])] if options.get("checkpoint") else list(CHECKPOINTS)
    if any(re.search(r"[/\\*?\[]", name) for name in names):
        raise BadCall(f"checkpoint='{names[0][:60]}' is no name of a file in a fold, such as {CHECKPOINTS[0]}.")
    asked = [str(fold) for fold in options.get("folds") or ()]
    for name in names:
        there = [path.parent.name.removeprefix("fold_") for path in sorted(folder.glob(f"fold_*/{name}"))]
        numbered = [fold for fold in there if fold.isdigit()]
        wanted = asked or numbered or there
        if wanted and set(wanted) <= set(there):
            return name, wanted
    missing = ", ".join(f"fold_{fold}/{names[0]}" for fold in asked or ["0"])
    raise refusal(
        "engine_weights_missing", f"'{folder.name}' is half a folder: {missing} is missing. Copy the whole folder."
    )


def _channels(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return dict(dataset.get("channel_names") or dataset.get("modality") or {"0": "image"})


def _classes(dataset: Mapping[str, Any]) -> tuple[Class, ...]:
    """Labels and regions, without background and what is ignored."""
    labels = dataset.get("labels", {})
    if all(isinstance(name, int) or str(name).isdigit() for name in labels) and labels:  # as nnU-Net v1 wrote it
        labels = {str(name): int(number) for number, name in labels.items()}
    found = []
    for name, number in labels.items():
        values = tuple(int(one) for one in number) if isinstance(number, list) else (int(number),)
        if name not in ("background", "ignore") and values != (0,):
            found.append(Class(str(name), values))
    return tuple(found)
