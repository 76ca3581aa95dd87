"""Where servers that share a store keep it: a TOML file, or the environment for what should stand in no file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from ..imaging.errors import BadCall
from ..store.shared import Shared

SharedOption = Annotated[
    Path | None,
    typer.Option(
        help="TOML file that names a shared catalogue and arrays (docs/shared.md); also OSTENSOR_SHARED, or "
        "OSTENSOR_CATALOGUE and OSTENSOR_ARRAYS themselves."
    ),
]
_KINDS = {"catalogue": str, "arrays": str, "cache_mb": int, "options": dict}


def shared_of(file: Path | None) -> Shared:
    """What the file says, and over it what OSTENSOR_CATALOGUE and OSTENSOR_ARRAYS say; nothing shared without either.

    Raises:
        BadCall: the file cannot be read, or says something that is no setting. Values are not repeated.
    """
    named = os.environ.get("OSTENSOR_SHARED", "")
    found = file or (Path(named) if named else None)
    values = {} if found is None else _read(found)
    for name in ("catalogue", "arrays"):
        given = os.environ.get(f"OSTENSOR_{name.upper()}", "")
        values.update({name: given} if given else {})
    return Shared(**values)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadCall(f"'{file.name}' cannot be read ({type(error).__name__}). Give a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadCall(f"'{file.name}' is not TOML ({type(error).__name__}). See docs/shared.md.") from None
    unknown = sorted(set(values) - set(_KINDS))
    if unknown:
        raise BadCall(f"Unknown shared settings: {', '.join(unknown)}. Allowed: {', '.join(_KINDS)}.")
    for name, value in values.items():
        if type(value) is not _KINDS[name]:
            raise BadCall(f"The shared setting {name} must be a {_KINDS[name].__name__}. See docs/shared.md.")
    if values.get("cache_mb", 1) < 1:
        raise BadCall("cache_mb must be at least 1. It is what copies of shared arrays may take on this machine.")
    return values
