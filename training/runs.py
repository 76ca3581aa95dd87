"""The kinds of training run, one row each. A row names a module; nothing of it is imported before it is needed.

To add one: a wing with `read`, `fit`, `evaluate` and `export` (`Kind` has their signatures), a row here, a TOML, a test.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..imaging.errors import BadCall
from .configuration import read_configuration
from .kinds import Kind


@dataclass(frozen=True)
class RunKind:
    """A kind of run.

    Attributes:
        name: as TOML files say it in `kind`.
        module: below `ostensor.training`; has the functions of `Kind`.
        does: one line for people.
    """

    name: str
    module: str
    does: str

    def code(self) -> Kind:
        """The module; imports torch."""
        return cast(Kind, importlib.import_module(f"ostensor.training.{self.module}"))


RUNS: tuple[RunKind, ...] = (
    RunKind("segmenting", "segmenting.kind", "teach a network structures, by their names or one channel each"),
    RunKind("referring", "referring.kind", "teach a network sentences that point"),
    RunKind("synthesis", "synthesis.kind", "teach a network to make images from masks or from another modality"),
    RunKind("prognosis", "prognosis.kind", "teach survival heads, cross-validated beside baselines"),
    RunKind("raters", "raters.kind", "teach the spread of several readers"),
    RunKind("finetuning", "finetuning.kind", "teach a SAM or SAM 2 a fixed list of structures, without prompts"),
    RunKind("prompting", "prompting.kind", "teach a network to draw what one points at"),
)


def read_run(config: str | Path, *, seed: int | None = None, steps: int | None = None) -> tuple[RunKind, Any]:
    """The kind of a configuration, and its run as that kind reads it.

    Args:
        seed: another one than the configuration's; the run is then called NAME-seedN.
        steps: of the whole schedule, in the place of the configuration's.

    Raises:
        BadCall: no such file, an unknown kind, or a key or value that is not known.
    """
    found = read_configuration(config)
    kind = next((row for row in RUNS if row.name == found.kind), None)
    if kind is None:
        raise BadCall(
            f"'{found.stem}' is of the unknown kind '{found.kind}'. Known: {', '.join(r.name for r in RUNS)}."
        )
    with found.read_as_wrong():
        run = kind.code().read(found)
    return kind, varied(run, seed=seed, steps=steps)


def varied(run: Any, *, seed: int | None = None, steps: int | None = None) -> Any:
    """The run with another seed, under a name of its own, or of another length."""
    if steps is not None:
        run = replace(run, schedule=replace(run.schedule, steps=steps))
    if seed is None:
        return run
    run = replace(run, name=f"{run.name}-seed{seed}")
    if hasattr(run, "seed"):
        return replace(run, seed=seed)
    return replace(run, schedule=replace(run.schedule, seed=seed))
