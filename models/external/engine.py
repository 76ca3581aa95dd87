"""An engine of the user's as data: `engine.toml` in the user's folder. Torch-free."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any, Literal, get_args

from ...imaging.errors import BadCall
from ...imaging.volume import MODALITIES

Where = Literal["worker", "venv", "http"]
Orientation = str
"""Three letters for the directions in which the axes grow, "RAS" or "LPS" as a rule, or "as-stored"."""
Accepts = Literal["names", "text", "clicks"]
_OPPOSITE = {"L": "R", "P": "A", "I": "S"}
MOST_LABEL = 65535


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


def _are_named_texts(value: object) -> bool:
    return isinstance(value, Mapping) and _are_texts((*value.keys(), *value.values()))


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("name", "adapter", "title", "python", "folder", "url", "key_env", "orientation", "device"), _is_text
    ),
    **dict.fromkeys(("licence", "licence_source"), _is_text),
    **dict.fromkeys(("trust_code", "network"), _is_yes_or_no),
    "files": _are_named_texts,
    "modalities": lambda value: _are_texts(value) and bool(value),
    "dimensions": lambda value: isinstance(value, tuple) and bool(value),
    "channels": lambda value: _are_texts(value) and bool(value),
    "prefer": _are_texts,
    "classes": lambda value: isinstance(value, tuple),
    "memory_mb": lambda value: type(value) is int and value >= 0,
    "options": lambda value: isinstance(value, Mapping),
}  # key -> whether a hand that edited it left something of its kind


def _is_orientation(codes: str) -> bool:
    return codes == "as-stored" or sorted("RAS".find(_OPPOSITE.get(one, one)) for one in codes) == [0, 1, 2]


def _is_spacing(value: Any) -> bool:
    """Whether it is three lengths, or nothing."""
    if value is None:
        return True
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(one, int | float) and one > 0 for one in value)
    )


def _leads_out(name: str) -> bool:
    path = PurePath(name)
    return path.is_absolute() or ".." in path.parts or not path.parts


@dataclass(frozen=True)
class Class:
    """One thing the engine finds.

    Attributes:
        label: as the engine calls it.
        values: numbers in its label map that mean it; more than one for a region.
        structure: canonical name of the anatomy table; "" where the table does not know it.
    """

    label: str
    values: tuple[int, ...]
    structure: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it has a name and numbers a label map can hold."""
        fits = all(type(one) is int and 0 <= one <= MOST_LABEL for one in self.values)
        return bool(self.values) and fits and isinstance(self.label, str) and isinstance(self.structure, str)


@dataclass(frozen=True)
class Engine:
    """Everything we know of an engine that was added.

    Attributes:
        name: as `model` is called in tools.
        adapter: row of `adapters.ADAPTERS`.
        where: "venv" in a Python of its own, "worker" in ours (a process of its own all the same), "http" a server.
        python: interpreter of the engine's environment; "" for ours.
        folder: of its weights; "" where there are none here.
        url: of a server; key_env: variable that holds its key.
        files: path below `folder` -> sha256 when it was added.
        channels: what each input image is, in order.
        orientation: axes in which the network wants its arrays.
        orientation_from: "adapter" (the engine handles it by itself), "checked" (found with a labelled scan) or
            "assumed" (nobody has looked).
        memory_mb: ceiling of its process.
        licence_source: where the licence was read.
        trust_code: the user allowed code that lies in `folder`.
        network: the engine's process keeps the network.
        prefer: structures the user wants from this engine first; "*" for all.
        options: the adapter's own.
    """

    name: str
    adapter: str
    title: str
    where: Where = "venv"
    python: str = ""
    folder: str = ""
    url: str = ""
    key_env: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[Class, ...] = ()
    modalities: tuple[str, ...] = ("unknown",)
    dimensions: tuple[int, ...] = (3,)
    channels: tuple[str, ...] = ("image",)
    orientation: Orientation = "LPS"
    orientation_from: Literal["adapter", "checked", "assumed"] = "assumed"
    accepts: Accepts = "names"
    device: str = "cpu"
    memory_mb: int = 8000
    licence: str = "not stated"
    licence_source: str = ""
    purpose: Literal["any", "research-only"] = "research-only"
    trust_code: bool = False
    network: bool = False
    prefer: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an entry that contradicts itself, naming the line."""
        wrong = [
            f"{key} = {value!r}"
            for key, value, allowed in (
                ("where", self.where, get_args(Where)),
                ("accepts", self.accepts, get_args(Accepts)),
                ("purpose", self.purpose, ("any", "research-only")),
                ("orientation_from", self.orientation_from, ("adapter", "checked", "assumed")),
            )
            if value not in allowed
        ]
        wrong += [
            f"{key} = {str(getattr(self, key))[:60]!r}" for key, fits in _KINDS.items() if not fits(getattr(self, key))
        ]
        if not wrong:
            wrong += [f"modalities has {one!r}" for one in self.modalities if one not in MODALITIES]
            wrong += [f"dimensions has {one!r}" for one in self.dimensions if one not in (2, 3)]
            wrong += [f"files has {one!r}, which leads out of the folder" for one in self.files if _leads_out(one)]
            wrong += [f"classes has {one.label!r} without numbers" for one in self.classes if not one.is_whole]
            if not _is_orientation(self.orientation):
                wrong.append(f"orientation = {self.orientation!r}, which is neither three axes as in RAS nor as-stored")
            if not _is_spacing(self.options.get("spacing_mm")):
                wrong.append("spacing_mm in options, which is no three lengths")
        if wrong:
            raise BadCall(
                f"The engine '{str(self.name)[:60]}' is wrong in: {'; '.join(wrong)[:600]}. Mend its engine.toml."
            )

    @property
    def structures(self) -> tuple[str, ...]:
        """Canonical names it finds, in its order."""
        return tuple(dict.fromkeys(one.structure for one in self.classes if one.structure))

    @property
    def unresolved(self) -> tuple[str, ...]:
        """Labels that the anatomy table does not know."""
        return tuple(one.label for one in self.classes if not one.structure)

    def values_of(self, structure: str) -> tuple[int, ...]:
        """Numbers that mean a structure (canonical, or a label of the engine's own); () for one it does not know."""
        found = [v for one in self.classes if structure in (one.structure, one.label) for v in one.values]
        return tuple(dict.fromkeys(found))


def read_engine(text: str) -> Engine:
    """An engine from its TOML.

    Raises:
        BadCall: no TOML, an unknown or missing key, or values that contradict each other.
    """
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadCall(f"An engine.toml is no TOML: {str(error)[:300]}. Mend it, or add the engine again.") from error
    known = {one.name for one in fields(Engine)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise BadCall(
            f"An engine.toml has unknown keys: {', '.join(unknown)[:200]}. Known: {', '.join(sorted(known))}."
        )
    try:
        given["classes"] = tuple(
            Class(row["label"], tuple(row["values"]), row.get("structure", "")) for row in given.get("classes", [])
        )
        values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in given.items()}
        return Engine(**values)
    except (KeyError, TypeError) as error:
        raise BadCall(f"An engine.toml lacks a value ({str(error)[:200]}). Add the engine again.") from error


def write_engine(engine: Engine) -> str:
    """The TOML that `read_engine` understands; a person can edit it."""
    lines, tables = [], []
    for one in fields(engine):
        value = getattr(engine, one.name)
        if one.name == "classes":
            for row in value:
                tables += ["", "[[classes]]", f"label = {_toml(row.label)}", f"values = {_toml(row.values)}"]
                tables += [f"structure = {_toml(row.structure)}"]
        elif isinstance(value, Mapping):
            tables += ["", f"[{one.name}]", *(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items())]
        else:
            lines.append(f"{one.name} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML; JSON's strings, numbers, booleans and lists are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if value is None:
        raise BadCall("An option has no value (null). Leave it out, or give it one.")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
