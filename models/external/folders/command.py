"""Any program that reads scans and writes masks: what the user says of it is all there is. Torch-free."""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....imaging.errors import BadCall
from ..engine import MOST_LABEL, Class, Engine

PLACES = ("image", "mask", "masks", "folder", "device", "threads")


def describe(folder: Path | None, options: Mapping[str, Any]) -> Engine:
    """The engine of a template, its classes as the user names them.

    Args:
        options: `template`, the line with {image} and {mask} (a label map) or {masks} (a folder for one file a class);
            `classes`, name -> number; `channels`, names of the input images.

    Raises:
        BadCall: no template, an unknown place in it, no classes.
    """
    template, classes = str(options.get("template") or ""), options.get("classes") or {}
    channels = tuple(options.get("channels") or ("image",))
    try:
        words = shlex.split(template)
        places = [place for word in words for place in string.Formatter().parse(word) if place[1] is not None]
    except ValueError as error:
        raise BadCall(f"The template cannot be read: {error}.") from None
    known = {*PLACES, *(f"image{number}" for number in range(len(channels)))}
    used = {str(name) for _text, name, _spec, _conversion in places}
    bare = all(not spec and not conversion for _text, _name, spec, conversion in places)
    if (
        not words
        or "{" in words[0]
        or not bare
        or not used & {"image", "image0"}
        or not used & {"mask", "masks", "folder"}
        or used - known
    ):
        raise BadCall(
            "A command needs a template such as --template 'segment --in {image} --out {mask}'. Places: "
            f"{', '.join(sorted(known))}; other braces are doubled."
        )
    if not isinstance(classes, Mapping) or not classes:
        raise BadCall("A command needs to know what the numbers mean: --classes liver=1,spleen=2.")
    odd = [str(label) for label, number in classes.items() if not _is_class(label, number)]
    if odd:
        raise BadCall(
            f"The class '{odd[0][:60]}' needs a name that a file can have and a number from 1 to {MOST_LABEL}."
        )
    return Engine(
        name=Path(words[0]).stem.lower(),
        adapter="command",
        title=f"Program {Path(words[0]).name}",
        where="worker",
        folder="" if folder is None else str(folder.resolve()),
        classes=tuple(Class(label, (int(number),)) for label, number in classes.items()),
        channels=channels,
        orientation="RAS",
        orientation_from="adapter",
        options={"template": template},
    )


def _is_class(label: object, number: object) -> bool:
    named = isinstance(label, str) and bool(label.strip()) and "/" not in label and label.isprintable()
    return named and type(number) is int and 0 < number <= MOST_LABEL


def find(places: Mapping[str, str], home: Path) -> list[Path]:
    """Nothing: programs are not looked for."""
    del places, home
    return []
