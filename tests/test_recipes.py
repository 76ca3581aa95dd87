"""The recipes of docs/extending.md, followed word for word on a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"```(?:python|toml)\n# (?P<file>\S+) \((?P<kind>new|imports|row of (?P<table>\w+))\)\n(?P<body>.*?)```", re.S
)
RECIPES = {
    title: list(BLOCK.finditer(body))
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    if BLOCK.search(body)
}


def outputs_of(folder: str) -> set[str]:
    """What `make demo` left at the root."""
    return {"demo"} if Path(folder) == ROOT else set()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project under its own name, so that `ostensor` is imported from it; big weights are linked, not copied."""
    target = tmp_path / "site" / "ostensor"
    skipped = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "node", "conformance", "weights", "runs", "build"
    )
    shutil.copytree(ROOT, target, ignore=lambda folder, names: {*skipped(folder, names), *outputs_of(folder)})
    for file in (ROOT / "models" / "weights").iterdir():
        if file.is_file():
            (target / "models" / "weights").mkdir(exist_ok=True)
            (target / "models" / "weights" / file.name).symlink_to(file)
    return target


def follow(copy: Path, blocks: list[re.Match[str]]) -> set[str]:
    """Do what the blocks say; answers the files touched."""
    for block in blocks:
        path = copy / block["file"]
        if block["kind"] == "new":
            assert not path.exists(), f"{block['file']} is there already; give the recipe another name"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["body"], encoding="utf-8")
            continue
        text = path.read_text(encoding="utf-8")
        if block["kind"] == "imports":
            first = text.index("\nfrom .")
            text = f"{text[:first]}\n{block['body'].rstrip()}{text[first:]}"
        else:
            start = re.search(rf"^{block['table']}[^\n]*= \(\n", text, re.M)
            assert start, f"{block['file']} has no table {block['table']}"
            end = text.index("\n)", start.end() - 1)
            text = f"{text[:end]}\n{block['body'].rstrip()}{text[end:]}"
        path.write_text(text, encoding="utf-8")
    return {block["file"] for block in blocks}


def run(copy: Path, *words: str) -> None:
    """A Python program in the copy, which alone is called ostensor there."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_there_are_recipes_to_follow() -> None:
    assert list(RECIPES) == ["A file format", "A backbone", "An objective", "A tool"]


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works_as_written(title: str, copy: Path) -> None:
    files = follow(copy, RECIPES[title])
    assert len(files) <= 4, "at most four files by hand"
    if title == "A tool":
        run(copy, "-m", "ostensor.commands.pages.listed")
        assert "count_voxels" in (copy / "server" / "mcp" / "listed.json").read_text(encoding="utf-8")
    (test,) = (file for file in files if file.startswith("tests/"))
    contract = ["tests/test_tables.py", "tests/test_layout.py"]
    if title == "A backbone":
        contract.append("tests/models/backbones/test_rows.py::test_every_weight_learns[pooled-2d]")
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", test, *contract, "-k", "not heavy_library")
