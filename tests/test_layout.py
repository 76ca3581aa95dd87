"""The house: imports run downhill, nothing runs in circles, no folder is crowded, every package is shipped.

Lazy imports and those under TYPE_CHECKING count like any other. No file is exempt.
"""

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from . import import_map

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT: dict[str, frozenset[str]] = {
    "imaging": frozenset(),
    "retrieval": frozenset(),
    "observing": frozenset({"imaging"}),
    "store": frozenset({"imaging", "observing"}),
    "models": frozenset({"imaging", "observing"}),
    "workers": frozenset({"imaging", "observing", "models"}),
    "training": frozenset({"imaging", "retrieval", "models"}),
    "tools": frozenset({"imaging", "retrieval", "observing", "store", "models", "workers"}),
    "server": frozenset({"imaging", "observing", "store", "models", "tools"}),
    "agents": frozenset({"imaging", "retrieval", "tools", "server"}),
    "benchmarks": frozenset({"imaging", "retrieval", "models", "workers", "training", "tools", "server", "agents"}),
    "commands": frozenset(
        {
            "imaging",
            "retrieval",
            "observing",
            "store",
            "models",
            "workers",
            "training",
            "tools",
            "server",
            "agents",
            "benchmarks",
        }
    ),
}
MOST = 12  # modules in a folder, without __init__ and __main__
PROTOCOLS = {"mcp", "mcp_types", "starlette", "uvicorn", "typer", "httpx"}  # no tool knows them
TORCH_FREE = ("imaging", "retrieval", "observing", "store", "workers", "tools", "server", "commands")
HEAVY = ("torch", "transformers", "monai", "openvino", "faiss", "langchain")


@cache
def arrows() -> set[import_map.Edge]:
    return import_map.edges(ROOT)


@cache
def modules() -> import_map.Modules:
    return import_map.modules(ROOT)


def imported(file: Path) -> set[tuple[str, ...]]:
    return set(import_map.imported(ROOT, file))


def test_the_house_has_the_wings_of_the_table() -> None:
    folders = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert folders == set(MAY_IMPORT)
    order = list(MAY_IMPORT)
    assert all(order.index(below) < order.index(wing) for wing, others in MAY_IMPORT.items() for below in others)


@pytest.mark.parametrize("wing", sorted(MAY_IMPORT))
def test_imports_run_downhill(wing: str) -> None:
    used = {other.parts[0] for one, other in arrows() if one.parts[0] == wing} - {wing}
    assert used == MAY_IMPORT[wing], f"{wing} imports {sorted(used)}; add or take away a word in the table"


def test_no_circle_of_files() -> None:
    assert import_map.circle({(str(one), str(other)) for one, other in arrows()}) == []


def test_no_circle_among_the_files_and_folders_of_a_folder() -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for one, other in arrows():
        if other.name == "__init__.py":
            continue  # holds a docstring and no code that looks elsewhere
        level = next(n for n, (a, b) in enumerate(zip(one.parts, other.parts, strict=False)) if a != b)
        found.setdefault("/".join(one.parts[:level]), set()).add((one.parts[level], other.parts[level]))
    circles = {folder: import_map.circle(arrows) for folder, arrows in found.items()}
    assert {folder: names for folder, names in circles.items() if names} == {}


def test_a_circle_would_be_found() -> None:
    assert import_map.circle({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")}) == ["a", "b", "c"]
    assert import_map.circle({("a", "b"), ("b", "c"), ("a", "c")}) == []


def test_packages_import_nothing_of_ours_in_their_init() -> None:
    inits = [file for file in modules().values() if file.name == "__init__.py"]
    assert [str(file) for file in inits if any(words[0] in MAY_IMPORT for words in imported(file))] == []


def test_no_folder_is_crowded() -> None:
    assert {folder: count for folder, count in import_map.sizes(ROOT).items() if count > MOST} == {}


def test_tools_know_no_protocol() -> None:
    wrong = {
        str(file): sorted({words[0] for words in imported(file)} & PROTOCOLS)
        for file in modules().values()
        if file.parts[0] == "tools"
    }
    assert {file: names for file, names in wrong.items() if names} == {}


@pytest.mark.parametrize(("family", "shared"), [("language", "card.py"), ("promptable", "__init__.py")])
def test_a_system_imports_no_other_system(family: str, shared: str) -> None:
    """Siblings meet in `blocks`, `text`, `inference`, for referring ones in `referring`, for promptable ones in the files beside them."""
    homes = [folder for folder in (ROOT / "models" / family).iterdir() if folder.is_dir()]
    systems = {folder.name for folder in homes if (folder / shared).exists()}
    assert systems
    crossing = [
        (str(one), str(other))
        for one, other in arrows()
        if one.parts[:2] == other.parts[:2] == ("models", family)
        and one.parts[2] != other.parts[2]
        and other.parts[2] in systems
    ]
    assert crossing == []


@pytest.mark.parametrize("wing", TORCH_FREE)
def test_what_must_start_fast_loads_no_heavy_library(wing: str) -> None:
    """Every module of the wing but those that say in their first words that they run in a worker."""
    names = sorted(
        ".".join(("ostensor", *words))
        for words, file in modules().items()
        if words[0] == wing and words[-1] != "__main__" and not runs_in_a_worker(file)
    )
    script = (
        f"import importlib, sys\nfor name in {names!r}:\n    importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.anchor)
    assert done.stdout.strip() == "[]"


def runs_in_a_worker(file: Path) -> bool:
    """`host` and `encoding_host` are the programs of the worker processes; the others run on a cluster and import Ray."""
    on_a_cluster = file.parent.name == "cluster" and file.stem in ("gateway", "apps", "routing", "replica")
    return file.parts[0] == "workers" and (on_a_cluster or file.stem in ("host", "encoding_host"))


def test_every_package_folder_is_listed_in_pyproject() -> None:
    """A folder with `__init__.py` that is not listed would be missing from the wheel."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    folders = {file.parent for file in modules().values() if file.name == "__init__.py"}
    assert listed == {"ostensor", *(".".join(("ostensor", *folder.parts)) for folder in folders)}


def test_no_other_python_file_in_the_root() -> None:
    """STYLE §1."""
    assert [file.name for file in ROOT.glob("*.py")] == ["__init__.py"]


def test_below_the_commands_nobody_looks_up_where_things_lie() -> None:
    """Folders are passed in: no parents of `__file__`, and nothing read from the environment."""
    words = ("environ.get(", "getenv(", ".parents[", ".parent.parent")
    found = [
        f"{file}: {word}"
        for file in modules().values()
        if file.parts[0] != "commands"
        for word in words
        if word in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert found == []
