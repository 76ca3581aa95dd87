"""MONAI bundles as their metadata tells them. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from ....imaging.errors import BadCall
from ..engine import Class, Engine
from ..refusals import refusal
from .licences import licence_beside

CONFIGS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
WEIGHTS = "models/model.pt"
MOST_CHANNELS = 64
_KINDS = {"ct": "ct", "mr": "mr", "mri": "mr", "pet": "pet", "us": "us", "ultrasound": "us"}
_NOTHING = ("background", "other", "unlabeled")


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of a bundle, its classes unresolved.

    Args:
        options: `config` (default inference.json), `weights` (default models/model.pt).

    Raises:
        BadCall: no bundle, or one that answers no labels.
        Unavailable: half of one; each missing file is named.
    """
    if folder is None or not folder.is_dir():
        raise BadCall("A MONAI bundle needs its folder, the one with configs/ and models/. Give --folder.")
    config = str(options.get("config") or next((name for name in CONFIGS if (folder / name).is_file()), CONFIGS[0]))
    weights = str(options.get("weights") or WEIGHTS)
    outside = [name for name in (config, weights) if PurePath(name).is_absolute() or ".." in PurePath(name).parts]
    if outside:
        raise BadCall(
            f"'{outside[0][:80]}' lies outside the bundle, where nobody sees it change. Put it into the bundle's folder."
        )
    missing = [name for name in ("configs/metadata.json", config, weights) if not (folder / name).is_file()]
    if missing:
        raise refusal(
            "engine_weights_missing",
            f"'{folder.name}' is half a bundle: {', '.join(missing)} is missing. Copy it whole.",
        )
    try:
        facts = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        data = facts["network_data_format"]
        channels, output = data["inputs"]["image"], data["outputs"]["pred"]
        named = {int(number): str(label) for number, label in output["channel_def"].items()}
        kind = _KINDS.get(str(channels.get("modality", "")).lower(), "unknown")
        count = int(channels.get("num_channels", 1))
        told = channels.get("channel_def") or {}
        if not 0 < count <= MOST_CHANNELS:
            raise ValueError
        names = tuple(str(told.get(str(number), f"channel {number}")) for number in range(count))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refusal(
            "engine_unsupported",
            f"metadata.json of '{folder.name}' does not tell what its image and pred are (network_data_format).",
        ) from None
    by_prompt = "vista3d" in f"{facts.get('name', '')} {folder.name}".lower()
    licence, source = licence_beside(folder, facts)
    return Engine(
        name=folder.resolve().name.lower(),
        adapter="monai-bundle",
        title=f"MONAI bundle {facts.get('name', folder.name)} {facts.get('version', '')}".strip(),
        folder=str(folder.resolve()),
        files=dict.fromkeys([weights, *_code(folder, config)], ""),
        classes=tuple(
            Class(label, (number,)) for number, label in sorted(named.items()) if label.lower() not in _NOTHING
        ),
        modalities=(kind,),
        channels=names if count > 1 else (kind.upper() if kind != "unknown" else "image",),
        orientation="RAS",
        orientation_from="adapter",
        licence=licence,
        licence_source=source,
        options={"config": config, "weights": weights, **({"by_prompt": True} if by_prompt else {})},
    )


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """Bundles where MONAI downloads them: `$BUNDLE_DIR`, and torch's hub folder. Nothing of it is run."""
    roots = [Path(places["BUNDLE_DIR"])] if places.get("BUNDLE_DIR") else []
    roots += [home / ".cache" / "torch" / "hub" / "bundle"]
    found = [path for root in roots if root.is_dir() for path in root.iterdir()]
    return sorted(path for path in found if (path / "configs/metadata.json").is_file() and (path / WEIGHTS).is_file())


def _code(folder: Path, config: str) -> list[str]:
    """Everything that runs: configurations, scripts, and modules that they may import from the folder.

    Raises:
        BadCall: a linked folder, whose code could change unseen.
    """
    found = {config}
    for top, folders, files in os.walk(folder):
        here = Path(top).relative_to(folder)
        if linked := [name for name in folders if (Path(top) / name).is_symlink()]:
            raise BadCall(
                f"'{here / linked[0]}' of the bundle is a link to another folder. Copy its files there instead."
            )
        folders[:] = [name for name in folders if name not in ("__pycache__", ".git")]
        runs = here.parts[:1] in (("configs",), ("scripts",))
        found |= {str(here / name) for name in files if runs or name.endswith((".py", ".so", ".pyc"))}
    return sorted(found)
