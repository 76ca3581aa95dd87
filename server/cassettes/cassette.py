"""Cassettes: recorded tool calls that replay with no GPU, and that a live server can be held against.

A cassette holds, per call, tool, canonical arguments and result; the fingerprint of every used
tool's schema; the hash of every model's weights; volumes by content hash; masks as bits. It holds
no path, no time and no patient: paths become hashes, jobs are numbered, and what looks like a
name, date or number of a patient is crossed out letter by letter, in arguments and results alike.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ...tools.desk.desk import Answer, Desk
from ...tools.desk.tool import Tool
from ...tools.registry import tool

MAGIC, VERSION = "ostensor-cassette", 1
PATHS = ("path", "folder", "ehr_path")
MASK, _IMAGE, JOB, LOG = (re.compile(rf"{kind}_[0-9a-f]{{12,16}}") for kind in ("msk", "img", "job", "ref"))
# What identifies people in reports: labelled fields, dates, phone and record numbers.
_PRIVATE = re.compile(
    r"(?P<label>\b(?:patient(?: name)?|name|mrn|dob|date of birth|accession(?: number)?|referring physician|dr\.?|mr\.|mrs\.|ms\.)\s*[:#]?\s*)"
    r"(?P<value>(?-i:[A-Z][\w'-]+(?:[ ,]+[A-Z][\w'-]*\.?){0,3})|[\w-]*\d[\w-]*)"
    r"|(?P<date>\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b)|(?P<phone>(?<!\w)\+?\d[\d ()-]{7,}\d(?!\w))|(?P<number>\b\d{6,}\b)|(?P<mail>\S+@\S+\.\w+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Recorded:
    """One call; `error` is the message when it failed, and `result` is then empty."""

    tool: str
    arguments: dict[str, Any]
    result: dict[str, Any]
    text: str
    error: str = ""

    @property
    def key(self) -> str:
        """Tool and hash of the canonical arguments."""
        return call_key(self.tool, self.arguments)


@dataclass
class Cassette:
    """Recorded calls and what they depend on.

    Attributes:
        fingerprints: tool -> sha256 of its schema, for the tools used.
        weights: model -> sha256.
        volumes: image handle -> sha256 of the voxels and grid.
        masks: mask handle -> shape and bits.
        session: what started the calls, e.g. the question of `ask`.
    """

    calls: list[Recorded] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    masks: dict[str, dict[str, Any]] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it as JSON, keys sorted: the same run gives the same file."""
        document = {"magic": MAGIC, "version": VERSION, **{k: v for k, v in vars(self).items() if k != "calls"}}
        document["calls"] = [vars(call) for call in self.calls]
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Cassette:
        """Read one.

        Raises:
            BadCall: it is missing, no cassette, or of another version.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadCall(f"The cassette '{path.name}' does not exist. Record one with --record.") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise BadCall(f"'{path.name}' is no cassette: it is not JSON. Record one with --record.") from None
        if not isinstance(document, dict) or document.get("magic") != MAGIC:
            raise BadCall(f"'{path.name}' is no cassette: its magic is not '{MAGIC}'. Record one with --record.")
        if document.get("version") != VERSION:
            raise BadCall(
                f"'{path.name}' is of version {document.get('version')}. This reads {VERSION}. Record it again."
            )
        calls = [Recorded(**call) for call in document.pop("calls")]
        return cls(calls=calls, **{k: v for k, v in document.items() if k not in ("magic", "version")})


class Recorder:
    """Writes calls of a desk into a cassette; `run_tool` tells it of each."""

    def __init__(self, desk: Desk) -> None:
        self.cassette = Cassette()
        self._desk = desk
        self._jobs: dict[str, str] = {}
        self._private: set[str] = set()

    def note(self, entry: Tool, arguments: Mapping[str, Any], answer: Answer | None, error: str) -> None:
        """Keep one call."""
        result = {} if answer is None else answer.result.model_dump(mode="json")
        text = "" if answer is None else answer.text
        self._private |= {w for v in arguments.values() if isinstance(v, str) for w in private_words(v)}
        kept = Recorded(
            entry.name,
            canonical(self._tidy(dict(arguments))),
            self._tidy(result),
            self._tidy(text),
            self._tidy(error),
        )
        self.cassette.calls.append(kept)
        self.cassette.fingerprints[entry.name] = fingerprint(entry)
        self._depend(result)

    def save(self, path: Path) -> None:
        """Write the cassette."""
        self.cassette.session = self._tidy(self.cassette.session)
        self.cassette.save(path)

    def _tidy(self, value: Any) -> Any:
        """Jobs numbered in the order they appear, people crossed out, paths by their last part."""
        if isinstance(value, str):
            return crossed_out(JOB.sub(lambda m: self._job(m.group()), value), self._private)
        if isinstance(value, list | tuple):
            return [self._tidy(item) for item in value]
        if isinstance(value, Mapping):
            return {k: _last(v) if k == "path" and value.get("format") else self._tidy(v) for k, v in value.items()}
        return value

    def _job(self, job_id: str) -> str:
        return self._jobs.setdefault(job_id, f"job_{len(self._jobs) + 1:016x}")

    def _depend(self, result: Any) -> None:
        """Hashes of weights and volumes, and the bits of masks, that a result names."""
        shown = json.dumps(result)
        for image_id in set(_IMAGE.findall(shown)) - set(self.cassette.volumes):
            self.cassette.volumes[image_id] = self._desk.store.image(image_id).content_hash
        for mask_id in set(MASK.findall(shown)) - set(self.cassette.masks):
            self.cassette.masks[mask_id] = packed(self._desk.store.mask(mask_id).array)
        for row in _objects(result):
            if row.get("weights_sha256") and row.get("model"):
                self.cassette.weights[str(row["model"])] = str(row["weights_sha256"])


@contextmanager
def recording(desk: Desk, path: Path | None, session: Mapping[str, Any] | None = None) -> Iterator[Recorder | None]:
    """Record every call of a desk into a file; None records nothing. The file is written on the way out."""
    if path is None:
        yield None
        return
    desk.recorder = recorder = Recorder(desk)
    recorder.cassette.session.update(session or {})
    try:
        yield recorder
    finally:
        desk.recorder = None
        recorder.save(path)


def canonical(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the one form they are compared in: no nulls, whole floats as such, paths hashed, no waiting times."""
    tidy = {}
    for name, value in sorted(arguments.items()):
        if value is None or name == "wait_s":
            continue
        if name in PATHS and isinstance(value, str):
            value = path_key(value)
        elif name == "paths":
            value = [path_key(path) for path in value]
        tidy[name] = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return tidy


def path_key(path: str) -> str:
    """A path without its words: the hash of its last part."""
    if path.startswith("file:"):
        return path
    return "file:" + hashlib.sha256(_last(path).encode()).hexdigest()[:16]


def _last(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def call_key(name: str, arguments: Mapping[str, Any]) -> str:
    """Tool and hash of canonical arguments; defaults need not be written out."""
    filled = canonical(arguments)
    return f"{name} {hashlib.sha256(json.dumps(filled, sort_keys=True).encode()).hexdigest()}"


def fingerprint(entry: Tool) -> str:
    """Hash of everything a caller sees of a tool: description, arguments and result."""
    seen = [entry.name, entry.function.__doc__, entry.arguments.model_json_schema(), entry.result.model_json_schema()]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def stale(cassette: Cassette) -> list[str]:
    """Why a cassette no longer fits this program; empty when it does."""
    found = []
    for name, recorded in sorted(cassette.fingerprints.items()):
        try:
            now = fingerprint(tool(name))
        except BadCall:
            found.append(f"The tool {name} is gone.")
            continue
        if now != recorded:
            found.append(f"The schema or description of {name} changed since the recording.")
    return found


def crossed_out(text: str, also: Iterable[str] = ()) -> str:
    """The text with what may identify a person replaced by X, length and places kept.

    Args:
        also: words to cross out wherever they stand, e.g. a name that was labelled elsewhere.
    """

    def over(match: re.Match[str]) -> str:
        label = match.group("label") or ""
        return label + re.sub(r"\w", "X", match.group()[len(label) :])

    crossed = _PRIVATE.sub(over, text)
    words = {*also, *private_words(text)}
    if not words:
        return crossed
    anywhere = re.compile(r"\b(?:" + "|".join(re.escape(word) for word in sorted(words)) + r")\b")
    return anywhere.sub(lambda match: "X" * len(match.group()), crossed)


def private_words(text: str) -> set[str]:
    """Names and numbers that a text labels as a person's."""
    found = {word for match in _PRIVATE.finditer(text) for word in re.findall(r"\w{3,}", match.group("value") or "")}
    return {word for word in found if set(word) != {"X"}}


def packed(array: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A mask as JSON: shape and compressed bits."""
    bits = zlib.compress(np.packbits(np.ascontiguousarray(array)).tobytes(), 9)
    return {"shape": list(array.shape), "bits": base64.b64encode(bits).decode("ascii")}


def unpacked(mask: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The mask of `packed`."""
    shape = tuple(mask["shape"])
    flat = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(mask["bits"])), np.uint8))
    return flat[: int(np.prod(shape))].reshape(shape).astype(bool)


def _objects(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for item in node:
            yield from _objects(item)
