"""Bringing a published checkpoint of a backbone: the user says what it was taught, the rest is read from it.

What the user says is a TOML file:

    name = "my-stunet"             # of the model, as callers will ask for it
    title = "Organs in CT"
    modality = "ct"
    structures = ["spleen", "right kidney", "left kidney"]   # in the order of the channels
    background = true              # its first channel is none of them, and classes exclude each other
    licence = "CC BY 4.0"
    purpose = "research-only"      # or "any"

    [network]                      # what the weights do not tell: options of the backbone
    strides = [2, 2, 2, 2, 2]

    [preparation]                  # see `models/inference/preprocess.py`
    dims = 3
    spacing_mm = [1.5, 1.5, 1.5]
    intensity = "ct"
    scale = [-1024.0, 276.0, -370.0, 436.6]

    [view]
    patch = [128, 128, 128]
    layout = "SAR"                 # where the axes of its images run to; left out, as ours
"""

from __future__ import annotations

import hashlib
import inspect
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ..imaging.errors import BadCall
from ..imaging.guards.atomic import write_atomically
from ..imaging.guards.private import make_private_folder
from .backbones.official import load
from .backbones.row import Backbone
from .backbones.table import BACKBONES
from .card import Card
from .catalogue import ENTRIES, USER_FOLDER, card, forget_cards
from .checkpoints import half_precision, read_parts
from .inference.preprocess import Preparation
from .language.satmini import shelf
from .language.satmini.fixed_classes import ClassesConfig, FixedClasses
from .language.satmini.peak import measured_memory

_NEEDED = ("name", "title", "modality", "structures", "licence", "preparation", "view")
_KNOWN = {*_NEEDED, "background", "purpose", "network", "region", "notes"}
_PURPOSES = ("any", "research-only")


def importable() -> tuple[str, ...]:
    """Backbones whose published checkpoints are understood."""
    return tuple(row.name for row in BACKBONES if _is_read(row))


def _is_read(row: Backbone) -> bool:
    """Whether a whole network is built from a checkpoint; of some the large encoder is another file, and not read."""
    return hasattr(row.code(), "options_of") or hasattr(row.code(), "sizes_of")


def import_backbone(
    file: Path, facts: Path, *, row: Backbone, accept_licence: bool, folder: Path | None = None
) -> Card:
    """Check and convert the authors' checkpoint, and answer the card of the model it becomes.

    Args:
        file: the checkpoint.
        facts: the TOML file about it.
        row: of the backbone.
        accept_licence: the user has read the licence of the weights.
        folder: where it is put; None for the user's own.

    Raises:
        BadCall: the facts lack something or contradict the weights, it is no checkpoint of that backbone, or the licence was
            not accepted.
    """
    said = _read(facts)
    if not _is_read(row):
        raise BadCall(
            f"No published checkpoint of '{row.name}' is known. Those that are: {', '.join(importable())}. "
            "Train one with `ostensor fit`."
        )
    if not accept_licence:
        raise BadCall(
            f"Licence of '{said['name']}': {said['licence']}. Call again with --accept-licence if that is right."
        )
    net = _filled(row, said, file)
    content = save(half_precision(net))
    place = folder or USER_FOLDER / shelf.FOLDER
    make_private_folder(place)
    name = str(said["name"])
    write_atomically(place / f"{name}.safetensors", lambda out: out.write(content))
    written = json.dumps(_facts(row, said, net, content, file), indent=1).encode()
    write_atomically(place / f"{name}.json", lambda out: out.write(written))
    forget_cards()
    return card(name) if folder is None else shelf.card_of(json.loads(written), place / f"{name}.safetensors")


def _read(path: Path) -> dict[str, Any]:
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadCall(f"'{path.name}' is no readable TOML file ({error}). See docs/backbones.md.") from error
    if missing := [key for key in _NEEDED if key not in said]:
        raise BadCall(
            f"'{path.name}' does not say {', '.join(missing)}. Add them; docs/backbones.md shows a whole file."
        )
    if unknown := sorted(set(said) - _KNOWN):
        raise BadCall(f"'{path.name}' says '{unknown[0]}', which is not known. Known: {', '.join(sorted(_KNOWN))}.")
    if not said["structures"] or len(set(said["structures"])) != len(said["structures"]):
        raise BadCall(f"`structures` of '{path.name}' names none, or one twice. Name each channel once.")
    if said.get("purpose", "research-only") not in _PURPOSES:
        raise BadCall(f"`purpose` of '{path.name}' is one of {', '.join(_PURPOSES)}.")
    name = str(said["name"])
    if not name.replace("-", "").replace("_", "").isalnum():
        raise BadCall(f"'{name}' is no name of a model. Take letters, digits and hyphens.")
    if any(entry.name == name for entry in ENTRIES):
        raise BadCall(f"'{name}' is the name of a model here. Take another one.")
    return said


def _filled(row: Backbone, said: Mapping[str, Any], file: Path) -> FixedClasses:
    """The network with the checkpoint's weights."""
    content, code = read_parts(file), row.code()
    given = dict(said.get("network", {}))
    options = {**_options(row, content, given), **given}
    dims, channels, classes = (options.pop(key) for key in ("dims", "channels", "classes"))
    exclusive = bool(said.get("background", True))
    if classes != len(said["structures"]) + exclusive:
        raise BadCall(
            f"The weights have {classes} channels, and {len(said['structures'])} structures are named"
            f"{' beside the background' if exclusive else ''}. Name one for each channel, in their order."
        )
    if dims != said["preparation"].get("dims"):
        raise BadCall(
            f"The weights are of a {dims}-D network; `preparation` says dims = {said['preparation'].get('dims')}. Correct it."
        )
    if channels not in (1, 3) or (channels == 3 and dims == 3):
        raise BadCall(
            f"The weights are of a network that takes {channels} images at once. One that takes a scan alone, or a picture's "
            "three colours, can be asked here."
        )
    view = said["view"]
    config = ClassesConfig(
        dims,
        row.name,
        options,
        window=tuple(view["patch"]) if dims == 3 and not row.in_tiles else (),
        exclusive=exclusive,
        copies=channels,
        layout=str(view.get("layout", "")),
    )
    with torch.device("meta"):
        net = FixedClasses(config, list(said["structures"]))
    state = {f"net.{key}": value for key, value in code.convert(content).items()}
    return load(net, state, f"a checkpoint of {row.system}")


def _options(row: Backbone, content: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights tell of their network; some backbones are told beside what no weight tells."""
    code = row.code()
    if hasattr(code, "sizes_of"):
        told: dict[str, Any] = code.sizes_of(code.convert(content))
        return told
    known = inspect.signature(code.options_of).parameters
    needed = [key for key, one in list(known.items())[1:] if one.default is one.empty and key not in given]
    if needed:
        raise BadCall(f"The weights of '{row.name}' do not tell {', '.join(needed)}. Say it under [network].")
    found: dict[str, Any] = code.options_of(content, **{key: one for key, one in given.items() if key in known})
    return found


def _facts(row: Backbone, said: Mapping[str, Any], net: FixedClasses, content: bytes, file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        brought = hashlib.file_digest(opened, "sha256").hexdigest()
    preparation = Preparation.from_json({"longest": None, **said["preparation"]})
    structures = list(said["structures"])
    return {
        "name": said["name"],
        "title": said["title"],
        "vocabulary": structures,
        "claimed": structures,
        "network": net.config.to_json(),
        "preparation": preparation.to_json(),
        "spacing_mm": None if preparation.longest else list(preparation.spacing_mm),
        "modality": said["modality"],
        "licence": said["licence"],
        "purpose": said.get("purpose", "research-only"),
        "region": list(said.get("region", ())),
        "words": False,
        "paper": row.source,
        "deviations": [f"Built as {row.system}, {row.fidelity}.", *row.deviations],
        "notes": said.get("notes", "Published weights brought by the user; not measured here."),
        "sources": [f"{file.name}, sha256 {brought}"],
        "sha256": hashlib.sha256(content).hexdigest(),
        **measured_memory(net.config.to_json(), structures, said["view"]["patch"]),
    }
