"""The one reader of configurations: a TOML file of one's own, or a bundled one by its name.

Every file says its kind (`kind = "segmenting"`; `runs.py` lists them). `extends = "NAME"` begins with another
configuration: tables are merged, everything else is replaced, and so is a table that names a `backbone`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..imaging.errors import BadCall

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Configuration:
    """What a file says, before its kind of run reads it.

    Attributes:
        stem: the file's name without its ending; what commands call it.
        kind: of run.
        values: everything else, merged with what it extends.
        inherited: keys that the file itself does not set.
    """

    stem: str
    kind: str
    values: Mapping[str, Any]
    inherited: frozenset[str] = frozenset()

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Stop at a key that means nothing here.

        Raises:
            BadCall: there is one; the nearest known key is offered.
        """
        unknown = sorted(set(self.values) - set(known))
        if unknown:
            near = difflib.get_close_matches(unknown[0], sorted(known), n=1, cutoff=0.0)
            raise BadCall(
                f"The key '{unknown[0]}' of '{self.stem}' is not known. Closest: '{near[0]}'. "
                f"Keys of a {self.kind} run: {', '.join(sorted(known))}."
            )

    def start(self) -> str:
        """Name of the bundled weights the run begins with; "" for random ones.

        Raises:
            BadCall: `start` says something else.
        """
        start = self.values.get("start", "random")
        if start not in ("random", "bundled"):
            raise BadCall(f"'{start}' is not among random, bundled. Change `start`.")
        return str(self.values["name"]) if start == "bundled" else ""

    @contextmanager
    def read_as_wrong(self) -> Iterator[None]:
        """Turn what a reader trips over into a sentence.

        Raises:
            BadCall: a key is missing, or a value is not what it must be.
        """
        try:
            yield
        except KeyError as error:
            raise BadCall(f"The configuration '{self.stem}' lacks the key {error}. Add it.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise BadCall(
                f"The configuration '{self.stem}' is wrong: {error}. Compare it with a bundled one."
            ) from error


def bundled(kind: str | None = None) -> dict[str, Path]:
    """Every bundled configuration by its stem, or those of one kind."""
    found = {path.stem: path for path in sorted(CONFIGS.rglob("*.toml"))}
    return {stem: path for stem, path in found.items() if kind is None or read_configuration(path).kind == kind}


def read_configuration(config: str | Path) -> Configuration:
    """A TOML file by its path, or a bundled configuration by its name.

    Raises:
        BadCall: there is none, it is no TOML, it does not say its kind, or it extends itself.
    """
    path = _find(config, Path())
    values = _merged(path, ())
    kind = values.pop("kind", None)
    if not isinstance(kind, str):
        raise BadCall(
            f"'{path.name}' does not say its kind of run. Begin it with kind = \"segmenting\" or another one."
        )
    inherited = frozenset(values) - frozenset(_read(path))
    return Configuration(path.stem, kind, values, inherited)


def _find(config: str | Path, beside: Path) -> Path:
    given = beside / config
    if given.is_file():
        return given
    known = bundled()
    if str(config) in known:
        return known[str(config)]
    near = difflib.get_close_matches(str(config), sorted(known), n=3, cutoff=0.4) or sorted(known)
    raise BadCall(f"No configuration '{config}'. Bundled ones: {', '.join(near)}. Give one of them or a TOML file.")


def _merged(path: Path, through: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in through:
        raise BadCall(f"'{path.name}' extends itself. Take `extends` out of one of the files.")
    values = _read(path)
    if "extends" not in values:
        return values
    below = _merged(_find(str(values.pop("extends")), path.parent), (*through, path.resolve()))
    return _over(below, values)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCall(f"'{path.name}' is no TOML file: {error}.") from error


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _over(old or {}, value) if both and "backbone" not in value else value  # it has other sizes
    return merged
