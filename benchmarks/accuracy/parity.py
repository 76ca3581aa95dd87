"""Fixture folders of the authors' outputs against what our code gives with the same weights and inputs; compares, prints nothing.

A fixture's format is that of `docs/parity.md`. Float32 on the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall, OstensorError
from ...models.parity import Fixture, Tolerance
from ...models.systems import SYSTEMS, System
from ...training.regimes.official import LOSSES
from ...training.regimes.row import Loss

logger = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
Row = System | Loss
_TABLES: tuple[Row, ...] = (*SYSTEMS, *LOSSES)
ROWS = tuple(row for row in _TABLES if row.parity)
# How weights and inputs that do not fit the code end.
_STOPPED = (OstensorError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Compared:
    """One output, ours beside the authors'.

    Error and tolerance are those of the value that uses most of what it is allowed, so that the output holds where
    error <= tolerance; both are None where nothing could be compared.

    Attributes:
        fixture: name of its folder.
        system: name of the row that understands it.
        kind: an intermediate is compared where our code answers it, in the leading corner that is stored, and held to the loosest
            tolerance of the outputs, because it has none of its own.
        error: |ours - theirs|.
        tolerance: atol + rtol |theirs|.
        reason: why it does not hold; "" when it does.
    """

    fixture: str
    system: str
    output: str
    kind: Literal["output", "intermediate"]
    holds: bool
    error: float | None = None
    tolerance: float | None = None
    atol: float | None = None
    rtol: float | None = None
    reason: str = ""


def measure(folders: Sequence[Path]) -> list[Compared]:
    """Every output of every fixture, in the order of the folders.

    Args:
        folders: fixtures, or folders of fixtures.

    Raises:
        BadCall: a folder holds no fixture, or one that no row understands; nothing has been run then.
    """
    fixtures = [fixture for folder in folders for fixture in fixtures_in(folder)]
    return [one for fixture, row in zip(fixtures, rows_of(fixtures), strict=True) for one in compare(fixture, row)]


def fixtures_in(folder: Path) -> list[Fixture]:
    """The folder itself, or the fixtures right below it by name.

    Raises:
        BadCall: neither has a config.json.
    """
    if (folder / "config.json").is_file():
        return [Fixture(folder)]
    inside = sorted(config.parent for config in folder.glob("*/config.json"))
    if not inside:
        raise BadCall(
            f"'{folder.resolve().name}' is no parity fixture and holds none: there is no config.json. "
            "Give a fixture's folder, or one of several fixtures."
        )
    return [Fixture(one) for one in inside]


def rows_of(fixtures: Sequence[Fixture]) -> list[Row]:
    """The row that understands each.

    Raises:
        BadCall: there is none for some.
    """
    found = [next((row for row in ROWS if any(a.understands(one) for a in row.parity)), None) for one in fixtures]
    strange = [
        f"'{one.name}' ({one.source}, {one.system})" for one, row in zip(fixtures, found, strict=True) if row is None
    ]
    if strange:
        more = f" and {len(strange) - 3} others" if len(strange) > 3 else ""
        known = ", ".join(f"{row.name} ({one.source})" for row in ROWS for one in row.parity)
        raise BadCall(
            f"Nothing here has parity with {', '.join(strange[:3])}{more}. Known: {known}. Give fixtures of these only."
        )
    return [row for row in found if row is not None]


def compare(fixture: Fixture, row: Row) -> Iterator[Compared]:
    """Every output, then the intermediates our code answers.

    Raises:
        BadCall: the stored outputs or tolerances cannot be read, or there are none.
    """
    if not fixture.expected:
        raise BadCall(f"'{fixture.name}' holds no outputs, so nothing could fail. Get the whole fixture.")
    start = Compared(fixture.name, row.name, "", "output", False)
    try:
        ours = {name: value.detach().double().numpy() for name, value in row.code().reproduce(fixture).items()}
    except _STOPPED as error:
        logger.info("parity with %s stopped", fixture.name, exc_info=True)
        said = str(error) if isinstance(error, OstensorError) else f"{type(error).__name__}: {error}"
        yield from (replace(start, output=name, reason=f"ours could not be run: {said}") for name in fixture.expected)
        return
    for name in fixture.expected:
        theirs, allowed = fixture.outputs.get(name), fixture.tolerance(name)
        yield _compared(replace(start, output=name), ours.get(name), theirs, allowed)
    for name in [name for name in ours if name not in fixture.expected and name in fixture.intermediates]:
        cropped = fixture.intermediates[name].numpy()
        corner = ours[name][tuple(map(slice, cropped.shape))] if ours[name].ndim == cropped.ndim else ours[name]
        yield _compared(replace(start, output=name, kind="intermediate"), corner, cropped, fixture.loosest)


def _compared(
    start: Compared, ours: Array | None, theirs: npt.NDArray[Any] | None, allowed: Tolerance | None
) -> Compared:
    if theirs is None:
        return replace(start, reason="the fixture does not hold this output")
    if allowed is None:
        return replace(start, reason="the fixture states no tolerance for it")
    start = replace(start, atol=allowed.atol, rtol=allowed.rtol)
    if ours is None:
        return replace(start, reason="ours does not give this output")
    if ours.shape != theirs.shape:
        return replace(start, reason=f"ours has the shape {list(ours.shape)}, theirs {list(theirs.shape)}")
    for whose, values in (("ours", ours), ("theirs", theirs)):
        if wrong := int(np.count_nonzero(~np.isfinite(values))):
            return replace(start, reason=f"{wrong} of {values.size} values of {whose} are not finite")
    if not ours.size:
        return replace(start, reason="it is empty")
    error = np.abs(ours - theirs)
    limit = allowed.atol + allowed.rtol * np.abs(theirs.astype(np.float64))
    beyond = int(np.count_nonzero(error > limit))
    worst = np.argmax(np.divide(error, limit, out=np.where(error > 0, np.inf, 0.0), where=limit > 0))
    reason = f"{beyond} of {error.size} values lie beyond the tolerance" if beyond else ""
    error_there, limit_there = float(error.flat[worst]), float(limit.flat[worst])
    return replace(start, holds=not beyond, error=error_there, tolerance=limit_there, reason=reason)
