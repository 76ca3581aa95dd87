"""The folders of training and measuring, as options; the only place that knows defaults for them."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...training.folders import Folders

PACKAGE = Path(str(resources.files("ostensor")))
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of the data sets; default: OSTENSOR_DATA, else ../shared/data.")
]
RunsOption = Annotated[Path | None, typer.Option("--runs", help="Folder of the runs; default: ./runs.")]
IntoOption = Annotated[
    Path | None,
    typer.Option(
        "--into",
        help="Folder that exported weights and cards go to; default: the checkout's, else ./weights; of networks that have a name of yours the user's own, where every server finds them.",
    ),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", help="Folder that reports go to; default: the checkout's docs, else ./docs.")
]


def is_checkout() -> bool:
    """Whether the package is a working copy rather than an installed wheel, whose folder is never written to."""
    return (PACKAGE / "pyproject.toml").is_file()


def data_folder(data: Path | None = None) -> Path:
    """The folder of the data sets: the one given, OSTENSOR_DATA, or `shared/data` beside a checkout."""
    if data is not None:
        return data
    beside = PACKAGE.parent / "shared" / "data" if is_checkout() else Path("data")
    return Path(os.environ.get("OSTENSOR_DATA", beside))


def weights_folder(into: Path | None = None) -> Path:
    """Where exports go."""
    return into or (PACKAGE / "models" / "weights" if is_checkout() else Path("weights"))


def docs_folder(report: Path | None = None) -> Path:
    """Where reports go."""
    return report or (PACKAGE / "docs" if is_checkout() else Path("docs"))


def folders_of(
    data: Path | None = None, runs: Path | None = None, into: Path | None = None, report: Path | None = None
) -> Folders:
    """The folders of these options."""
    from ...models.catalogue import USER_FOLDER
    from ...models.language.satmini.shelf import FOLDER
    from ...training.folders import Folders

    shelf = into or USER_FOLDER / FOLDER
    return Folders(data_folder(data), runs or Path("runs"), weights_folder(into), docs_folder(report), shelf)
