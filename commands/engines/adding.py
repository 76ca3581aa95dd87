"""From a folder or an address to an engine: what its files tell, what the user says, names of the anatomy table."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...imaging.errors import BadCall
from ...models.external.adapters import Adapter, adapter_of
from ...models.external.engine import Engine, Where
from ...models.external.folders.licences import purpose_of
from ...models.external.process import EngineProcess
from ...models.external.shelf import merged
from ...retrieval.anatomy.structures import StructureTable
from ...tools.files.naming import structure_of_label


def draft(
    adapter: str, folder: Path | None, python: str, options: Mapping[str, Any], said: Mapping[str, Any]
) -> Engine:
    """The engine as it will be written down, its files not yet hashed.

    Args:
        said: fields the user gave; None where nothing was said.

    Raises:
        OstensorError: no such engine, half of one, or a kind of scan that nobody tells.
    """
    row = adapter_of(adapter)
    interpreter = python or found_python(row)
    described: Engine = row.code().describe(
        folder, {**options, "python": interpreter, **{k: v for k, v in said.items() if v}}
    )
    if said.get("modalities"):
        described = replace(described, modalities=tuple(said["modalities"]))
    if described.modalities == ("unknown",):
        raise BadCall(
            f"Its files do not tell which kind of scan '{described.name}' takes (channels: {', '.join(described.channels)}). "
            "Say --modality ct, mr, pet, us, xr or photo."
        )
    engine = merged(described, {key: value for key, value in said.items() if key != "modalities"})
    if said.get("orientation"):
        engine = replace(engine, orientation_from="assumed" if described.orientation_from == "assumed" else "adapter")
    if not said.get("purpose"):
        engine = replace(engine, purpose=purpose_of(engine.licence) if described.purpose == "research-only" else "any")
    if said.get("licence"):
        engine = replace(engine, licence_source="said by the user")
    table = StructureTable.bundled()
    classes = tuple(replace(one, structure=structure_of_label(table, one.label) or "") for one in engine.classes)
    where: Where = "http" if row.client else "venv" if interpreter else "worker"
    return replace(engine, classes=classes, python=interpreter, where=where)


def found_python(row: Adapter) -> str:
    """The interpreter that has an adapter's package: "" for ours, else that of its program on the PATH.

    Where neither is found it is ours, and starting it says what to install.
    """
    if not row.package or importlib.util.find_spec(row.package) is not None:
        return ""
    program = shutil.which(row.program) if row.program else None
    if program is None:
        return ""
    with Path(program).open("rb") as file:
        first = file.readline(1024).decode("utf-8", "replace")
    path = first.removeprefix("#!").strip()
    return path if first.startswith("#!") and Path(path).is_file() else ""


def installed(engine: Engine) -> str:
    """Start the engine's process without its weights and say what it is.

    Raises:
        OstensorError: its Python or package is missing; the line that installs it is told.
    """
    row = adapter_of(engine.adapter)
    if not row.hosted:
        return f"It is asked at {engine.url}."
    process = EngineProcess(engine.name, row.hosted, python=engine.python, environment=row.environment)
    try:
        told = process.ask("describe", options=dict(engine.options))
    finally:
        process.close()
    return f"Runs on {engine.adapter} {told.get('version', '')} in {engine.python or sys.executable}; network: {process.network}."
