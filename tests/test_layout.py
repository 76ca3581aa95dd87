"""Imports run downhill, and every package is shipped."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "imaging": {"imaging"},
    "retrieval": {"retrieval"},
    "models": {"imaging", "models"},
    "training": {"imaging", "models", "retrieval", "training"},
    "workers": {"imaging", "models", "workers"},
    "tools": {"imaging", "models", "workers", "retrieval", "tools"},
    "agents": {"imaging", "models", "workers", "retrieval", "tools", "agents"},
}
CLI_MAY_ALSO = {"training", "benchmarks", "agents"}


def _imported_packages(file: Path) -> set[str]:
    here = file.relative_to(ROOT).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = [*here[: len(here) - node.level], *(node.module or "").split(".")]
            found.add(target[0] or node.names[0].name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ostensor."):
            found.add(node.module.split(".")[1])
    return found & (set(MAY_IMPORT) | {"benchmarks"})


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_run_downhill(package: str) -> None:
    """DESIGN §1: imaging < models < workers < tools < agents."""
    for file in (ROOT / package).rglob("*.py"):
        allowed = MAY_IMPORT[package] | (
            CLI_MAY_ALSO if file.parent.name == "tools" and file.name.startswith("cli") else set()
        )
        assert _imported_packages(file) <= allowed, f"{file.relative_to(ROOT)} imports uphill"


def test_every_package_folder_is_listed_in_pyproject() -> None:
    """A folder with `__init__.py` that is not listed would be missing from the wheel."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    skipped = {".venv", "tests", "build", "runs"}
    folders = {
        f.parent.relative_to(ROOT) for f in ROOT.rglob("__init__.py") if not skipped & set(f.relative_to(ROOT).parts)
    }
    assert listed == {".".join(("ostensor", *folder.parts)) for folder in folders}


def test_no_other_python_file_in_the_root() -> None:
    """STYLE §1."""
    assert [file.name for file in ROOT.glob("*.py")] == ["__init__.py"]
