"""The user's engines: a folder each with `engine.toml` and what was measured here. Torch-free."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ..rows import row_of
from .engine import Engine, read_engine, write_engine
from .refusals import refusal

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


def engines_folder() -> Path:
    """Where a user's engines are written down; asked anew each time, so that it follows the environment."""
    return platformdirs.user_data_path("ostensor", appauthor=False) / "engines"


def engines() -> tuple[Engine, ...]:
    """Every engine that was added, by name; one whose file is damaged is left out (`engines check` says why)."""
    found = []
    for file in sorted(engines_folder().glob("*/engine.toml")):
        try:
            found.append(_read(file))
        except BadCall:
            continue
    return tuple(found)


def _read(file: Path) -> Engine:
    """The engine of a file; its name must be that of its folder, for that is where it is changed and removed.

    Raises:
        BadCall: it is damaged, or says another name.
    """
    try:
        engine = read_engine(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadCall(f"The engine.toml of '{file.parent.name}' cannot be read ({type(error).__name__}). Remove the engine and "
                      "add it again.") from None  # fmt: skip
    if engine.name != file.parent.name or not _NAME.fullmatch(engine.name):
        raise BadCall(f"The engine.toml in '{file.parent.name}' says it is '{engine.name[:60]}'. Mend its name.")
    return engine


def state() -> tuple[tuple[str, int], ...]:
    """What changes when an engine is added, changed, measured or removed."""
    found = []
    for file in sorted(engines_folder().glob("*/*.*")):
        with contextlib.suppress(OSError):  # removed meanwhile
            found.append((str(file), file.stat().st_mtime_ns))
    return tuple(found)


def engine_of(name: str) -> Engine:
    """The engine of this name.

    Raises:
        BadCall: there is none, or its file is damaged.
    """
    file = engines_folder() / name / "engine.toml"
    if _NAME.fullmatch(name) and file.parent.is_dir():
        return _read(file)
    if not (known := engines()):
        raise BadCall(f"There is no engine '{name}', nor any other. Add one with `ostensor engines add`.")
    return row_of(known, name, "engine")


def is_current(engine: Engine, file: Path) -> bool:
    """Whether a file says this of an engine, however a hand has laid it out."""
    try:
        return _read(file) == engine
    except BadCall:
        return False


def add_engine(engine: Engine, taken: Callable[[str], bool] = lambda name: False) -> Engine:
    """Write an engine down, its files hashed.

    Args:
        taken: whether another model has this name.

    Raises:
        BadCall: a name that is taken or no name.
        OstensorError: files of its folder are missing.
    """
    if not _NAME.fullmatch(engine.name):
        raise BadCall(f"'{engine.name}' is no name for an engine. Use small letters, digits, '.', '_' and '-'.")
    if taken(engine.name):
        raise BadCall(f"A model is called '{engine.name}' already. Give another name with --name.")
    hashed = replace(engine, files={name: hash_of(engine, name) for name in engine.files})
    save_engine(hashed)
    return hashed


def save_engine(engine: Engine) -> None:
    """Write its engine.toml."""
    try:
        content = write_engine(engine).encode()
    except UnicodeEncodeError:
        raise BadCall(
            f"'{engine.name}' has a name of a folder or file that is no Unicode. Rename it, then add it."
        ) from None
    write_atomically(engines_folder() / engine.name / "engine.toml", lambda file: file.write(content))


def remove_engine(name: str) -> None:
    """Forget an engine and what was measured of it, damaged or not; nothing of its own folder is touched.

    Raises:
        BadCall: there is none.
    """
    if not _NAME.fullmatch(name) or not (engines_folder() / name).is_dir():
        engine_of(name)
    shutil.rmtree(engines_folder() / name)


def hash_of(engine: Engine, name: str) -> str:
    """sha256 of one of its files.

    Raises:
        Unavailable: it is not there.
    """
    path = Path(engine.folder) / name
    if not path.is_file():
        raise refusal("engine_weights_missing", f"'{engine.name}' lacks {name}. Put it back, or add the engine again.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(engine: Engine) -> None:
    """Compare every file with what it was when the engine was added.

    Raises:
        Unavailable: files are missing or changed; each is named.
    """
    missing = [name for name in engine.files if not (Path(engine.folder) / name).is_file()]
    if missing:
        raise refusal(
            "engine_weights_missing",
            f"'{engine.name}' lacks {', '.join(missing)}. Put {'them' if len(missing) > 1 else 'it'} back, or add the engine again.",
        )
    changed = [name for name, known in engine.files.items() if hash_of(engine, name) != known]
    if changed:
        raise refusal(
            "engine_weights_changed",
            f"Of '{engine.name}', {', '.join(changed)} changed since it was added. If you changed it, remove the engine and add it again.",
        )


def sha_of(engine: Engine) -> str:
    """One hash for all its files; "" for an engine without any."""
    if not engine.files:
        return ""
    lines = "".join(f"{name} {known}\n" for name, known in sorted(engine.files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def keep_measured(name: str, case: str, dice: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Remember how an engine did on one labelled scan; the same scan again replaces what was known.

    Args:
        case: hash of the scan and its labels.

    Returns:
        Case -> structure -> Dice.
    """
    known = {**measured_cases(name), case: dict(dice)}
    content = json.dumps(known, indent=1).encode()
    write_atomically(engines_folder() / name / "measured.json", lambda file: file.write(content))
    return known


def measured_cases(name: str) -> dict[str, dict[str, float]]:
    """Case -> structure -> Dice; {} before anything was measured, or where the file is damaged."""
    try:
        known = json.loads((engines_folder() / name / "measured.json").read_text(encoding="utf-8"))
        whole = {str(case): {str(one): float(value) for one, value in row.items()} for case, row in known.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return whole if all(0 <= value <= 1 for row in whole.values() for value in row.values()) else {}


def merged(engine: Engine, given: Mapping[str, Any]) -> Engine:
    """An engine with what the user said in place of what its files say; None says nothing."""
    return replace(engine, **{key: value for key, value in given.items() if value is not None})
